"""CPU time and memory of the parts of a running shop, read from /proc."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.processes import PROJECT, Command, ProcessEntry, living_processes

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.2
DATABASE = "PostgreSQL"

BACKENDS = """
SELECT pid FROM pg_stat_activity WHERE datname = ANY(%s) AND pid <> pg_backend_pid() AND pid <> ALL(%s)
"""


class Memory(NamedTuple):
    PSS: float
    RSS: float


class Cpu(NamedTuple):
    """Seconds of processor time, in programs and in system calls."""

    user: float = 0
    system: float = 0

    @property
    def total(self) -> float:
        return self.user + self.system

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user - other.user, self.system - other.system)


def cpu_of(pid: int) -> Cpu:
    """Return the processor time of a process and its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, children_user, children_system = (int(ticks) / CLOCK_TICKS for ticks in fields[11:15])
    return Cpu(user + children_user, system + children_system)


def memory(roots: Mapping[str, int]) -> dict[str, float]:
    """
    Return the memory of the largest process of each part in MB: resident (RSS), and with its share of common pages
    (PSS).

    :param roots: the first process of each part.
    """
    processes = living_processes()
    sizes = {part: max(map(_memory, _descendants(root, processes))) for part, root in roots.items()}
    return {f"{part} process, {name} MB": mb for part in sizes for name, mb in sizes[part]._asdict().items()}


def run_to_its_end(command: Command, **environment: str) -> dict[str, float]:
    """Run a program, and return its time in seconds and its largest resident size in MB."""
    began = time.perf_counter()
    program = subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(program.pid, 0)
    seconds = time.perf_counter() - began
    program.returncode = os.waitstatus_to_exitcode(status)
    assert program.returncode == 0
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "CPU seconds": cpu, "RSS MB": usage.ru_maxrss / 1024}


class Meter:
    """
    Processor time by part: of the trees of processes below `roots`, and of PostgreSQL if it is on this machine.

    The figure of PostgreSQL is of the connections and autovacuum of the shop's databases. They are sampled, because
    their figures end with them. The processes that all databases of a server share, such as the WAL writer, are not in
    it.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        self.roots = roots
        self._backends: dict[int, Cpu] = {}
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        if connection.vendor == "postgresql":
            self._names, self._own_backends = zip(*map(_connect, _databases()), strict=True)
            self._sample()
            self._sampler = threading.Thread(target=self._keep_sampling, daemon=True)
            self._sampler.start()
        self._start = self._cpu()
        return self

    def __exit__(self, *_: object) -> None:
        if connection.vendor == "postgresql":
            self._stop.set()
            self._sampler.join()
            self._sample()

    def used(self) -> dict[str, Cpu]:
        """Return the processor time since the beginning, by part."""
        return {part: cpu - self._start[part] for part, cpu in self._cpu().items()}

    def _cpu(self) -> dict[str, Cpu]:
        processes = living_processes()
        parts = {part: sum(map(cpu_of, _descendants(root, processes)), Cpu()) for part, root in self.roots.items()}
        return parts | ({DATABASE: sum(self._backends.values(), Cpu())} if connection.vendor == "postgresql" else {})

    def _keep_sampling(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()
        connection.close()

    def _sample(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(BACKENDS, [list(self._names), list(self._own_backends)])
            pids = [pid for (pid,) in cursor.fetchall()]
        self._backends |= {pid: cpu_of(pid) for pid in pids if Path(f"/proc/{pid}").exists()}


def _databases() -> list[BaseDatabaseWrapper]:
    """Return the databases of the shop: one, or those of its services."""
    return [database for database in connections.all() if database.vendor == "postgresql"]


def _connect(database: BaseDatabaseWrapper) -> tuple[str, int]:
    """Return the name of a database, and the process that serves the connection to it."""
    database.ensure_connection()
    return database.settings_dict["NAME"], database.connection.info.backend_pid


def _descendants(root: int, processes: list[ProcessEntry]) -> list[int]:
    found = [root]
    for parent in found:  # grows
        found += [entry.pid for entry in processes if entry.parent == parent]
    return found


def _memory(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    return Memory(PSS=kilobytes["Pss"] / 1024, RSS=kilobytes["Rss"] / 1024)
