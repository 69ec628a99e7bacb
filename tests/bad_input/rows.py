"""
The rows of the table of bad input, as parameters of tests.
"""

from typing import Any

import pytest

SHORT = 40


def rows(names: str, *cases: tuple[Any, ...]) -> pytest.MarkDecorator:
    """
    Run a test by these cases, each of which begins with the number of its row, as does the id of its run.
    """
    return pytest.mark.parametrize(
        names, [pytest.param(*values, id=f"row{number}-{_short(values[0])}") for number, *values in cases]
    )


def _short(value: object) -> str:
    """
    Name a value, the same in every process that collects the tests.
    """
    text = value.__name__ if callable(value) else repr(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"
