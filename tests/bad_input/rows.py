"""
The rows of the table of bad input, as parameters of tests.
"""

from itertools import product
from typing import Any, NamedTuple

import pytest

SHORT = 40


class OneOf(NamedTuple):
    """
    Values of a row that get the same response.
    """

    values: tuple[Any, ...]


def one_of(*values: Any) -> OneOf:
    return OneOf(values)


def rows(names: str, *cases: tuple[Any, ...]) -> pytest.MarkDecorator:
    """
    Parametrize a test by cases that begin with the number of their row, which also begins their id. A case with
    `one_of` is a case for each of its values.
    """
    expanded = [values for case in cases for values in product(*map(_choices, case))]
    return pytest.mark.parametrize(
        names, [pytest.param(*values, id=f"row{number}-{_short(values[0])}") for number, *values in expanded]
    )


def _choices(value: object) -> tuple[Any, ...]:
    return value.values if isinstance(value, OneOf) else (value,)


def _short(value: object) -> str:
    """
    Return a name of a value that is the same in every process.
    """
    text = value.__name__ if callable(value) else repr(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"
