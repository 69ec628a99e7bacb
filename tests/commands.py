"""
Management commands, run in this process.
"""

import json
from io import StringIO
from typing import Any

from django.core.management import call_command


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str, out: StringIO | None = None) -> str:
    """
    Run a command and return its output.
    """
    out = out or StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def run_json(*arguments: str) -> Any:
    """
    Run a command with `--json` and return the object that it prints.
    """
    return json.loads(run(*arguments, "--json"))
