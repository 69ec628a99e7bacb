from base64 import b64encode
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from orders.models import Order
from shop.accounts.models import Account
from tests.outbox import counting_statements
from tests.signing import COVERED_BY_DEFAULT, ORDER_BODY, ORDERS, SENT, code, is_rejected, send, signer_of

pytestmark = pytest.mark.django_db

PRODUCTS, QUOTE = "/api/v1/products/", "/api/v1/quote/"
COMPONENTS = [*COVERED_BY_DEFAULT, "content-type", "content-digest", "idempotency-key"]


class TestVerify:
    def test_accepts_a_valid_signature(self, api, signer):
        assert send(api, signer.sign("POST", ORDERS, ORDER_BODY)).status_code == 201

    @pytest.mark.parametrize("query", ["", "?", "?status=placed", "?search=%C3%A9+x%20y&search=%2F~*'()"])
    def test_accepts_a_request_without_a_body(self, api, ada, query):
        signed = signer_of(ada).sign("GET", f"{PRODUCTS}{query}")

        assert send(api, signed, method="GET", address=f"{PRODUCTS}{query}", body=b"").status_code != 401

    def test_accepts_brackets_in_the_query(self, api, ada):
        """
        The library signs their percent-encoded form.
        """
        signed = signer_of(ada).sign("GET", f"{QUOTE}?quantity%5BRED-CHAIR%5D=2")

        assert api.get(QUOTE, headers=signed, QUERY_STRING="quantity[RED-CHAIR]=2").json()["total"] == 9_000

    def test_accepts_more_components_than_required(self, api, ada):
        signer = signer_of(ada, headers=SENT | {"Date": "Mon, 23 Nov 2026 10:00:00 GMT"})

        assert send(api, signer.sign("POST", ORDERS, ORDER_BODY)).status_code == 201

    def test_requires_no_signature_by_default(self, api, ada):
        Account.objects.create(user=ada)

        assert send(api, SENT).status_code == 201

    def test_row_63_requires_a_signature_if_the_account_does(self, api, ada):
        Account.objects.create(user=ada, must_sign=True)

        assert code(send(api, SENT)) == (401, "signature_required")
        assert code(api.get(ORDERS)) == (401, "signature_required")
        assert not Order.objects.exists()
        assert send(api, signer_of(ada, headers=SENT).sign("POST", ORDERS, ORDER_BODY)).status_code == 201

    def test_requires_none_of_a_session(self, ada):
        Account.objects.create(user=ada, must_sign=True)
        browser = APIClient()
        browser.force_login(ada)

        assert browser.get(ORDERS).status_code == 200

    def test_rejects_a_signature_without_a_token(self, ada, signer):
        browser = APIClient()
        browser.force_login(ada)

        answer = send(browser, signer.sign("POST", ORDERS, ORDER_BODY))

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


class TestSignedRequest:
    """
    A signature is valid for the request it was made for, and for no other.
    """

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "PUT"},
            {"address": f"{ORDERS}?dry=1"},
            {"address": "/api/v1/products/"},
            {"address": "/api/v1/signing-keys/"},
            {"address": f"{ORDERS}{uuid4()}/cancel/"},
            {"body": ORDER_BODY.replace(b'"quantity": 1', b'"quantity": 2')},
            {"body": ORDER_BODY + b" "},
            {"body": b""},
        ],
    )
    def test_cannot_change(self, api, signer, change):
        assert is_rejected(send(api, signer.sign("POST", ORDERS, ORDER_BODY), **change))

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
    def test_cannot_change_its_headers(self, api, signer, change, settings):
        settings.ALLOWED_HOSTS = ["*"]

        assert is_rejected(send(api, signer.sign("POST", ORDERS, ORDER_BODY) | change))

    @pytest.mark.parametrize("missing", COMPONENTS)
    def test_must_be_covered_in_each_component(self, api, signer, missing):
        covered = [component for component in COMPONENTS if component != missing]
        # The library always covers the digest of a body that it knows.
        body = b"" if missing == "content-digest" else ORDER_BODY

        assert is_rejected(send(api, signer.sign("POST", ORDERS, body, covered=covered)))

    def test_has_the_query_that_was_signed(self, api, ada):
        signed = signer_of(ada).sign("GET", f"{ORDERS}?status=%C3%A9")

        assert is_rejected(api.get(ORDERS, headers=signed, QUERY_STRING="status=\xe9"))

    @pytest.mark.parametrize("tag", [None, "", "other-api"])
    def test_is_tagged_for_this_api(self, api, ada, tag):
        assert is_rejected(send(api, signer_of(ada, headers=SENT, tag=tag).sign("POST", ORDERS, ORDER_BODY)))
