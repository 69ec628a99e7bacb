"""
The rows of the table of bad input, as parameters of tests.
"""

from typing import Any

import pytest

SHORT = 40


def rows(names: str, *cases: tuple[Any, ...]) -> pytest.MarkDecorator:
    """
    Parametrize a test by cases that begin with the number of their row, which also begins their id.
    """
    return pytest.mark.parametrize(
        names, [pytest.param(*values, id=f"row{number}-{_short(values[0])}") for number, *values in cases]
    )


def _short(value: object) -> str:
    """
    Return a name of a value that is the same in every process.
    """
    text = value.__name__ if callable(value) else repr(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"
