"""
A real django-q2 cluster on a database of its own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def fresh_database(url: str | None, scratch: Path) -> str:
    """
    Make an empty database: a file, or one beside the PostgreSQL database of `url`; return its url.
    """
    if not url:
        return f"sqlite:///{scratch / 'bench.sqlite3'}"
    name = urlsplit(url).path.lstrip("/") + "_bench"
    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{name}"')
    return url.rsplit("/", 1)[0] + f"/{name}"


@contextmanager
def cluster(workers: int, **told: str) -> Iterator[list[int]]:
    """
    Run so many workers for the time of the block, with these variables in their environment; give their process ids.
    """
    environment = os.environ | {"RELAY_WORKERS": str(workers)} | told
    master = subprocess.Popen([sys.executable, "manage.py", "qcluster"], env=environment, start_new_session=True)
    try:
        yield _await_workers(master.pid, workers)
    finally:
        master.terminate()
        master.wait(30)


def cpu_seconds(pid: int) -> float:
    """
    Tell how much processor time a process has used.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _await_workers(master: int, workers: int) -> list[int]:
    """
    Find the workers once they run their relay threads.
    """
    while True:
        relays = [pid for sentinel in _children(master) for pid in _children(sentinel) if _threads(pid) >= 3]
        if len(relays) >= workers:
            return relays
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
