"""CPU time and memory of the parts of a running shop, read from /proc."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

from django.db import connection

from tests.processes import ProcessEntry, living_processes

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.2
DATABASE = "PostgreSQL"

BACKENDS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)
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


class Meter:
    """
    Processor time by part: of the trees of processes below `roots`, and of PostgreSQL if it is on this machine.

    The figure of PostgreSQL is of the database's connections and autovacuum, which are sampled because their figures
    end with them. The processes that all databases of a server share, such as the WAL writer, are not in it.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        self.roots = roots
        self._backends: dict[int, Cpu] = {}
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        if connection.vendor == "postgresql":
            connection.ensure_connection()
            self._own_backend = connection.connection.info.backend_pid
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
            cursor.execute(BACKENDS, [self._own_backend])
            pids = [pid for (pid,) in cursor.fetchall()]
        self._backends |= {pid: cpu_of(pid) for pid in pids if Path(f"/proc/{pid}").exists()}


def _descendants(root: int, processes: list[ProcessEntry]) -> list[int]:
    found = [root]
    for parent in found:  # grows
        found += [entry.pid for entry in processes if entry.parent == parent]
    return found


def _memory(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    return Memory(PSS=kilobytes["Pss"] / 1024, RSS=kilobytes["Rss"] / 1024)
