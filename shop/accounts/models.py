"""
Who may speak for whom: tokens, the keys that sign requests, and the nonces that were used up by signing.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, models
from django.db.models import Q
from django.utils.crypto import salted_hmac
from knox.models import AbstractAuthToken, AuthTokenManager

from messaging.kernel.databases import adapt, insert_once, read_uuid
from messaging.kernel.ids import new_id

PRUNED_AT_ONCE = 2_000

# In the order of the model's, as `from_db` wants them.
USER_FIELDS = ("id", "is_superuser", "username", "email", "is_staff", "is_active")
KEY_FIELDS = ("id", "algorithm", "sealed_secret", "public_key")
FIND_TOKEN = f"""
    SELECT shop_token.id, shop_account.must_sign, {", ".join(f"key.{field}" for field in KEY_FIELDS[1:])},
        {", ".join(f"auth_user.{field}" for field in USER_FIELDS)}
    FROM shop_token
    JOIN auth_user ON auth_user.id = shop_token.user_id
    LEFT JOIN shop_account ON shop_account.user_id = auth_user.id
    LEFT JOIN shop_signingkey AS key ON key.id = %s AND key.owner_id = auth_user.id
        AND key.revoked_at IS NULL AND (key.expires_at IS NULL OR key.expires_at > %s)
    WHERE shop_token.digest = %s AND shop_token.expiry > %s AND auth_user.is_active
"""  # noqa: S608  (names of fields)


class Account(models.Model):
    """
    What the shop knows of a user beyond what Django does. A user without one is asked for nothing special.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account")
    must_sign = models.BooleanField(default=False, help_text="Requests with a token are taken only if they are signed.")

    def __str__(self) -> str:
        return f"account of {self.user}"


class TokenQuerySet(models.QuerySet["Token"]):
    def usable(self, now: datetime) -> "TokenQuerySet":
        """
        Narrow to what still opens the API.
        """
        return self.filter(expiry__gt=now, user__is_active=True)

    def find(self, *, digest: str, key_id: UUID | None = None, now: datetime) -> "Token":
        """
        Find what still opens the API by its digest, with its user, whether that must sign, and the key of this id, if
        the user has it and it may still sign.

        A plain statement: each request asks for this, and the ORM spends 400 µs on it, this 50. What it leaves out is
        fetched when somebody looks at it.

        :raises Token.DoesNotExist: if there is none.
        """
        with connection.cursor() as cursor:
            cursor.execute(FIND_TOKEN, [adapt(key_id), adapt(now), digest, adapt(now)])
            found = cursor.fetchone()
        if not found:
            raise Token.DoesNotExist
        (token_id, must_sign, *key), known = found[: -len(USER_FIELDS)], found[-len(USER_FIELDS) :]
        user = User.from_db(self.db, USER_FIELDS, known)
        user.account = Account(must_sign=bool(must_sign))
        token = Token.from_db(self.db, ["user_id", "id"], [user.pk, read_uuid(token_id)])
        token.user = user
        token.signing_key = SigningKey.from_db(self.db, KEY_FIELDS, [key_id, *key]) if any(key) else None
        return token


