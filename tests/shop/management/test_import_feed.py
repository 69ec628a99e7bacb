from dataclasses import replace
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from orders.models import Order
from shop.management.commands import import_orders
from tests.factories import make_stock
from tests.shop.management.feeds import HEADER, SAMPLE, a_line, outcome_of, rejects, run, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feed.csv"


class TestTheFile:
    def test_may_come_from_a_spreadsheet_on_another_system(self, path):
        make_stock(10)
        lines = [HEADER, "", a_line(description='"Red\r\nchair, ""large"""'), "", a_line("536366"), ""]
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())

        assert run(path) == outcome_of(accepted=2, lines=2)

    def test_may_be_empty_but_for_its_header(self, path):
        assert run(write(path)) == outcome_of()

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "is no order feed"),
            (b"Invoice,Sku\n1,2\n", "is no order feed"),
            (f"{HEADER}\n{a_line()}".encode("utf-16"), "is not UTF-8"),
            ("\n".join([HEADER, a_line(), a_line(description="CAFÉ")]).encode("latin-1"), "is not UTF-8"),
            ("\n".join([HEADER, a_line(), a_line(description='"Red')]).encode(), "line 3: unexpected end of data"),
            ("\n".join([HEADER, a_line(), a_line(description='"a" b')]).encode(), "line 3: ',' expected after"),
            ("\n".join([HEADER, a_line(description="x" * 200_000)]).encode(), "line 2: field larger than field limit"),
        ],
    )
    def test_changes_nothing_when_it_is_unusable(self, path, content, problem):
        make_stock(10)
        path.write_bytes(content)

        with pytest.raises(CommandError, match=problem) as refused:
            run(path, create_products=True, opening_stock=5)

        assert refused.value.returncode == 1
        assert not Order.objects.exists()
        assert not get_user_model().objects.exists()
        assert [left.name for left in path.parent.iterdir()] == ["feed.csv"]

    def test_must_be_there(self, path):
        with pytest.raises(CommandError, match=r"feed.csv: No such file or directory\."):
            run(path)

    def test_must_be_a_file(self, tmp_path):
        with pytest.raises(CommandError, match=r"Is a directory\."):
            run(tmp_path)

    def test_is_in_a_currency_with_two_decimals(self, path, settings):
        settings.ORDERS = replace(settings.ORDERS, currency="JPY")

        with pytest.raises(CommandError, match="two decimals, those of JPY have not"):
            run(write(path, a_line()))

    @pytest.mark.parametrize("rejects_path", ["feed.csv", "folder", "missing/rejects.csv"])
    def test_needs_a_place_for_its_rejects(self, path, tmp_path, rejects_path):
        make_stock(10)
        (tmp_path / "folder").mkdir()
        write(path, a_line())

        with pytest.raises(CommandError, match="--rejects"):
            run(path, rejects=tmp_path / rejects_path)

        assert not Order.objects.exists()
        assert path.read_text().splitlines() == [HEADER, a_line()]

    def test_may_be_left_half_way(self, path, monkeypatch):
        make_stock(10)
        write(path, a_line("C536365"))

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(import_orders, "place_orders", interrupt)

        with pytest.raises(CommandError, match="Run it again") as stopped:
            run(path)

        assert stopped.value.returncode == 130
        assert [left.name for left in path.parent.iterdir()] == ["feed.csv"]


class TestTheShippedSample:
    def test_is_a_real_log_with_its_dirt(self, tmp_path):
        outcome = run(SAMPLE, create_products=True, opening_stock=100_000, rejects=tmp_path / "rejects.csv")

        assert outcome == outcome_of(
            accepted=268, lines=4_800, rejected=32, invalid_quantity=31, cancellation=29, invalid_sku=1
        )
        assert len(rejects(tmp_path / "rejects.csv")) == 73


class TestWhatItSays:
    def test_to_a_person_is_a_summary(self, path):
        output = StringIO()
        write(path, a_line(), a_line("C536366"))

        call_command("import_orders", path, create_products=True, stdout=output)

        first, *others = output.getvalue().splitlines()
        assert first.startswith("Accepted 1 invoices with 1 order lines in ")
        assert others == [
            "0 were imported before.",
            f"Rejected 1, see {path}.rejects.csv",
            "Reasons, of which an invoice may have several:",
            "  cancellation: 1",
        ]
