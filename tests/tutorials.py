"""
The code blocks of a page of docs, run as a reader runs them: in one shell, from top to bottom, beside a running shop.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.processes import PROJECT, run

BLOCK = re.compile(r"(?:^(?: {4}.*)?\n)*^ {4}.*$", re.MULTILINE)
SECONDS = 240
OUTPUT_OF = "--- output of block "


@dataclass(frozen=True)
class Outcome:
    """
    :param outputs: what each block printed.
    :param failed: the commands that ended with another exit status than 0.
    """

    outputs: Sequence[str]
    failed: Sequence[str]


def blocks_of(page: str) -> list[str]:
    """Return the indented code blocks of a page of docs, in their order."""
    blocks = BLOCK.findall((PROJECT / "docs" / page).read_text(encoding="utf-8"))
    return ["\n".join(line[4:] for line in block.strip("\n").splitlines()) for block in blocks]


def run_blocks(blocks: Sequence[str], replacing: Mapping[str, str], folder: Path, **environment: str) -> Outcome:
    """
    Run code blocks in one shell.

    :param replacing: what a test has in other places than a reader, such as the address of the shop.
    :param folder: for the names of the commands that fail.
    """
    failed = folder / "failed.txt"
    failed.touch()
    script = "\n".join(f"echo '{OUTPUT_OF}'\n{block}" for block in blocks)
    for text, replacement in {".venv/bin/python": sys.executable, **replacing}.items():
        script = script.replace(text, replacement)
    # It is written once the script has failed, so that the reader's shell needs no option that a reader does not set.
    trap = f"trap 'echo \"$BASH_COMMAND\" >>{failed}' ERR\nset -u\n"
    done = run(["bash", "-c", trap + script], within=SECONDS, **environment)
    assert "unbound variable" not in done.errors, done.errors
    outputs = done.output.split(f"{OUTPUT_OF}\n")[1:]
    assert len(outputs) == len(blocks), done.output + done.errors
    return Outcome(outputs, failed.read_text().splitlines())
