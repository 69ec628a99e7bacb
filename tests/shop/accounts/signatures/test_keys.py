import uuid
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from django.utils import timezone
from http_message_signatures import algorithms

from orders.models import Order
from shop.accounts import services
from shop.accounts.models import SigningKey
from tests.factories import CustomerFactory, api_of
from tests.signing import ORDER_BODY, ORDERS, SENT, is_rejected, send, signer_of

pytestmark = pytest.mark.django_db


class TestRejectsAKey:
    @pytest.mark.parametrize("key_id", [str(uuid.UUID(int=7)), "", "1", "x" * 200, "{key}\\", "' OR 1=1"])
    def test_that_is_unknown(self, api, signer, key_id):
        stranger = replace(signer, key_id=key_id)

        assert is_rejected(send(api, stranger.sign("POST", ORDERS, ORDER_BODY)))

    def test_row_64_of_another_customer(self, api, ada):
        of_bob = signer_of(CustomerFactory(username="bob"), headers=SENT)

        assert is_rejected(send(api, of_bob.sign("POST", ORDERS, ORDER_BODY)))
        assert send(api_of("bob"), of_bob.sign("POST", ORDERS, ORDER_BODY)).status_code == 201

    def test_with_the_id_of_another_one_of_the_customer(self, api, ada, signer):
        other = signer_of(ada, headers=SENT)
        mixed = replace(other, key_id=signer.key_id)

        assert is_rejected(send(api, mixed.sign("POST", ORDERS, ORDER_BODY)))

    def test_that_is_a_public_key_used_as_a_secret(self, api, ada):
        """
        If the request chose the algorithm, a public key would be enough to sign.
        """
        signer = signer_of(ada, "ed25519", headers=SENT)
        public = SigningKey.objects.get().public_key
        for known in (b64decode(public), public.encode()):
            forger = replace(signer, private=known, algorithm=algorithms.HMAC_SHA256)
            headers = forger.sign("POST", ORDERS, ORDER_BODY)
            without_alg = headers["Signature-Input"].replace(';alg="hmac-sha256"', "")

            assert is_rejected(send(api, headers))
            assert is_rejected(send(api, headers | {"Signature-Input": without_alg}))

    def test_that_was_revoked(self, api, signer):
        services.revoke_key(SigningKey.objects.get(), now=timezone.now())

        assert is_rejected(send(api, signer.sign("POST", ORDERS, ORDER_BODY)))

    def test_after_its_grace_period(self, api, signer):
        public = b64encode(b"\x07" * 32).decode() if signer.algorithm is algorithms.ED25519 else ""
        services.rotate_key(SigningKey.objects.get(), public_key=public, now=timezone.now())

        assert send(api, signer.sign("POST", ORDERS, ORDER_BODY)).status_code == 201
        SigningKey.objects.filter(pk=signer.key_id).update(expires_at=timezone.now())
        Order.objects.all().delete()
        assert is_rejected(send(api, signer.sign("POST", ORDERS, ORDER_BODY)))

    def test_whose_secret_is_lost(self, api, ada, settings):
        signer = signer_of(ada, headers=SENT)
        settings.SECRET_KEY = "s" * 50

        assert is_rejected(send(api, signer.sign("POST", ORDERS, ORDER_BODY)))
