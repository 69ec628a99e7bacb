from dataclasses import replace

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError

from orders.models import Order
from shop.operations.management.commands import import_orders
from tests import commands
from tests.factories import make_stock
from tests.shop.operations.management.feeds import HEADER, SAMPLE, outcome_of, rejects, row, run, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feed.csv"


class TestFile:
    def test_may_have_a_byte_order_mark_crlf_and_quoted_line_breaks(self, path):
        make_stock(10)
        lines = [HEADER, "", row(description='"Red\r\nchair, ""large"""'), "", row("536366"), ""]
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())

        assert run(path) == outcome_of(accepted=2, lines=2)

    def test_may_have_no_rows(self, path):
        assert run(write(path)) == outcome_of()

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "is not an order feed"),
            (b"Invoice,Sku\n1,2\n", "is not an order feed"),
            (f"{HEADER}\n{row()}".encode("utf-16"), "is not UTF-8"),
            ("\n".join([HEADER, row(), row(description="CAFÉ")]).encode("latin-1"), "is not UTF-8"),
            ("\n".join([HEADER, row(), row(description='"Red')]).encode(), "line 3: unexpected end of data"),
            ("\n".join([HEADER, row(), row(description='"a" b')]).encode(), "line 3: ',' expected after"),
            ("\n".join([HEADER, row(description="x" * 200_000)]).encode(), "line 2: field larger than field limit"),
        ],
    )
    def test_imports_nothing_if_it_is_unusable(self, path, content, problem):
        make_stock(10)
        path.write_bytes(content)

        with pytest.raises(CommandError, match=problem) as failure:
            run(path, create_products=True, opening_stock=5)

        assert failure.value.returncode == 1
        assert not Order.objects.exists()
        assert not get_user_model().objects.exists()
        assert [file.name for file in path.parent.iterdir()] == ["feed.csv"]

    @pytest.mark.parametrize(
        ("name", "problem"), [("feed.csv", r"feed.csv: No such file or directory\."), ("", r"Is a directory\.")]
    )
    def test_must_be_an_existing_file(self, tmp_path, name, problem):
        with pytest.raises(CommandError, match=problem):
            run(tmp_path / name)

    def test_has_prices_with_two_decimals(self, path, settings):
        settings.ORDERS = replace(settings.ORDERS, currency="JPY")

        with pytest.raises(CommandError, match="two decimals, but prices in JPY do not"):
            run(write(path, row()))

    @pytest.mark.parametrize("rejects_path", ["feed.csv", "folder", "missing/rejects.csv"])
    def test_needs_a_writable_rejects_file(self, path, tmp_path, rejects_path):
        make_stock(10)
        (tmp_path / "folder").mkdir()
        write(path, row())

        with pytest.raises(CommandError, match="--rejects"):
            run(path, rejects=tmp_path / rejects_path)

        assert not Order.objects.exists()
        assert path.read_text().splitlines() == [HEADER, row()]

    def test_may_be_interrupted(self, path, monkeypatch):
        make_stock(10)
        write(path, row("C536365"))

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(import_orders, "place_orders", interrupt)

        with pytest.raises(CommandError, match="Run it again") as failure:
            run(path)

        assert failure.value.returncode == 130
        assert [file.name for file in path.parent.iterdir()] == ["feed.csv"]


class TestSample:
    def test_has_valid_and_invalid_invoices(self, tmp_path):
        outcome = run(SAMPLE, create_products=True, opening_stock=100_000, rejects=tmp_path / "rejects.csv")

        assert outcome == outcome_of(
            accepted=268, lines=4_800, rejected=32, invalid_quantity=31, cancellation=29, invalid_sku=1
        )
        assert len(rejects(tmp_path / "rejects.csv")) == 73


class TestOutput:
    def test_is_a_summary(self, path):
        write(path, row(), row("C536366"))

        first, *others = commands.run("import_orders", str(path), "--create-products").splitlines()

        assert first.startswith("Accepted 1 invoices with 1 order lines in ")
        assert others == [
            "0 had been imported before.",
            f"Rejected 1, see {path}.rejects.csv",
            "Reasons (an invoice may have several):",
            "  cancellation: 1",
        ]
