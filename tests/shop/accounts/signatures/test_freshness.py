from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Order
from shop.accounts.models import Nonce, SigningKey
from tests.signing import ORDERS, SENT, WISH, code, refused, send, signer_of

pytestmark = pytest.mark.django_db


class TestTime:
    @pytest.mark.parametrize("seconds", [-295, -1, 0, 295])
    def test_may_be_off_by_five_minutes(self, api, signer, seconds):
        now = timezone.now() + timedelta(seconds=seconds)

        assert send(api, signer.sign("POST", ORDERS, WISH, now=now)).status_code == 201

    @pytest.mark.parametrize("seconds", [-302, 302, -86_400, 86_400 * 365])
    def test_may_not_be_off_by_more(self, api, signer, seconds):
        now = timezone.now() + timedelta(seconds=seconds)

        assert code(send(api, signer.sign("POST", ORDERS, WISH, now=now))) == (401, "timestamp_out_of_tolerance")

    @pytest.mark.parametrize(
        "created",
        [
            "1e9",
            "1_700_000_000",
            "{ms}",
            "",
            "-1",
            "0",
            '"{now}"',
            "{now}.0",
            "@{now}",
            "?1",
            "{now}0",
            "１７",
            "99999999999999",
        ],
    )
    def test_is_written_in_whole_seconds(self, api, signer, created):
        now = int(timezone.now().timestamp())
        headers = signer.sign("POST", ORDERS, WISH)
        written = created.format(now=now, ms=now * 1000)
        headers["Signature-Input"] = _replaced(headers["Signature-Input"], "created", written)

        answer = send(api, {name: value.encode().decode("latin-1") for name, value in headers.items()})

        assert code(answer) == (401, "timestamp_out_of_tolerance")

    def test_is_not_past_what_the_signer_allows(self, api, signer):
        headers = signer.sign("POST", ORDERS, WISH, expires=timezone.now() - timedelta(seconds=2))

        assert code(send(api, headers)) == (401, "timestamp_out_of_tolerance")


class TestNonce:
    def test_is_used_up(self, api, signer):
        headers = signer.sign("POST", ORDERS, WISH)
        first = send(api, headers)

        again = send(api, headers)

        assert (first.status_code, code(again)) == (201, (401, "replayed_request"))
        assert Order.objects.count() == Nonce.objects.count() == 1

    def test_is_new_when_a_request_is_repeated(self, api, signer):
        first, again = [send(api, signer.sign("POST", ORDERS, WISH)) for _ in range(2)]

        assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
        assert again.content == first.content
        assert Order.objects.count() == 1

    def test_is_used_up_by_its_key_alone(self, api, ada):
        signers = [signer_of(ada, algorithm, headers=SENT) for algorithm in ("hmac-sha256", "ed25519")]

        answers = [send(api, signer.sign("POST", ORDERS, WISH, nonce="n")) for signer in signers]

        assert [answer.status_code for answer in answers] == [201, 201]

    def test_is_not_used_up_by_a_bad_signature(self, api, signer):
        headers = signer.sign("POST", ORDERS, WISH)

        assert refused(send(api, headers, body=WISH + b" "))
        assert send(api, headers).status_code == 201

    @pytest.mark.parametrize("nonce", [None, "n" * 129, "two words"])
    def test_has_to_be_there(self, api, signer, nonce):
        assert refused(send(api, signer.sign("POST", ORDERS, WISH, nonce=nonce)))

    def test_is_forgotten_when_its_signature_is_too_old_to_come_again(self, ada):
        now = timezone.now()
        signer_of(ada)
        key = SigningKey.objects.get()
        for minutes in (0, 5, 9, 11, 60):
            Nonce.objects.consume(key=key, nonce=f"n{minutes}", now=now - timedelta(minutes=minutes))

        pruned = Nonce.objects.prune(before=now - timedelta(minutes=10))

        assert pruned == 2
        assert set(Nonce.objects.values_list("nonce", flat=True)) == {"n0", "n5", "n9"}


def _replaced(described: str, name: str, value: str) -> str:
    before, _, rest = described.partition(f";{name}=")
    return f"{before};{name}={value};{rest.partition(';')[2]}"
