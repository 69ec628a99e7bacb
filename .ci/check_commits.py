#!/usr/bin/env python3
"""
Check commit messages: a short imperative subject, and a body that explains a large change.

Without arguments it checks the commits made after the one that added this file; older subjects are longer. With a file
name, which git passes to its commit-msg hook, it checks that message and the staged change.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_SUBJECT = 60
MAX_LINES_WITHOUT_REASON = 1_500

FIRST_WORD = re.compile(r"[A-Z][a-z]*(-[a-z]+)*(?= )")
INFLECTED = re.compile(r"(ed|ing|[^s]s)$")
IMPERATIVE_ENDING_ALIKE = {
    *("Bleed", "Breed", "Embed", "Exceed", "Feed", "Heed", "Need", "Proceed", "Seed", "Shed", "Speed", "Succeed"),
    *("Bring", "Ping", "Ring", "Spring", "String", "Swing", "Alias", "Bias", "Focus"),
}
NOT_VERBS = {"A", "All", "An", "Each", "Every", "In", "It", "New", "No", "Now", "Some", "That", "The", "There", "This"}
TRAILER = re.compile(r"[A-Z][A-Za-z-]+: \S")


@dataclass(frozen=True)
class Commit:
    """
    A message and the number of lines that the change adds and removes.
    """

    message: str
    changed_lines: int

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]

    def problems(self) -> Iterator[str]:
        """
        Return what is wrong, one sentence each.
        """
        if len(self.subject) > MAX_SUBJECT:
            yield f"The subject has {len(self.subject)} characters; at most {MAX_SUBJECT} are allowed."
        if not self._is_imperative():
            yield "The subject does not begin with a capitalised verb in the imperative, such as Add or Fix."
        if self.subject.endswith("."):
            yield "The subject ends in a period."
        if self.changed_lines > MAX_LINES_WITHOUT_REASON and not self._has_body():
            yield f"The body does not say why one commit changes {self.changed_lines} lines."

    def _is_imperative(self) -> bool:
        first = FIRST_WORD.match(self.subject)
        if not first or first[0] in NOT_VERBS:
            return False
        return first[0] in IMPERATIVE_ENDING_ALIKE or not INFLECTED.search(first[0])

    def _has_body(self) -> bool:
        _, _, body = self.message.partition("\n")
        return any(line.strip() and not TRAILER.match(line) for line in body.splitlines())


def git(*arguments: str) -> str:
    """
    Return what git prints.

    :raises CalledProcessError: if git fails, for example outside a repository.
    """
    return subprocess.run(("git", *arguments), check=True, capture_output=True, text=True).stdout  # noqa: S603, S607


def is_repository() -> bool:
    """
    Return whether git is installed and finds a repository here; an unpacked archive has none.
    """
    try:
        git("rev-parse", "--git-dir")
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    return True


def commits_since_introduction() -> Iterator[Commit]:
    """
    Return the commits after the one that added this file; in a shallow clone, after the oldest one that is there.
    """
    here = Path(__file__)
    added = git("-C", str(here.parent), "log", "--diff-filter=A", "--format=%H", "--", here.name).split()
    if added:
        for commit in git("rev-list", "--no-merges", f"{added[-1]}..HEAD").split():
            numbers = git("show", "--numstat", "--format=", commit)
            yield Commit(git("show", "--no-patch", "--format=%B", commit), changed_lines(numbers))


def staged_commit(message_file: Path) -> Commit:
    lines = message_file.read_text(encoding="utf-8").splitlines()
    message = "\n".join(line for line in lines if not line.startswith("#"))
    return Commit(message.lstrip("\n"), changed_lines(git("diff", "--cached", "--numstat")))


def changed_lines(numstat: str) -> int:
    """
    Return the sum of added and removed lines; `git` writes a hyphen for binary files.
    """
    counts = [count for row in numstat.splitlines() for count in row.split("\t")[:2]]
    return sum(int(count) for count in counts if count != "-")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("message", nargs="?", type=Path, help="file with the message of the commit being made")
    message_file = parser.parse_args().message
    if not is_repository():
        sys.stdout.write("No commits checked: this is not a git repository.\n")
        return 0
    commits = [staged_commit(message_file)] if message_file else list(commits_since_introduction())
    problems = [f"{commit.subject!r}: {problem}" for commit in commits for problem in commit.problems()]
    sys.stdout.write("".join(f"{line}\n" for line in problems) or f"Commits checked: {len(commits)}.\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