class Token(AbstractAuthToken):
    """
    What a program sends instead of a password. Only a digest of it is kept.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=100, help_text="What its owner calls it.")
    digest = models.CharField(max_length=128, unique=True, editable=False)

    signing_key: "SigningKey | None"
    """By which a request says that it is signed, as `find` has found it."""

    objects = AuthTokenManager.from_queryset(TokenQuerySet)()

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"


class SigningKeyQuerySet(models.QuerySet["SigningKey"]):
    def usable(self, now: datetime) -> "SigningKeyQuerySet":
        """
        Narrow to what may still sign.
        """
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)

    def lasting(self) -> "SigningKeyQuerySet":
        """
        Narrow to what may sign until further notice.
        """
        return self.filter(expires_at=None, revoked_at=None)


class SigningKey(models.Model):
    """
    A key whose signatures are taken for its owner's. Its algorithm is fixed here, whatever a request says.
    """

    class Algorithm(models.TextChoices):
        HMAC_SHA256 = "hmac-sha256", "hmac-sha256"
        """A secret that the shop has made and both sides keep."""
        ED25519 = "ed25519", "ed25519"
        """The public half of a key pair whose private half never leaves its owner."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="signing_keys")
    name = models.CharField(max_length=100, help_text="What its owner calls it.")
    algorithm = models.CharField(max_length=20, choices=Algorithm)
    sealed_secret = models.TextField(blank=True, editable=False, help_text="The secret, encrypted by SECRET_KEY.")
    public_key = models.CharField(max_length=44, blank=True, help_text="32 bytes in base64.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, help_text="The end of its grace, once another key took its place.")
    revoked_at = models.DateTimeField(null=True)

    objects = SigningKeyQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=(Q(algorithm="hmac-sha256", public_key="") & ~Q(sealed_secret=""))
                | (Q(algorithm="ed25519", sealed_secret="") & ~Q(public_key="")),
                name="signing_key_fits_its_algorithm",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"

    def verifier(self) -> Any:
        """
        Return what checks a signature: the secret's bytes, or a public key of `cryptography`.

        :raises LostSecret: if no SECRET_KEY opens the secret.
        """
        if self.algorithm == self.Algorithm.HMAC_SHA256:
            return unseal(self.sealed_secret)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(b64decode(self.public_key))


class NonceQuerySet(models.QuerySet["Nonce"]):
    def use_up(self, *, key: SigningKey, nonce: str, now: datetime) -> bool:
        """
        Remember this nonce, and tell whether nobody has used it with this key before.

        A plain statement: it tells what the ORM's `ignore_conflicts` hides, and needs no savepoint for its failure.
        What a power cut makes it forget may be replayed, and then meets the idempotency key, which is on the disk.
        """
        return insert_once("shop_nonce", {"key_id": key.pk, "nonce": nonce, "used_at": now})

    def prune(self, *, before: datetime) -> int:
        """
        Forget what was used before this moment, some at a time, oldest first; return how many.
        """
        pruned = 0
        oldest = self.order_by("pk").values_list("pk", "used_at")
        while old := [pk for pk, used_at in oldest[:PRUNED_AT_ONCE] if used_at < before]:
            pruned += self.filter(pk__in=old).delete()[0]
        return pruned


class Nonce(models.Model):
    """
    A nonce that came with a good signature, kept for as long as that signature could come again.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.ForeignKey(SigningKey, on_delete=models.CASCADE, related_name="nonces", db_index=False)
    nonce = models.CharField(max_length=128)
    used_at = models.DateTimeField()

    objects = NonceQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["key", "nonce"], name="nonce_used_once")]

    def __str__(self) -> str:
        return self.nonce


def seal(secret: bytes) -> str:
    """
    Encrypt a secret for the database, by a key that is not in it.
    """
    return _seals().encrypt(secret).decode()


def unseal(sealed: str) -> bytes:
    """
    Decrypt a sealed secret.

    :raises LostSecret: if it was sealed by another SECRET_KEY than the present one and its fallbacks.
    """
    from cryptography.fernet import InvalidToken

    try:
        return _seals().decrypt(sealed)
    except InvalidToken:
        raise LostSecret("A signing key's secret was sealed by a SECRET_KEY that is gone.") from None


class LostSecret(Exception):
    """
    A secret that we cannot read any more; its owner needs a new key.
    """


def _seals() -> Any:
    return _seals_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache
def _seals_of(secret_keys: Sequence[str]) -> Any:
    from cryptography.fernet import Fernet, MultiFernet

    digests = [salted_hmac("shop.models.seal", "", secret=key, algorithm="sha256").digest() for key in secret_keys]
    return MultiFernet([Fernet(urlsafe_b64encode(digest)) for digest in digests])
