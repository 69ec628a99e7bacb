"""
The same requests, sent in the same order to two databases.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from tests.fuzz.mutations import Request, generate

SHOWN = 20


@dataclass(frozen=True)
class Report:
    statuses: Counter[int]
    faults: Sequence[str]

    def written(self) -> str:
        """
        Write down how often there was which status, and what was wrong.
        """
        counted = ", ".join(f"{number} × {status}" for status, number in sorted(self.statuses.items()))
        shown = [*self.faults[:SHOWN], *(["…"] if len(self.faults) > SHOWN else [])]
        return "\n".join([f"{self.statuses.total()} requests: {counted}", f"{len(self.faults)} faults", *shown])


def compare(number: int, *, seed: int, database_url: str) -> Report:
    """
    Make up requests, and send them to this database and to a fresh one of SQLite.
    """
    requests = generate(number, seed_number=seed)
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            _begin(Path(folder) / name, requests, url)
            for name, url in (("here", database_url), ("there", f"sqlite:///{folder}/there.sqlite3"))
        ]
        here, there = (_end(*run) for run in runs)
    pairs = list(zip(requests, here, there, strict=True))
    faults = [f"{found['fault']}: {request}" for request, *both in pairs for found in both if found["fault"]]
    differences = [
        f"{one['status']} here, {other['status']} on SQLite: {request}"
        for request, one, other in pairs
        if one["status"] != other["status"]
    ]
    return Report(statuses=Counter(found["status"] for found in here), faults=[*faults, *differences])


def _begin(name: Path, requests: Sequence[Request], database_url: str) -> tuple[Any, Path]:
    """
    Start a run in a process of its own, since Django knows one database for life.
    """
    sent, found = name.with_suffix(".requests"), name.with_suffix(".findings")
    sent.write_text(json.dumps([asdict(request) for request in requests]))
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if database_url:
        environment["DATABASE_URL"] = database_url
    command = [sys.executable, "-m", "tests.fuzz.sending", str(sent), str(found)]
    return subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment), found


def _end(process: Any, found: Path) -> list[dict[str, Any]]:
    assert process.wait() == 0
    return json.loads(found.read_text())
