"""The same requests, sent in the same order to two databases."""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import connection

from tests.fuzz.mutations import Request, generate
from tests.processes import run

SHOWN = 20
RUN_SECONDS = 4 * 3600


@dataclass(frozen=True)
class FuzzReport:
    statuses: Counter[int]
    faults: Sequence[str]

    def summary(self) -> str:
        """Return the number of responses by status, and the first faults."""
        counted = ", ".join(f"{number} × {status}" for status, number in sorted(self.statuses.items()))
        shown = [*self.faults[:SHOWN], *(["…"] if len(self.faults) > SHOWN else [])]
        return "\n".join([f"{self.statuses.total()} requests: {counted}", f"{len(self.faults)} faults", *shown])


def compare(number: int, *, seed: int, database_url: str) -> FuzzReport:
    """Generate requests, and send them to this database and, if it is another, to one of SQLite."""
    requests = generate(number, seed_number=seed)
    with tempfile.TemporaryDirectory() as folder:
        urls = {"here": database_url}
        if connection.vendor != "sqlite":
            urls["there"] = f"sqlite:///{folder}/there.sqlite3"
        with ThreadPoolExecutor(len(urls)) as pool:
            sending = [pool.submit(_send, Path(folder) / name, requests, url) for name, url in urls.items()]
            here, there = sending[0].result(), sending[-1].result()
    pairs = list(zip(requests, here, there, strict=True))
    faults = [f"{result['fault']}: {request}" for request, *both in pairs for result in both if result["fault"]]
    differences = [
        f"{one['status']} here, {other['status']} on SQLite: {request}"
        for request, one, other in pairs
        if one["status"] != other["status"]
    ]
    return FuzzReport(statuses=Counter(result["status"] for result in here), faults=[*faults, *differences])


def _send(name: Path, requests: Sequence[Request], database_url: str) -> list[dict[str, Any]]:
    """
    Send the requests from a process of its own, since Django has one database per process, and return the results.
    """
    sent, results = name.with_suffix(".requests"), name.with_suffix(".results")
    sent.write_text(json.dumps([asdict(request) for request in requests]))
    environment = {"DATABASE_URL": database_url} if database_url else {}
    command = [sys.executable, "-m", "tests.fuzz.sending", sent, results]
    finished = run(command, within=RUN_SECONDS, **environment)
    assert finished.status == 0, finished.errors
    return json.loads(results.read_text())
