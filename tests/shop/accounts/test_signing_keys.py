from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from shop.accounts import services
from shop.accounts.models import SigningKey
from shop.accounts.sealing import LostSecret
from tests.factories import api_of, make_customer

pytestmark = pytest.mark.django_db

KEYS = "/api/v1/signing-keys/"
PUBLIC = Ed25519PrivateKey.generate().public_key()
IN_BASE64 = b64encode(PUBLIC.public_bytes_raw()).decode()
HMAC = {"name": "till", "algorithm": "hmac-sha256"}
ED25519 = {"name": "till", "algorithm": "ed25519", "public_key": IN_BASE64}


def pem(public_key) -> str:
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def make_key(owner: str = "ada") -> SigningKey:
    key, _ = services.create_key(owner=make_customer(username=owner), **HMAC, now=timezone.now())
    return key


class TestCreate:
    def test_makes_a_secret_and_shows_it_once(self, api):
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

    def test_seals_the_secret(self, api):
        secret = api.post(KEYS, HMAC, format="json").json()["secret"]

        stored = str(SigningKey.objects.values())
        assert secret not in stored
        assert b64decode(secret).hex() not in stored

    @pytest.mark.parametrize("written", [IN_BASE64, pem(PUBLIC)], ids=["in base64", "in PEM"])
    def test_takes_a_public_key(self, api, written):
        answer = api.post(KEYS, ED25519 | {"public_key": written}, format="json")

        assert (answer.status_code, answer.json()["public_key"], answer.json()["secret"]) == (201, IN_BASE64, "")
        assert SigningKey.objects.get().verifier() == PUBLIC

    @pytest.mark.parametrize(
        ("asked", "field", "code"),
        [
            (ED25519 | {"public_key": ""}, "public_key", "invalid_public_key"),
            ({"name": "till", "algorithm": "ed25519"}, "public_key", "invalid_public_key"),
            (ED25519 | {"public_key": IN_BASE64[:-4]}, "public_key", "invalid_public_key"),
            (ED25519 | {"public_key": f" {IN_BASE64}"}, "public_key", "invalid_public_key"),
            (ED25519 | {"public_key": "é" * 44}, "public_key", "invalid_public_key"),
            (ED25519 | {"public_key": PUBLIC.public_bytes_raw().hex()}, "public_key", "invalid_public_key"),
            (ED25519 | {"public_key": "-----BEGIN é"}, "public_key", "invalid_public_key"),
            (
                ED25519 | {"public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END"},
                "public_key",
                "invalid_public_key",
            ),
            (
                ED25519 | {"public_key": pem(ec.generate_private_key(ec.SECP256R1()).public_key())},
                "public_key",
                "invalid_public_key",
            ),
            (ED25519 | {"public_key": 1}, "public_key", "invalid_public_key"),
            (HMAC | {"public_key": IN_BASE64}, "public_key", "invalid_public_key"),
            (HMAC | {"algorithm": "rsa-pss-sha512"}, "algorithm", "invalid_algorithm"),
            (HMAC | {"algorithm": ["ed25519"]}, "algorithm", "invalid_algorithm"),
            (HMAC | {"algorithm": ""}, "algorithm", "invalid_algorithm"),
            (HMAC | {"name": "n" * 101}, "name", "invalid_name"),
            (HMAC | {"secret": "of mine"}, "secret", "unknown_field"),
            (HMAC | {"owner": 1}, "owner", "unknown_field"),
        ],
    )
    def test_refuses_what_makes_no_key(self, api, asked, field, code):
        answer = api.post(KEYS, asked, format="json")

        assert answer.status_code == 400
        assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [(f"#/{field}", code)]
        assert not SigningKey.objects.exists()

    def test_makes_only_so_many(self, api, settings):
        settings.ACCOUNTS = replace(settings.ACCOUNTS, signing_keys_per_user=2)
        services.revoke_key(make_key(), now=timezone.now())
        services.rotate_key(make_key(), now=timezone.now())
        make_key()

        answer = api.post(KEYS, HMAC, format="json")

        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
        assert api_of("bob").post(KEYS, HMAC, format="json").status_code == 201

    def test_is_not_for_strangers(self):
        answer = APIClient().post(KEYS, HMAC, format="json")

        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


