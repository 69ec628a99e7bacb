"""
Programs as real processes: web server, workers, payment simulator, `up`, which starts them all, and a mail server.
"""

import json
import re
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from shop.server import processes
from tests.processes import Command, Process, ProcessEntry, children_of, living_processes, manage
from tests.smtp_faults import Fault
from tests.smtp_log import MailLog
from tests.waiting import eventually

LOCALHOST = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Below the ephemeral ports, so that no other program is given ours while its server is down."""
REQUEST_SECONDS = 2

WEBHOOK_PATH = "/api/v1/webhooks/payments/"

ROLE = re.compile(r"(ready for work|monitoring|pushing tasks) at (\d+)")
ROLES = {"ready for work": "worker", "monitoring": "monitor", "pushing tasks": "pusher"}


def free_port() -> int:
    """Return a port at which no program listens."""
    while True:
        port = secrets.choice(PORTS)  # not of a generator that tests seed alike
        with suppress(OSError), socket.create_server((LOCALHOST, port)):
            return port


def mail_settings(port: int) -> dict[str, str]:
    """Return the variables of a shop that sends its mails to the SMTP server at this port."""
    backend = "django.core.mail.backends.smtp.EmailBackend"
    return {"EMAIL_BACKEND": backend, "EMAIL_HOST": LOCALHOST, "EMAIL_PORT": str(port)}


class Server(Process):
    """A program that serves HTTP, always at the same port."""

    health: str

    def __init__(self, log: Path, command: Command = (), *, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(log, command, environment=environment)
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    def is_ready(self) -> bool:
        try:
            with urlopen(f"{self.address}{self.health}", timeout=REQUEST_SECONDS):
                return True
        except OSError:
            return False


class WebServer(Server):
    """
    The shop's web server, as `manage.py up` starts it. While it is down no process listens at its port.

    :param options: options of gunicorn; they override those of `up`.
    """

    health = "/healthz"

    def __init__(self, log: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(log, environment=environment)
        self.options = options

    @property
    def webhook_url(self) -> str:
        return f"{self.address}{WEBHOOK_PATH}"

    def launch(self) -> None:
        with processes.listen(LOCALHOST, self.port) as listener:
            self.spawn([*processes.web_server(listener), *self.options], pass_fds=[listener.fileno()])


class PaymentSimulator(Server):
    """
    `manage.py payment_simulator`, with its ledger in a file.

    :param options: options of the command, such as `callback_url=…`.
    """

    health = "/v1/faults"

    def __init__(self, log: Path, *, environment: Mapping[str, str] | None = None, **options: object) -> None:
        super().__init__(log, environment=environment)
        words = (f"--{name.replace('_', '-')}={value}" for name, value in options.items())
        self.command = manage("payment_simulator", f"--port={self.port}", *words)


class MailServer(Process):
    """
    `tests/smtp_server.py` in a process of its own, always at the same port. While it is down connections are refused.

    :param mails: the file of its log of mails.
    """

    def __init__(self, log: Path, mails: Path, *, faults: Sequence[Fault] = (), seed: int = 1) -> None:
        super().__init__(log)
        self.port, self.mails = free_port(), MailLog(mails)
        options = [f"--log={mails}", f"--port={self.port}", f"--seed={seed}"]
        faults_option = f"--faults={json.dumps([fault.as_json() for fault in faults])}"
        self.command = [sys.executable, "-m", "tests.smtp_server", *options, faults_option]

    @property
    def settings(self) -> dict[str, str]:
        return mail_settings(self.port)

    def is_ready(self) -> bool:
        try:
            with socket.create_connection((LOCALHOST, self.port), REQUEST_SECONDS):
                return True
        except OSError:
            return False


class Cluster(Process):
    """
    `manage.py qcluster`: a master, a sentinel, the workers, a monitor and a pusher.

    The settings have to log the level INFO of django-q, which names the role of each process.
    """

    command = manage("qcluster")

    def __init__(self, log: Path, *, workers: int, environment: Mapping[str, str]) -> None:
        super().__init__(log, environment=environment | {"RELAY_WORKERS": str(workers)})
        self.workers = workers

    def is_ready(self) -> bool:
        if len(ROLE.findall(self.output)) < self.workers + 2:
            return False  # without the process table: to read it takes as long as the pause between two polls
        pids = self.pids_by_role()
        return len(pids["worker"]) == self.workers and bool(pids["monitor"] and pids["pusher"])

    def restart(self) -> None:
        """Kill what is left of the group, as a supervisor does when the master is gone, and start again."""
        self.kill()
        self.start()

    def pids(self, role: str) -> list[int]:
        """Return the living processes of a role: worker, monitor, pusher or sentinel."""
        return self.pids_by_role()[role]

    def pids_by_role(self) -> dict[str, list[int]]:
        parents = {entry.pid: entry.parent for entry in self.members()}
        logged = [(ROLES[words], int(pid)) for words, pid in ROLE.findall(self.output) if int(pid) in parents]
        pids = {role: [pid for its_role, pid in logged if its_role == role] for role in ROLES.values()}
        return pids | {"sentinel": sorted({parents[pid] for _, pid in logged} & parents.keys())}


class Up(Process):
    """`manage.py up`, which runs web server, workers and simulator in a process group of its children's own."""

    def __init__(self, log: Path, *arguments: str, environment: Mapping[str, str]) -> None:
        command = manage("up", "--workers=1", "--simulator-port=0", *arguments)
        super().__init__(log, command, environment={"DEBUG": "on"} | environment)
        self.group: int | None = None

    @property
    def address(self) -> str:
        return self.wait_for(r"is open\..*?(http://[\d.:]+)/")[1]

    def wait_until_open(self) -> None:
        self.wait_for(r"is open\.")
        self.group = self.wait_for_child("read -r").group

    def wait_for_child(self, part_of_command: str) -> ProcessEntry:
        """Wait for the child of `up` that has this in its command line, and return its entry."""
        eventually(lambda: self._has_child(part_of_command))
        [child] = self._children(part_of_command)
        return child

    def survivors(self) -> list[ProcessEntry]:
        """Return the living processes that `up` started, whether it still runs or not."""
        return [entry for entry in living_processes() if entry.group == self.group]

    def kill(self) -> None:
        """Kill `up` alone, and wait until its children have followed."""
        super().kill()
        eventually(lambda: not self.survivors())

    def _has_child(self, part_of_command: str) -> bool:
        assert self.status is None, self._describe_end()
        return len(self._children(part_of_command)) == 1

    def _children(self, part_of_command: str) -> list[ProcessEntry]:
        return [entry for entry in children_of(self.pid) if part_of_command in entry.command]
