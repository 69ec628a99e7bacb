"""
Writes the table in docs/reference/transports.md from a run of the conformance suite: `make conformance`.

Everything runs on SQLite and on the PostgreSQL database of DATABASE_URL. If a test fails, nothing is written.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.messaging.transports.cases import CASES, COLUMNS, Case
from tests.processes import PROJECT, run

PAGE = PROJECT / "docs/reference/transports.md"
FOLDER = "tests/messaging"
SUITE = [f"{FOLDER}/transports/test_conformance.py", f"{FOLDER}/transports/test_torture.py"]
RUN_SECONDS = 2 * 3600
HEADER = ["case", "in process, SQLite", "in process, PostgreSQL", *COLUMNS.values(), "test of the outbox and the relay"]
PASSED = "passed"
NO_TEST = "–"

Outcomes = Mapping[str, str]
"""`passed`, or the reason why a test was skipped, by class and name, with its parameters in brackets."""


def main() -> None:
    postgres = os.environ.get("DATABASE_URL", "")
    if not postgres.startswith("postgres"):
        sys.exit("DATABASE_URL names no PostgreSQL database.")
    with tempfile.TemporaryDirectory() as scratch:
        urls = [f"sqlite:///{scratch}/shop.sqlite3", postgres]
        outcomes = [_run_suite(url, Path(scratch, "outcomes.xml")) for url in urls]
    PAGE.write_text(with_rows(PAGE.read_text(), [_row(test, case, outcomes) for test, case in CASES.items()]))


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of the table by row, without its header."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def with_rows(page: str, rows: Sequence[Sequence[str]]) -> str:
    """Return the page with these rows in its table, which is its only one."""
    table = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return re.sub(r"(^\|.*\n)+", lambda _: "\n".join(table) + "\n", page, count=1, flags=re.MULTILINE)


def _run_suite(database_url: str, report: Path) -> Outcomes:
    """Run the suite, and the tests that it names, in a process of its own: Django knows one database for life."""
    named = {f"{FOLDER}/{case.in_process}" for case in CASES.values() if "::" in case.in_process}
    options = ["-m", "", "-n", "auto", "-o", "faulthandler_timeout=0", f"--junitxml={report}"]
    finished = run(
        [sys.executable, "-m", "pytest", *options, *SUITE, *sorted(named)],
        within=RUN_SECONDS,
        DATABASE_URL=database_url,
    )
    sys.stdout.write(finished.output + finished.errors)
    if finished.status:
        sys.exit(finished.status)
    return dict(_outcomes(ET.parse(report)))


def _outcomes(report: ET.ElementTree) -> Iterator[tuple[str, str]]:
    for test in report.iter("testcase"):
        skipped = test.find("skipped")
        class_ = test.attrib["classname"].rpartition(".")[2]
        yield f"{class_}::{test.attrib['name']}", PASSED if skipped is None else skipped.attrib["message"]


def _row(test: str, case: Case, of_databases: Sequence[Outcomes]) -> list[str]:
    in_process, is_test = case.in_process.partition("::")[2], "::" in case.in_process
    return [
        case.title,
        *(_cell(outcomes, in_process, "") if is_test else case.in_process for outcomes in of_databases),
        *(_cell(_merged(of_databases), test, transport) for transport in COLUMNS),
        f"`{FOLDER}/{case.in_process}`" if is_test else NO_TEST,
    ]


def _merged(of_databases: Sequence[Outcomes]) -> Outcomes:
    """Return the outcome of each test: the reason if it was skipped on any database."""
    first, second = of_databases
    return {test: second[test] if first[test] == PASSED else first[test] for test in first}


def _cell(outcomes: Outcomes, test: str, transport: str) -> str:
    """Return what came of a test with all its parameters, over a transport."""
    cells = {
        outcome
        for name, outcome in outcomes.items()
        if name.partition("[")[0] == test and (not transport or transport in re.split(r"[\[\]-]", name))
    }
    return " ".join(sorted(cells)) or sys.exit(f"No run of {test} {transport}".strip())


if __name__ == "__main__":
    main()
