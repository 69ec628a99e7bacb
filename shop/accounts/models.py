"""
Tokens and signing keys of users, the nonces of signed requests, and what users confirm by links in mails.
"""

from base64 import b64decode
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from knox.models import AbstractAuthToken, AuthTokenManager

from messaging.kernel.databases import Statement, fetch_all, insert_once, read_uuid
from messaging.kernel.ids import new_id
from shop.accounts.sealing import unseal

PRUNE_BATCH = 2_000

# In the order of the model's fields, as `from_db` requires.
USER_FIELDS = ("id", "is_superuser", "username", "email", "is_staff", "is_active")
KEY_FIELDS = ("id", "algorithm", "sealed_secret", "public_key")
FIND_TOKEN = f"""
    SELECT shop_token.id, shop_account.must_sign, shop_account.language,
        {", ".join(f"key.{field}" for field in KEY_FIELDS[1:])},
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
    What the shop stores of a user beyond Django's own fields. It is optional.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account")
    must_sign = models.BooleanField(default=False, help_text="Reject unsigned requests with a token of this user.")
    language = models.CharField(
        max_length=10,
        choices=settings.LANGUAGES,
        blank=True,
        default="",
        db_default="",
        help_text="Of messages to the customer; empty for that of the request that places an order.",
    )

    sign_up = models.UUIDField(null=True, editable=False, help_text="The confirmation by which the user signed up.")

    def __str__(self) -> str:
        return f"account of {self.user}"


class TokenQuerySet(models.QuerySet["Token"]):
    def usable(self, now: datetime) -> "TokenQuerySet":
        """
        Return tokens that are valid at this time.
        """
        return self.filter(expiry__gt=now, user__is_active=True)

    def find(self, *, digest: str, key_id: UUID | None = None, now: datetime) -> "Token":
        """
        Return the valid token with this digest, its user and account, and the user's usable signing key of this id.

        A plain statement, as each request runs it: 50 µs, against 400 µs by the ORM. Other fields are deferred.

        :raises Token.DoesNotExist: if there is none.
        """
        rows = fetch_all(Statement(FIND_TOKEN, [key_id, now, digest, now]))
        if not rows:
            raise Token.DoesNotExist
        [row] = rows
        token_id, must_sign, language, *key = row[: -len(USER_FIELDS)]
        user = User.from_db(self.db, USER_FIELDS, row[-len(USER_FIELDS) :])
        user.account = Account(must_sign=bool(must_sign), language=language or "")
        token: Token = Token.from_db(self.db, ["user_id", "id"], [user.pk, read_uuid(token_id)])
        token.user = user
        token.signing_key = SigningKey.from_db(self.db, KEY_FIELDS, [key_id, *key]) if any(key) else None
        return token


class Token(AbstractAuthToken):
    """
    A credential of a program. Only a digest of it is stored.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=100, help_text="The owner's name for it.")
    digest = models.CharField(max_length=128, unique=True, editable=False)

    signing_key: "SigningKey | None"
    """The usable signing key of the id given to `find`; none if the user has no such key."""

    objects = AuthTokenManager.from_queryset(TokenQuerySet)()

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"


class SigningKeyQuerySet(models.QuerySet["SigningKey"]):
    def usable(self, now: datetime) -> "SigningKeyQuerySet":
        """
        Return keys whose signatures are valid at this time.
        """
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)

    def current(self) -> "SigningKeyQuerySet":
        """
        Return keys that are neither rotated nor revoked.
        """
        return self.filter(expires_at=None, revoked_at=None)


class SigningKey(models.Model):
    """
    A key that signs requests of its owner. Its algorithm is stored here and not taken from the request.
    """

    class Algorithm(models.TextChoices):
        HMAC_SHA256 = "hmac-sha256", "hmac-sha256"
        """A shared secret that the shop generates."""
        ED25519 = "ed25519", "ed25519"
        """A key pair; the shop stores the public key only."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="signing_keys")
    name = models.CharField(max_length=100, help_text="The owner's name for it.")
    algorithm = models.CharField(max_length=20, choices=Algorithm)
    sealed_secret = models.TextField(blank=True, editable=False, help_text="The secret, encrypted by SECRET_KEY.")
    public_key = models.CharField(max_length=44, blank=True, help_text="32 bytes in base64.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, help_text="The end of the grace period after a rotation.")
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
        Return what verifies a signature: the secret's bytes, or a public key of `cryptography`.

        :raises LostSecret: if no configured SECRET_KEY decrypts the secret.
        """
        if self.algorithm == self.Algorithm.HMAC_SHA256:
            return unseal(self.sealed_secret)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(b64decode(self.public_key))


class NonceQuerySet(models.QuerySet["Nonce"]):
    def consume(self, *, key: SigningKey, nonce: str, now: datetime) -> bool:
        """
        Store a nonce, and return whether this key had not used it before.

        A plain statement, which returns what the ORM's `ignore_conflicts` hides and needs no savepoint. After a power
        failure the latest nonces may be lost; a replayed order then still meets its idempotency key, which is durable.
        """
        return insert_once("shop_nonce", {"key_id": key.pk, "nonce": nonce, "used_at": now})

    def prune(self, *, before: datetime) -> int:
        """
        Delete nonces used before this time, oldest first and in batches; return how many.
        """
        pruned = 0
        oldest = self.order_by("pk").values_list("pk", "used_at")
        while old := [pk for pk, used_at in oldest[:PRUNE_BATCH] if used_at < before]:
            pruned += self.filter(pk__in=old).delete()[0]
        return pruned


class Nonce(models.Model):
    """
    A nonce of a valid signature, stored for as long as the signature could be replayed.
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


class Confirmation(models.Model):
    """
    What the owner of an e-mail address confirms by the link in a mail, once: the row is deleted then. The link is
    derived from the id and not stored (`shop.http.one_time_links`).
    """

    class Purpose(models.TextChoices):
        PASSWORD_RESET = "password_reset"  # noqa: S105  (a purpose)
        SIGN_UP = "sign_up"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    purpose = models.CharField(max_length=20, choices=Purpose)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    email = models.CharField(max_length=254, blank=True, db_index=True, help_text="To sign up with.")
    fingerprint = models.CharField(max_length=64, blank=True, help_text="Of the credentials when it was requested.")
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.purpose} {self.pk}"
