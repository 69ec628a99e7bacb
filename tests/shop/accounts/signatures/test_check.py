from base64 import b64encode
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from orders.models import Order
from shop.accounts.models import Account
from tests.outbox import counting_statements
from tests.signing import ALWAYS, ORDERS, SENT, WISH, code, refused, send, signer_of

pytestmark = pytest.mark.django_db

PRODUCTS, QUOTE = "/api/v1/products/", "/api/v1/quote/"


class TestCheck:
    def test_takes_what_is_signed_well(self, api, signer):
        assert send(api, signer.sign("POST", ORDERS, WISH)).status_code == 201

    @pytest.mark.parametrize("query", ["", "?", "?status=placed", "?search=%C3%A9+x%20y&search=%2F~*'()"])
    def test_takes_a_request_without_a_body(self, api, ada, query):
        signed = signer_of(ada).sign("GET", f"{PRODUCTS}{query}")

        assert send(api, signed, method="GET", address=f"{PRODUCTS}{query}", body=b"").status_code != 401

    def test_takes_brackets_as_they_are(self, api, ada):
        """
        The library signs none, so it is given what they stand for.
        """
        signed = signer_of(ada).sign("GET", f"{QUOTE}?quantity%5BRED-CHAIR%5D=2")

        assert api.get(QUOTE, headers=signed, QUERY_STRING="quantity[RED-CHAIR]=2").json()["total"] == 9_000

    def test_takes_more_than_has_to_be_covered(self, api, ada):
        signer = signer_of(ada, headers=SENT | {"Date": "Mon, 23 Nov 2026 10:00:00 GMT"})

        assert send(api, signer.sign("POST", ORDERS, WISH)).status_code == 201

    def test_asks_nobody_to_sign_who_need_not(self, api, ada):
        Account.objects.create(user=ada)

        assert send(api, SENT).status_code == 201

    def test_asks_those_who_must(self, api, ada):
        Account.objects.create(user=ada, must_sign=True)

        assert code(send(api, SENT)) == (401, "signature_required")
        assert code(api.get(ORDERS)) == (401, "signature_required")
        assert send(api, signer_of(ada, headers=SENT).sign("POST", ORDERS, WISH)).status_code == 201

    def test_asks_nobody_in_a_browser(self, ada):
        Account.objects.create(user=ada, must_sign=True)
        browser = APIClient()
        browser.force_login(ada)

        assert browser.get(ORDERS).status_code == 200

    def test_is_not_enough_without_a_token(self, ada, signer):
        browser = APIClient()
        browser.force_login(ada)

        answer = send(browser, signer.sign("POST", ORDERS, WISH))

        assert code(answer) == (401, "not_authenticated")
        assert not Order.objects.exists()

    def test_costs_two_statements(self, api, ada):
        """
        One for the token with its account and the key, and one for the nonce.
        """
        signed = signer_of(ada).sign("GET", "/api/v1/tokens/?cursor=x")

        with counting_statements() as statements:
            assert send(api, signed, method="GET", address="/api/v1/tokens/?cursor=x", body=b"").status_code == 400

        verbs = [statement["sql"].split()[0] for statement in statements]
        assert [verb for verb in verbs if verb in {"SELECT", "INSERT"}] == ["SELECT", "INSERT"]


class TestWhatIsSigned:
    """
    A signature fits the request it was made for, and no other.
    """

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "PUT"},
            {"address": f"{ORDERS}?dry=1"},
            {"address": "/api/v1/products/"},
            {"address": "/api/v1/signing-keys/"},
            {"address": f"{ORDERS}{uuid4()}/cancel/"},
            {"body": WISH.replace(b'"quantity": 1', b'"quantity": 2')},
            {"body": WISH + b" "},
            {"body": b""},
        ],
    )
    def test_is_the_request(self, api, signer, change):
        assert refused(send(api, signer.sign("POST", ORDERS, WISH), **change))

    @pytest.mark.parametrize(
        "change",
        [
            {"Idempotency-Key": "basket-2"},
            {"Idempotency-Key": ""},
            {"Content-Type": "application/json; charset=latin-1"},
            {"Content-Digest": f"sha-256=:{b64encode(b'x' * 32).decode()}:"},
            {"Host": "other.example"},
            {"Host": "testserver:8000"},
        ],
    )
    def test_is_its_headers(self, api, signer, change, settings):
        settings.ALLOWED_HOSTS = ["*"]

        assert refused(send(api, signer.sign("POST", ORDERS, WISH) | change))

    @pytest.mark.parametrize("missing", [*ALWAYS, "content-type", "content-digest", "idempotency-key"])
    def test_has_to_cover_each_part(self, api, signer, missing):
        parts = [*ALWAYS, "content-type", "content-digest", "idempotency-key"]
        parts.remove(missing)
        headers = signer.sign("POST", ORDERS, WISH, covered=parts)
        if missing == "content-digest":
            # The library covers it by itself where it has the body.
            headers = signer.sign("POST", ORDERS, covered=parts)

        assert refused(send(api, headers))

    def test_is_a_query_that_is_read_as_it_was_signed(self, api, ada):
        signed = signer_of(ada).sign("GET", f"{ORDERS}?status=%C3%A9")

        assert refused(api.get(ORDERS, headers=signed, QUERY_STRING="status=\xe9"))

    def test_takes_a_key_that_is_added_for_one_that_is_not_covered(self, api, ada):
        headers = signer_of(ada, headers={"Content-Type": "application/json"}).sign("POST", ORDERS, WISH)

        assert refused(send(api, headers | {"Idempotency-Key": "of-the-attacker"}))

    @pytest.mark.parametrize("tag", [None, "", "other-api"])
    def test_is_meant_for_us(self, api, ada, tag):
        assert refused(send(api, signer_of(ada, headers=SENT, tag=tag).sign("POST", ORDERS, WISH)))
