"""A page at another port of the same host is same-site, so the browser sends the shop's cookies with its requests."""

from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

pytestmark = pytest.mark.browser

PAGE = """
<h1>You have won</h1>
<form method="post" action="{action}" enctype="{encoding}">{fields}<button>Collect</button></form>
"""
FIELD = '<input type="hidden" name="{}" value="{}">'
ORDER = {
    "quantity[RED-CHAIR]": "7",
    "expected_total": "31500",
    "payment_method": "tok_visa",
    "idempotency_key": "foreign-1",
    "csrfmiddlewaretoken": "0" * 64,
}
JSON = {'{"lines": [{"sku": "RED-CHAIR", "quantity": 7}], "payment_method": "tok_visa", "note": "': '"}'}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve a page with a form from another origin; yield a function that returns its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()

    def page(action: str, fields: dict[str, str], encoding: str = "application/x-www-form-urlencoded") -> str:
        hidden = "".join(FIELD.format(escape(name), escape(value)) for name, value in fields.items())
        (tmp_path / "prize.html").write_text(PAGE.format(action=action, encoding=encoding, fields=hidden))
        return f"http://127.0.0.1:{server.server_port}/prize.html"

    yield page
    server.shutdown()
    server.server_close()


class TestForeignPage:
    def test_cancels_nothing(self, logged_in, elsewhere):
        browser = logged_in()
        browser.open("/api/v1/quote/?quantity[DOOR-MAT]=1")
        browser.choose("A bank transfer, which leaves you time to pay, or to cancel")
        browser.press("Place this order")
        order = browser.address

        browser.open(elsewhere(f"{order}cancel/", {}))
        browser.press("Collect")
        refusal = browser.headline
        browser.open(order)

        assert refusal == "CSRF check failed"
        browser.wait_for_headline("Your order awaits its payment")

    @pytest.mark.parametrize(
        ("fields", "encoding"),
        [(ORDER, "application/x-www-form-urlencoded"), (ORDER, "multipart/form-data"), (JSON, "text/plain")],
    )
    def test_orders_nothing(self, logged_in, elsewhere, fields, encoding):
        browser = logged_in()
        browser.open("/api/v1/orders/")
        before = browser.text

        browser.open(elsewhere(browser.address, fields, encoding))
        browser.press("Collect")
        refusal = browser.headline
        browser.open("/api/v1/orders/")

        assert (refusal, browser.text) == ("CSRF check failed", before)

    def test_does_not_log_out(self, logged_in, address, elsewhere):
        browser = logged_in()

        browser.open(elsewhere(f"{address}/api/auth/logout/", {}))
        browser.press("Collect")
        browser.open("/api/v1/orders/")

        assert browser.headline == "Your orders"
