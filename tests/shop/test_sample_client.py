"""
The sample client of docs/examples places orders at a real server, as a process of its own.
"""

import sys
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings

from orders.models import Order
from shop.accounts.models import Account, Nonce, Token
from tests import processes
from tests.factories import CustomerFactory, make_stock
from tests.signing import Signer, signer_of
from tests.threads import workers

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = settings.BASE_DIR / "docs" / "examples" / "place_order.py"


@pytest.fixture
def algorithm() -> str:
    return "hmac-sha256"


@pytest.fixture
def signer(algorithm) -> Signer:
    """
    A signer of Ada's, whose account requires signatures.
    """
    make_stock()
    ada = CustomerFactory()
    Account.objects.create(user=ada, must_sign=True)
    return signer_of(ada, algorithm)


@pytest.fixture
def client(signer, tmp_path, live_server):
    """
    Return a function that runs the sample client and returns its exit status, output lines and errors.
    """
    _, token = Token.objects.create(CustomerFactory(), name="sample")
    environment = {"SHOP_TOKEN": token, "SHOP_KEY_ID": signer.key_id}
    if isinstance(signer.private, bytes):
        environment["SHOP_SECRET"] = b64encode(signer.private).decode()
    else:
        pem = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "key.pem").write_bytes(pem)
        environment["SHOP_PRIVATE_KEY"] = str(tmp_path / "key.pem")

    def run(*arguments: str, address: str = live_server.url) -> tuple[int, list[str], str]:
        finished = processes.run([sys.executable, CLIENT, *arguments], **environment, SHOP_URL=address)
        return finished.status, finished.output.splitlines(), finished.errors

    return run


@pytest.fixture
def lossy_proxy(live_server) -> Iterator[str]:
    """
    Run a proxy that loses the response to the first POST; yield its URL.
    """
    posts = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server = HTTPConnection(urlsplit(live_server.url).netloc)
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            content = answer.read()
            if self.command == "POST" and not posts:
                posts.append(content)
                return
            self.wfile.write(b"HTTP/1.0 %d -\r\n" % answer.status)
            self.wfile.write(b"".join(f"{name}: {value}\r\n".encode() for name, value in answer.getheaders()))
            self.wfile.write(b"\r\n" + content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """
            Log nothing.
            """

    with ThreadingHTTPServer((live_server.thread.host, 0), Proxy) as proxy:
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        yield f"http://{live_server.thread.host}:{proxy.server_port}"
        proxy.shutdown()
        thread.join()


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "ed25519"])
def test_places_an_order_and_follows_it_until_it_is_final(client, live_server):
    with workers(1):
        status, output, _ = client("RED-CHAIR=2", "--key", "my-order-17")

    order = Order.objects.get()
    assert status == 0
    assert output[0] == f"placed {live_server.url}/api/v1/orders/{order.pk}/"
    assert output[-1] == order.status == "confirmed"
    assert (order.idempotency_key, order.total) == ("my-order-17", 9_000)


def test_fails_if_the_order_is_cancelled(client):
    with workers(1):
        status, output, _ = client("RED-CHAIR=1", "--payment-method", "tok_declined")

    assert (status, output[-1]) == (1, "cancelled")


def test_places_no_second_order_with_the_same_key(client):
    with workers(1):
        runs = [client("RED-CHAIR=1", "--key", "my-order-17") for _ in range(2)]

    assert [status for status, _, _ in runs] == [0, 0]
    assert Order.objects.count() == 1


def test_repeats_a_lost_request_with_another_nonce(client, lossy_proxy):
    with workers(1):
        status, output, _ = client("RED-CHAIR=1", address=lossy_proxy)

    assert (status, output[-1]) == (0, "confirmed")
    assert Order.objects.count() == 1
    # The price, the lost order, the order again, and long polling.
    assert Nonce.objects.count() >= 4


def test_shows_the_error_of_the_shop(client):
    status, _, errors = client("BLUE-CHAIR=1")

    assert status == 1
    assert errors.startswith("404: {")
