"""
Where CPU time goes: py-spy samples the processes of each part while they work, without stopping them.

It samples threads that hold Python's interpreter lock, since a thread that waits is easily taken for a running one. So
a profile is of the user time of Python and of extensions that keep the lock. SQLite's own work is not in it, since it
runs without the lock; nor are system calls, which are one row beside it.
"""

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.processes import PROJECT, Process

RATE = 100
TOP = 20
FRAME = re.compile(r"(?P<function>.+) \((?P<path>/.+):\d+\)")
LIBRARY = re.compile(r".*/python3\.\d+/(site-packages/)?")
PACKAGE = re.compile(r".*/site-packages/(?P<package>django/db|[^/.]+)")


class Frame(NamedTuple):
    function: str
    path: str

    @property
    def is_ours(self) -> bool:
        return Path(self.path).is_relative_to(PROJECT) and "/site-packages/" not in self.path

    @property
    def group(self) -> str:
        """Return the top folder of one of our files, or the package of another."""
        if self.is_ours:
            return Path(self.path).relative_to(PROJECT).parts[0]
        package = PACKAGE.match(self.path)
        return package["package"].replace("/", ".") if package else "Python's library"

    @property
    def name(self) -> str:
        return f"{self.function} ({LIBRARY.sub('', self.path).removeprefix(f'{PROJECT}/')})"


class Profile:
    """:param samples: of stacks, as py-spy writes them: a line for each, from its outermost frame, and its number."""

    def __init__(self, samples: str) -> None:
        self.groups, self.own, self.with_callees = Counter[str](), Counter[str](), Counter[str]()
        for line in samples.splitlines():
            stack, _, number = line.rpartition(" ")
            self._add(
                [Frame(*frame.groups()) for frame in map(FRAME.fullmatch, stack.split(";")) if frame], int(number)
            )

    def tables(self, *, user: float, system: float) -> Iterator[tuple[str, dict[str, float]]]:
        """Return tables of CPU milliseconds, of which there are so many in all."""
        yield "in system calls", {"all": system}
        for name, counts in {
            "by package": self.groups,
            "by function": self.own,
            "by function of ours, with what it calls": self.with_callees,
        }.items():
            scale = user / (self.groups.total() or 1)
            yield name, {where: number * scale for where, number in counts.most_common(TOP)}

    def _add(self, stack: Sequence[Frame], number: int) -> None:
        if stack:
            self.groups[stack[-1].group] += number
            self.own[stack[-1].name] += number
            self.with_callees.update(dict.fromkeys({frame.name for frame in stack if frame.is_ours}, number))


@contextmanager
def profiled(roots: Mapping[str, int], folder: Path) -> Iterator[dict[str, Profile]]:
    """Sample the processes below each root during the block, and then fill in their profiles, by part."""
    profiles: dict[str, Profile] = {}
    with ExitStack() as spies:
        running = {part: spies.enter_context(_spy(root, folder / f"{part}.samples")) for part, root in roots.items()}
        yield profiles
        for part, spy in running.items():
            spy.send(signal.SIGINT)
            assert spy.wait() == 0, spy.output
            profiles[part] = Profile((folder / f"{part}.samples").read_text())


def _spy(root: int, samples: Path) -> Process:
    options = ["--nonblocking", "--gil", "--subprocesses", "--full-filenames", f"--rate={RATE}", "--format=raw"]
    return Process(
        samples.with_suffix(".log"),
        [Path(sys.executable).with_name("py-spy"), "record", *options, f"--output={samples}", f"--pid={root}"],
    )
