import json
import shlex
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError

from inventory.models import StockItem
from orders.models import Order, Product
from shop.management.commands import demo
from tests.commands import run
from tests.shop.operations.management.feeds import row, write

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _small_log_and_cheap_passwords(settings, monkeypatch, tmp_path):
    settings.DEBUG = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr(demo, "SAMPLE", write(tmp_path / "log.csv", row("536365"), row("C536366")))


def printed_command(output: str) -> list[str]:
    return shlex.split(next(line for line in output.splitlines() if "curl" in line))


class TestDemo:
    def test_prints_logins_that_work(self):
        output = run("demo")

        logins = [line.split()[:2] for line in output.splitlines() if line.startswith(("  ada", "  olga"))]
        users = [authenticate(username=name, password=password) for name, password in logins]
        rights = [(user.username, user.is_staff, user.is_superuser) for user in users]
        assert rights == [("ada", False, False), ("olga", True, True)]

    def test_places_an_order_for_each_outcome(self, drain):
        run("demo")

        drain()

        orders = Order.objects.filter(customer__username="ada").order_by("id")
        assert list(orders.values_list("idempotency_key", "status", "cancel_reason")) == [
            ("demo-order-approved", "confirmed", ""),
            ("demo-order-approved-too", "confirmed", ""),
            ("demo-order-declined", "cancelled", "payment_failed"),
            ("demo-order-timeout", "awaiting_payment", ""),
            ("demo-order-pending", "awaiting_payment", ""),
            ("demo-order-out-of-stock", "cancelled", "out_of_stock"),
        ]

    def test_imports_the_log(self):
        output = run("demo")

        assert "1 orders; 1 invoices rejected" in output
        assert list(Order.objects.filter(customer__username="order-feed").values_list("total", flat=True)) == [4_500]

    def test_changes_nothing_if_run_again(self, drain):
        run("demo")
        drain()
        before = [list(model.objects.order_by("pk").values()) for model in (Product, Order, StockItem)]

        run("demo")
        drain()

        assert [list(model.objects.order_by("pk").values()) for model in (Product, Order, StockItem)] == before

    def test_prints_a_command_that_places_an_order(self, client, drain):
        program, address, *options = printed_command(run("demo", "--address=http://127.0.0.1:8765"))
        values = dict(zip(options[1::2], options[::2], strict=True))
        [body] = [value for value, option in values.items() if option == "-d"]
        headers = dict(value.split(": ") for value, option in values.items() if option == "-H")

        answer = client.post(
            urlsplit(address).path,
            json.loads(body),
            content_type=headers.pop("Content-Type"),
            headers=headers,
        )

        drain()
        assert (program, urlsplit(address).netloc, answer.status_code) == ("curl", "127.0.0.1:8765", 201)
        assert Order.objects.get(pk=answer.json()["id"]).status == Order.Status.CONFIRMED

    def test_is_refused_if_debug_is_off(self, settings):
        settings.DEBUG = False

        with pytest.raises(CommandError, match="refused if DEBUG is off"):
            run("demo")

        assert not Product.objects.exists()