class TestRotate:
    def test_makes_a_key_and_leaves_the_old_one_for_a_day(self, api):
        old = make_key()

        answer = api.post(f"{KEYS}{old.pk}/rotate/")

        new = SigningKey.objects.get(pk=answer.json()["id"])
        old.refresh_from_db()
        assert (answer.status_code, answer.json()["name"], answer.json()["expires_at"]) == (201, "till", None)
        assert b64decode(answer.json()["secret"]) == new.verifier() != old.verifier()
        assert abs(old.expires_at - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
        assert [row["id"] for row in api.get(KEYS).json()["results"]] == [str(new.pk), str(old.pk)]

    def test_leaves_it_for_as_long_as_the_shop_says(self, api, settings):
        settings.ACCOUNTS = replace(settings.ACCOUNTS, signing_key_grace_hours=1)
        old = make_key()

        api.post(f"{KEYS}{old.pk}/rotate/")

        usable = SigningKey.objects.usable(timezone.now() + timedelta(hours=1, seconds=1))
        assert old not in usable
        assert usable.count() == 1

    def test_takes_a_new_public_key(self, api):
        other = b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
        old = api.post(KEYS, ED25519, format="json").json()["id"]

        answer = api.post(f"{KEYS}{old}/rotate/", {"public_key": other}, format="json")

        assert (answer.status_code, answer.json()["public_key"]) == (201, other)

    def test_refuses_a_bad_one_and_leaves_the_old_key_as_it_is(self, api):
        old = api.post(KEYS, ED25519, format="json").json()["id"]

        answer = api.post(f"{KEYS}{old}/rotate/", {"public_key": "short"}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_public_key")
        assert SigningKey.objects.get().expires_at is None

    def test_is_done_once(self, api):
        old = make_key()
        api.post(f"{KEYS}{old.pk}/rotate/")

        answer = api.post(f"{KEYS}{old.pk}/rotate/")

        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
        assert SigningKey.objects.count() == 2


class TestRevoke:
    def test_ends_the_key_at_once(self, api):
        key = make_key()

        answer = api.delete(f"{KEYS}{key.pk}/")

        assert (answer.status_code, answer.content) == (204, b"")
        assert not SigningKey.objects.usable(timezone.now()).exists()
        assert api.get(KEYS).json()["results"] == []

    def test_ends_its_grace(self, api):
        key = make_key()
        services.rotate_key(key, now=timezone.now())

        api.delete(f"{KEYS}{key.pk}/")

        assert SigningKey.objects.usable(timezone.now()).exclude(pk=key.pk).count() == 1
        assert not SigningKey.objects.usable(timezone.now()).filter(pk=key.pk).exists()


class TestWhose:
    @pytest.mark.parametrize("name", ["{bob}", "{revoked}", "{unknown}", "1", "x" * 300])
    @pytest.mark.parametrize(("method", "door"), [("delete", ""), ("post", "rotate/")])
    def test_keys_of_others_are_not_there(self, api, name, method, door):
        of_bob, revoked = make_key("bob"), make_key()
        services.revoke_key(revoked, now=timezone.now())
        address = f"{KEYS}{name.format(bob=of_bob.pk, revoked=revoked.pk, unknown=uuid4())}/{door}"

        answer = getattr(api, method)(address)

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert list(SigningKey.objects.usable(timezone.now())) == [of_bob]


class TestSecret:
    def test_opens_with_a_fallback_while_the_key_of_the_shop_changes(self, settings):
        key = make_key()
        secret = key.verifier()

        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "s" * 50, [settings.SECRET_KEY]
        assert key.verifier() == secret
        assert services.reseal_secrets() == 1

        settings.SECRET_KEY_FALLBACKS = []
        key.refresh_from_db()
        assert key.verifier() == secret

    def test_is_lost_with_the_key_of_the_shop(self, settings):
        key = make_key()

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
    def test_fits_the_algorithm(self, algorithm, sealed_secret, public_key):
        key = make_key()

        with pytest.raises(IntegrityError), transaction.atomic():
            SigningKey.objects.filter(pk=key.pk).update(
                algorithm=algorithm, sealed_secret=sealed_secret, public_key=public_key
            )
