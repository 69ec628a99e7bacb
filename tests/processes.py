"""
The one runner of real processes: `Process` runs beside the test, `run` waits for the end.

It needs no Django settings. The programs of this project are in `tests/programs.py`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.waiting import PATIENCE_SECONDS, eventually

PROJECT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 10
OUTPUT_LINES = 100

_processes: deque["Process"] = deque(maxlen=100)

Command = Sequence[str | Path]


def manage(*arguments: str) -> Command:
    """Return the command line of `manage.py` with these arguments."""
    return [sys.executable, "manage.py", *arguments]


@dataclass(frozen=True)
class Finished:
    status: int
    output: str
    errors: str


def run(
    command: Command, *, text: str = "", stderr: int = subprocess.PIPE, within: float = PATIENCE_SECONDS, **env: str
) -> Finished:
    """Run a program to its end, with these variables beside the environment of this process."""
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | env,
        input=text,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=within,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr or "")


class Process:
    """
    A program in a process group of its own, of which nothing outlives the `with` block.

    :param log: the file that collects its output and errors; a restart appends to it.
    :param environment: variables to set beside those of this process.
    """

    command: Command = ()

    def __init__(self, log: Path, command: Command = (), *, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.command = command or self.command
        self.environment = dict(environment or {})
        self.ended_at: float | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the program and wait until it is ready."""
        self.launch()
        eventually(self._is_alive_and_ready)

    def launch(self) -> None:
        """Start the program without waiting."""
        self.spawn(self.command)

    def spawn(self, command: Command, *, pass_fds: Sequence[int] = ()) -> None:
        with self.log.open("a") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        self.ended_at = None
        _processes.append(self)

    def is_ready(self) -> bool:
        return True

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def status(self) -> int | None:
        """The exit status, `-9` after SIGKILL; None while the program runs."""
        return self._popen.poll()

    def wait(self, within: float = PATIENCE_SECONDS) -> int:
        """Wait for the program's end and return its exit status."""
        return self._popen.wait(within)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the output matches this regular expression, and return the match."""
        eventually(lambda: self._find(pattern))
        return self._find(pattern)

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def stop(self, within: float = STOP_SECONDS) -> float:
        """
        Send SIGTERM, then SIGKILL to what still runs after so many seconds. Return the seconds the program took to end.
        """
        began = time.monotonic()
        self.send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.wait(within)
        seconds = time.monotonic() - began
        self.kill()
        return seconds

    def kill(self) -> None:
        """Send SIGKILL to every process of the group, and wait until none is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        eventually(lambda: not self.members())
        self.ended_at = time.time()

    def members(self) -> list["ProcessEntry"]:
        """Return the living processes of the group."""
        return [entry for entry in living_processes() if entry.group == self.pid]

    def _is_alive_and_ready(self) -> bool:
        assert self.status is None, self._describe_end()
        return self.is_ready()

    def _find(self, pattern: str) -> re.Match[str] | None:
        has_ended = self.status is not None
        match = re.search(pattern, self.output, re.DOTALL)
        assert match or not has_ended, self._describe_end()
        return match

    def _describe_end(self) -> str:
        return f"ended with status {self.status}:\n{self.output}"


@dataclass(frozen=True)
class ProcessEntry:
    """A line of the process table."""

    pid: int
    parent: int
    group: int
    command: str


def living_processes() -> list[ProcessEntry]:
    """Return every process of this machine, except zombies."""
    table = subprocess.check_output(["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="], text=True)
    rows = (line.split(maxsplit=4) for line in table.splitlines())
    return [
        ProcessEntry(int(pid), int(parent), int(group), command)
        for pid, parent, group, state, command in rows
        if state[0] != "Z"
    ]


def children_of(pid: int) -> list[ProcessEntry]:
    return [entry for entry in living_processes() if entry.parent == pid]


def kill(*pids: int) -> float:
    """Send SIGKILL to these processes, and return the moment, in seconds of the monotonic clock."""
    killed_at = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return killed_at


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def thaw(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def database_url(name: str = "") -> str:
    """
    Return the URL of this process's database, such as the one of the tests, or of another on its server, for another
    process to open.
    """
    from django.db import connection

    name = name or connection.settings_dict["NAME"]
    if connection.vendor == "postgresql":
        return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    return f"sqlite:///{name}"


def outputs_since(moment: float) -> list[tuple[str, str]]:
    """
    Return the title and the last lines of the output of every process that ran at or after this moment of `time.time`.
    """
    recent = {process.log: process for process in _processes if process.ended_at is None or process.ended_at >= moment}
    return [(f"output in {log.name}", "\n".join(_read_last_lines(log))) for log in recent]


def _read_last_lines(log: Path) -> list[str]:
    return log.read_text().splitlines()[-OUTPUT_LINES:] if log.exists() else []
