from base64 import b64decode, b64encode
from dataclasses import replace
from uuid import uuid4

import pytest
from django.utils import timezone
from http_message_signatures import algorithms

from orders.models import Order
from shop.accounts import services
from shop.accounts.models import SigningKey
from tests.factories import api_of, make_customer
from tests.signing import ORDERS, SENT, WISH, refused, send, signer_of

pytestmark = pytest.mark.django_db


class TestKey:
    def test_is_not_an_unknown_one(self, api, signer):
        stranger = replace(signer, key_id=str(uuid4()))

        assert refused(send(api, stranger.sign("POST", ORDERS, WISH)))

    @pytest.mark.parametrize("key_id", ["", "1", "x" * 200, "{key}\\", "' OR 1=1"])
    def test_has_an_id_of_ours(self, api, signer, key_id):
        stranger = replace(signer, key_id=key_id)

        assert refused(send(api, stranger.sign("POST", ORDERS, WISH)))

    def test_is_not_another_customers(self, api, ada):
        of_bob = signer_of(make_customer(username="bob"), headers=SENT)

        assert refused(send(api, of_bob.sign("POST", ORDERS, WISH)))
        assert send(api_of("bob"), of_bob.sign("POST", ORDERS, WISH)).status_code == 201

    def test_is_not_the_wrong_one_of_the_same_customer(self, api, ada, signer):
        other = signer_of(ada, headers=SENT)
        mixed = replace(other, key_id=signer.key_id)

        assert refused(send(api, mixed.sign("POST", ORDERS, WISH)))

    def test_is_not_a_public_key_taken_for_a_secret(self, api, ada):
        """
        Whoever could choose the algorithm could sign by what everybody may know.
        """
        signer = signer_of(ada, "ed25519", headers=SENT)
        public = SigningKey.objects.get().public_key
        for known in (b64decode(public), public.encode()):
            forger = replace(signer, private=known, algorithm=algorithms.HMAC_SHA256)

            assert refused(send(api, forger.sign("POST", ORDERS, WISH)))
            assert refused(send(api, _without_alg(forger.sign("POST", ORDERS, WISH))))

    def test_is_not_one_that_was_revoked(self, api, signer):
        services.revoke_key(SigningKey.objects.get(), now=timezone.now())

        assert refused(send(api, signer.sign("POST", ORDERS, WISH)))

    def test_signs_in_its_grace_and_not_after(self, api, signer):
        public = b64encode(b"\x07" * 32).decode() if signer.algorithm is algorithms.ED25519 else ""
        services.rotate_key(SigningKey.objects.get(), public_key=public, now=timezone.now())

        assert send(api, signer.sign("POST", ORDERS, WISH)).status_code == 201
        SigningKey.objects.filter(pk=signer.key_id).update(expires_at=timezone.now())
        Order.objects.all().delete()
        assert refused(send(api, signer.sign("POST", ORDERS, WISH)))

    def test_is_not_one_whose_secret_is_lost(self, api, ada, settings):
        signer = signer_of(ada, headers=SENT)
        settings.SECRET_KEY = "s" * 50

        assert refused(send(api, signer.sign("POST", ORDERS, WISH)))


def _without_alg(headers: dict[str, str]) -> dict[str, str]:
    return headers | {"Signature-Input": headers["Signature-Input"].replace(';alg="hmac-sha256"', "")}
