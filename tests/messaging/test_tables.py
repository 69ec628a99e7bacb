"""Tables in the output of commands."""

import pytest
from django.core.management.base import OutputWrapper

from messaging.kernel import tables
from tests.commands import Terminal

COLUMNS = ("id", "error")


def shown(*row: object) -> str:
    out = Terminal()
    tables.show(OutputWrapper(out), COLUMNS, [row])
    return out.getvalue()


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")


class TestTerminal:
    def test_has_a_frame_if_it_fits(self):
        assert "│ 17 │ no paint │" in shown(17, "no paint")

    def test_has_no_frame_if_only_that_fits(self):
        wide = "x" * 34

        assert f"17  {wide}" in shown(17, wide)
        assert "│" not in shown(17, wide)

    def test_has_a_line_for_each_value_otherwise_and_breaks_no_word(self):
        assert shown(17, "the painter has neither red nor blue paint") == (
            "id     17\nerror  the painter has neither red nor\n       blue paint\n\n"
        )

    def test_lets_a_long_word_run_over(self):
        word = "0d5fd0f4-4c3b-4b5e-9a53-0b6f0ad6a4b7/0d5f"

        assert shown(17, word) == f"id     17\nerror  {word}\n\n"

    def test_shows_an_empty_value(self):
        assert shown("x" * 50, "") == f"id     {'x' * 50}\nerror\n\n"
