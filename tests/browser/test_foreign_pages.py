"""
A page at another port of the same host is of the same site, so the browser sends the shop's cookies along from there.
"""

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
WISH = {
    "quantity[RED-CHAIR]": "7",
    "expected_total": "31500",
    "payment_method": "tok_visa",
    "idempotency_key": "foreign-1",
    "csrfmiddlewaretoken": "0" * 64,
}
JSON = {'{"lines": [{"sku": "RED-CHAIR", "quantity": 7}], "payment_method": "tok_visa", "note": "': '"}'}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """
    Serve a page with a form from another origin, and tell its address.
    """
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
    def test_cancels_nothing(self, ada, elsewhere):
        visitor = ada()
        visitor.open("/api/v1/quote/?quantity[DOOR-MAT]=1")
        visitor.choose("A bank transfer, which leaves you time to pay, or to cancel")
        visitor.press("Place this order")
        order = visitor.address

        visitor.open(elsewhere(f"{order}cancel/", {}))
        visitor.press("Collect")
        refusal = visitor.headline
        visitor.open(order)

        assert refusal == "The form did not come from our page"
        visitor.watch_until("Your order awaits its payment")

    @pytest.mark.parametrize(
        ("fields", "encoding"),
        [(WISH, "application/x-www-form-urlencoded"), (WISH, "multipart/form-data"), (JSON, "text/plain")],
    )
    def test_orders_nothing(self, ada, elsewhere, fields, encoding):
        visitor = ada()
        visitor.open("/api/v1/orders/")
        before = visitor.text

        visitor.open(elsewhere(visitor.address, fields, encoding))
        visitor.press("Collect")
        refusal = visitor.headline
        visitor.open("/api/v1/orders/")

        assert (refusal, visitor.text) == ("The form did not come from our page", before)

    def test_logs_nobody_out(self, ada, address, elsewhere):
        visitor = ada()

        visitor.open(elsewhere(f"{address}/api/auth/logout/", {}))
        visitor.press("Collect")
        visitor.open("/api/v1/orders/")

        assert visitor.headline == "Your orders"
