from collections.abc import Callable
from dataclasses import replace

import pytest

from shop.http import throttling

NOON = 1_800_000_000 - 1_800_000_000 % 900


@pytest.fixture
def at(monkeypatch) -> Callable[[float], None]:
    """
    Set the seconds since the beginning of a quarter of an hour.
    """

    def at(seconds: float) -> None:
        monkeypatch.setattr(throttling, "clock", lambda: NOON + seconds)

    at(0)
    return at


@pytest.fixture
def limits(settings, at) -> Callable[..., None]:
    """
    Set limits; the others stay off.
    """

    def limits(**most: int) -> None:
        settings.THROTTLING = replace(settings.THROTTLING, **most)

    return limits
