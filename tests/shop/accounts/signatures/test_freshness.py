from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Order
from shop.accounts.models import Nonce
from tests.bad_input.rows import one_of, rows
from tests.signing import ORDER_BODY, ORDERS, SENT, code, is_rejected, send, signer_of

pytestmark = pytest.mark.django_db

STALE = (401, "timestamp_out_of_tolerance")


class TestCreated:
    @pytest.mark.parametrize("seconds", [-295, -1, 0, 295])
    def test_may_be_off_by_five_minutes(self, api, signer, seconds):
        now = timezone.now() + timedelta(seconds=seconds)

        assert send(api, signer.sign("POST", ORDERS, ORDER_BODY, now=now)).status_code == 201

    @rows("seconds", (66, one_of(-302, 302, -86_400, 86_400 * 365)))
    def test_may_not_be_off_by_more(self, api, signer, seconds):
        now = timezone.now() + timedelta(seconds=seconds)

        assert code(send(api, signer.sign("POST", ORDERS, ORDER_BODY, now=now))) == STALE
        assert not Order.objects.exists()

    @rows(
        "created",
        (66, one_of("1e9", "1_700_000_000", "1_7{now}", "{now}000", "{now}0", "{now}.0", "@{now}", '"{now}"')),
        (66, one_of("", "0", "-1", "-{now}", "?1", "１７", "99999999999999", "{early}", "{late}")),
    )
    def test_must_be_in_whole_seconds_and_signed(self, api, signer, created):
        now = int(timezone.now().timestamp())
        headers = signer.sign("POST", ORDERS, ORDER_BODY)
        before, _, rest = headers["Signature-Input"].partition(";created=")
        value = created.format(now=now, early=now - 302, late=now + 302)
        headers["Signature-Input"] = f"{before};created={value};{rest.partition(';')[2]}"

        answer = send(api, {name: value.encode().decode("latin-1") for name, value in headers.items()})

        assert code(answer) == STALE
        assert not Order.objects.exists()

    def test_may_not_be_after_expires(self, api, signer):
        headers = signer.sign("POST", ORDERS, ORDER_BODY, expires=timezone.now() - timedelta(seconds=2))

        assert code(send(api, headers)) == STALE


class TestNonce:
    def test_row_67_is_valid_once(self, api, signer):
        headers = signer.sign("POST", ORDERS, ORDER_BODY)
        first = send(api, headers)

        again = send(api, headers)

        assert (first.status_code, code(again)) == (201, (401, "replayed_request"))
        assert Order.objects.count() == Nonce.objects.count() == 1

    def test_is_new_when_a_request_is_repeated(self, api, signer):
        first, again = [send(api, signer.sign("POST", ORDERS, ORDER_BODY)) for _ in range(2)]

        assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
        assert again.content == first.content
        assert Order.objects.count() == 1

    def test_belongs_to_its_key(self, api, ada):
        signers = [signer_of(ada, algorithm, headers=SENT) for algorithm in ("hmac-sha256", "ed25519")]

        answers = [send(api, signer.sign("POST", ORDERS, ORDER_BODY, nonce="n")) for signer in signers]

        assert [answer.status_code for answer in answers] == [201, 201]

    def test_is_not_consumed_by_an_invalid_signature(self, api, signer):
        headers = signer.sign("POST", ORDERS, ORDER_BODY)

        assert is_rejected(send(api, headers, body=ORDER_BODY + b" "))
        assert not Nonce.objects.exists()
        assert send(api, headers).status_code == 201

    @pytest.mark.parametrize("nonce", [None, "n" * 129, "two words"])
    def test_is_required(self, api, signer, nonce):
        assert is_rejected(send(api, signer.sign("POST", ORDERS, ORDER_BODY, nonce=nonce)))
