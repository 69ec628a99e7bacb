"""
Signing keys. Invalid requests for one are in tests/bad_input.
"""

from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import IntegrityError, transaction
from django.utils import timezone

from shop.accounts import services
from shop.accounts.models import SigningKey
from shop.accounts.sealing import LostSecret
from tests.factories import api_of, make_signing_key

pytestmark = pytest.mark.django_db

KEYS = "/api/v1/signing-keys/"
HMAC = {"name": "till", "algorithm": "hmac-sha256"}
PUBLIC = Ed25519PrivateKey.generate().public_key()
IN_BASE64 = b64encode(PUBLIC.public_bytes_raw()).decode()
IN_PEM = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
ED25519 = {"name": "till", "algorithm": "ed25519", "public_key": IN_BASE64}


class TestCreate:
    def test_returns_a_secret_once(self, api):
        answer = api.post(KEYS, HMAC, format="json")

        key = SigningKey.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {
            "id": str(key.pk),
            "name": "till",
            "algorithm": "hmac-sha256",
            "public_key": "",
            "created_at": key.created_at.isoformat().replace("+00:00", "Z"),
            "expires_at": None,
            "secret": answer.json()["secret"],
        }
        assert b64decode(answer.json()["secret"]) == key.verifier()
        assert len(key.verifier()) == 32
        assert "secret" not in api.get(KEYS).json()["results"][0]

    def test_encrypts_the_secret(self, api):
        secret = api.post(KEYS, HMAC, format="json").json()["secret"]

        stored = str(SigningKey.objects.values())
        assert secret not in stored
        assert b64decode(secret).hex() not in stored

    @pytest.mark.parametrize("public_key", [IN_BASE64, IN_PEM], ids=["base64", "PEM"])
    def test_accepts_a_public_key(self, api, public_key):
        answer = api.post(KEYS, ED25519 | {"public_key": public_key}, format="json")

        assert (answer.status_code, answer.json()["public_key"], answer.json()["secret"]) == (201, IN_BASE64, "")
        assert SigningKey.objects.get().verifier() == PUBLIC

    def test_enforces_the_maximum_of_current_keys(self, api, settings):
        settings.ACCOUNTS = replace(settings.ACCOUNTS, signing_keys_per_user=2)
        services.revoke_key(make_signing_key(), now=timezone.now())
        services.rotate_key(make_signing_key(), now=timezone.now())
        make_signing_key()

        answer = api.post(KEYS, HMAC, format="json")

        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
        assert api_of("bob").post(KEYS, HMAC, format="json").status_code == 201


class TestRotate:
    def test_creates_a_key_and_keeps_the_old_one_for_a_day(self, api):
        old = make_signing_key()

        answer = api.post(f"{KEYS}{old.pk}/rotate/")

        new = SigningKey.objects.get(pk=answer.json()["id"])
        old.refresh_from_db()
        assert (answer.status_code, answer.json()["name"], answer.json()["expires_at"]) == (201, "till", None)
        assert b64decode(answer.json()["secret"]) == new.verifier() != old.verifier()
        assert abs(old.expires_at - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
        assert [row["id"] for row in api.get(KEYS).json()["results"]] == [str(new.pk), str(old.pk)]

    def test_keeps_it_for_the_configured_time(self, api, settings):
        settings.ACCOUNTS = replace(settings.ACCOUNTS, signing_key_grace_hours=1)
        old = make_signing_key()

        api.post(f"{KEYS}{old.pk}/rotate/")

        usable = SigningKey.objects.usable(timezone.now() + timedelta(hours=1, seconds=1))
        assert old not in usable
        assert usable.count() == 1

    def test_accepts_a_new_public_key(self, api):
        other = b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
        old = api.post(KEYS, ED25519, format="json").json()["id"]

        answer = api.post(f"{KEYS}{old}/rotate/", {"public_key": other}, format="json")

        assert (answer.status_code, answer.json()["public_key"]) == (201, other)

    def test_leaves_the_old_key_unchanged_if_the_public_key_is_invalid(self, api):
        old = api.post(KEYS, ED25519, format="json").json()["id"]

        answer = api.post(f"{KEYS}{old}/rotate/", {"public_key": "short"}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_public_key")
        assert SigningKey.objects.get().expires_at is None

    def test_is_a_conflict_the_second_time(self, api):
        old = make_signing_key()
        api.post(f"{KEYS}{old.pk}/rotate/")

        answer = api.post(f"{KEYS}{old.pk}/rotate/")

        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
        assert SigningKey.objects.count() == 2


class TestRevoke:
    def test_makes_the_key_invalid(self, api):
        key = make_signing_key()

        answer = api.delete(f"{KEYS}{key.pk}/")

        assert (answer.status_code, answer.content) == (204, b"")
        assert not SigningKey.objects.usable(timezone.now()).exists()
        assert api.get(KEYS).json()["results"] == []
        assert api.delete(f"{KEYS}{key.pk}/").status_code == 404
        assert api.post(f"{KEYS}{key.pk}/rotate/").status_code == 404

    def test_ends_the_grace_period(self, api):
        key = make_signing_key()
        successor, _ = services.rotate_key(key, now=timezone.now())

        api.delete(f"{KEYS}{key.pk}/")

        assert list(SigningKey.objects.usable(timezone.now())) == [successor]


class TestSecret:
    def test_is_lost_with_the_secret_key_of_the_shop(self, settings):
        key = make_signing_key()

        settings.SECRET_KEY = "s" * 50

        with pytest.raises(LostSecret):
            key.verifier()
        assert services.reseal_secrets() == 0

    @pytest.mark.parametrize(
        ("algorithm", "sealed_secret", "public_key"),
        [
            ("hmac-sha256", "", ""),
            ("hmac-sha256", "s", "p"),
            ("ed25519", "", ""),
            ("ed25519", "s", "p"),
            ("none", "s", ""),
        ],
    )
    def test_belongs_to_its_algorithm(self, algorithm, sealed_secret, public_key):
        key = make_signing_key()

        with pytest.raises(IntegrityError), transaction.atomic():
            SigningKey.objects.filter(pk=key.pk).update(
                algorithm=algorithm, sealed_secret=sealed_secret, public_key=public_key
            )
