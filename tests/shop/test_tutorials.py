"""
Every code block of the tutorials does what its page says, from the start of the shop on.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from tests.programs import Up
from tests.tutorials import Outcome, blocks_of, run_blocks

SPLIT_BY_ANOTHER_TEST = {"first-split.md"}
"""tests/split/test_journeys.py runs it."""
BY_A_BROWSER = {"repair-a-shop.md"}
"""tests/browser/test_repairs.py takes its steps, by commands and by clicks."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Up]:
    """A shop as `make run` starts it, with the fault of the tutorial about dead letters."""
    folder = tmp_path_factory.mktemp("tutorials")
    environment = {
        "DATABASE_URL": f"sqlite:///{folder}/shop.sqlite3",
        "PAYMENT_SIMULATOR_LEDGER": f"{folder}/ledger.sqlite3",
        "SHOP_FAULTS": "on",
    }
    with Up(folder / "output.txt", "--demo", "--port=0", environment=environment) as shop:
        shop.wait_until_open()
        yield shop


@pytest.fixture
def follow(shop, tmp_path) -> Callable[[str, str], Outcome]:
    """Return a function that follows a tutorial which starts the shop by a command."""

    def follow(page: str, start: str) -> Outcome:
        command, *blocks = blocks_of(page)
        assert command == start
        simulator = shop.wait_for(r"export PAYMENT_SIMULATOR_URL=(\S+)")[1]
        places = {"127.0.0.1:8000": urlsplit(shop.address).netloc}
        return run_blocks(blocks, places, tmp_path, PAYMENT_SIMULATOR_URL=simulator, **shop.environment)

    return follow


def test_the_first_order_is_confirmed_and_the_second_cancelled(follow):
    outcome = follow("tutorial/first-order.md", "make run")

    _, _, confirmed, answer, trace, cancelled, signed = outcome.outputs
    assert outcome.failed == []
    assert '"sku":"OAK-TABLE"' in confirmed
    assert answer.startswith("HTTP/1.1 200")
    assert "payments.payment_succeeded" in trace
    assert '"cancel_reason":"by_customer"' in cancelled
    assert signed.splitlines()[-1] == "confirmed"


def test_the_first_dead_letter_is_found_and_replayed(follow):
    outcome = follow("tutorial/first-dead-letter.md", "SHOP_FAULTS=on make run")

    confirmed, backlog, letters, replayed, after, for_tess = outcome.outputs
    assert len(outcome.failed) == 1
    assert "outbox_status" in outcome.failed[0]
    assert '"status":"confirmed"' in confirmed
    assert "TemplateBroken" in backlog
    assert "ends within a block" in letters
    assert "Delivered: 1." in replayed
    assert "notifications.send_confirmation: delivered" in after
    assert "TemplateBroken" in for_tess


def test_each_tutorial_is_followed():
    pages = {path.name for path in (settings.BASE_DIR / "docs/tutorial").glob("*.md")}

    assert pages == {"first-order.md", "first-dead-letter.md"} | SPLIT_BY_ANOTHER_TEST | BY_A_BROWSER
