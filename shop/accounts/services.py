"""
Operations on accounts, tokens and signing keys.
"""

from base64 import b64decode, b64encode
from contextlib import suppress
from datetime import datetime, timedelta
from secrets import token_bytes

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from shop.accounts.models import Account, Confirmation, Nonce, SigningKey, Token
from shop.accounts.sealing import LostSecret, seal, unseal

SECRET_BYTES = PUBLIC_KEY_BYTES = 32
ENDED_KEY_RETENTION = timedelta(days=30)

TOO_MANY_TOKENS = _("You have %(limit)s tokens, the maximum. Revoke one that you do not use.")
TOO_MANY_KEYS = _("You have %(limit)s signing keys, the maximum. Revoke one that you do not use.")


class LimitReached(Exception):
    """
    The user has the maximum number of tokens or signing keys.
    """


class InvalidPublicKey(ValueError):
    """
    The text is not a public key of the algorithm.
    """


class AlreadyRotated(Exception):
    """
    The signing key was already rotated, or revoked.
    """


def set_language(user: User, language: str) -> None:
    """
    Set the language of messages to a user; an empty one is that of each request that places an order.
    """
    user.account, _ = Account.objects.update_or_create(user=user, defaults={"language": language})


def issue_token(*, user: User, name: str, expires_in: timedelta, now: datetime) -> tuple[Token, str]:
    """
    Create a token, and return it with its text, which is not stored.

    :raises LimitReached: if the user has the maximum number of tokens.
    """
    with transaction.atomic():
        _lock(user)
        _enforce_limit(settings.ACCOUNTS.tokens_per_user, Token.objects.usable(now).filter(user=user), TOO_MANY_TOKENS)
        issued: tuple[Token, str] = Token.objects.create(user, expires_in, name=name)
        return issued


def revoke_token(token: Token) -> None:
    """
    Delete a token.
    """
    token.delete()


def create_key(
    *, owner: User, name: str, algorithm: str, public_key: str = "", now: datetime
) -> tuple[SigningKey, str]:
    """
    Create a signing key, and return it with its secret in base64; empty for `ed25519`.

    :param public_key: of `ed25519`, in base64 or PEM.
    :raises InvalidPublicKey: if the algorithm needs another public key, or none.
    :raises LimitReached: if the owner has the maximum number of signing keys.
    """
    with transaction.atomic():
        _lock(owner)
        present = SigningKey.objects.current().filter(owner=owner)
        _enforce_limit(settings.ACCOUNTS.signing_keys_per_user, present, TOO_MANY_KEYS)
        return _create_key(owner_id=owner.pk, name=name, algorithm=algorithm, public_key=public_key, now=now)


def rotate_key(key: SigningKey, *, public_key: str = "", now: datetime) -> tuple[SigningKey, str]:
    """
    Replace a signing key by a new one, and return that with its secret in base64. The old key stays valid for a grace
    period.

    :raises InvalidPublicKey: if the algorithm needs another public key, or none.
    :raises AlreadyRotated: if the key was rotated or revoked before.
    """
    grace = timedelta(hours=settings.ACCOUNTS.signing_key_grace_hours)
    with transaction.atomic():
        if not SigningKey.objects.current().filter(pk=key.pk).update(expires_at=now + grace):
            raise AlreadyRotated(gettext("This key was already rotated, or revoked. Rotate the key that replaced it."))
        return _create_key(
            owner_id=key.owner_id, name=key.name, algorithm=key.algorithm, public_key=public_key, now=now
        )


def revoke_key(key: SigningKey, *, now: datetime) -> None:
    """
    Revoke a signing key at once, also within its grace period.
    """
    SigningKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)


def prune(*, nonces_before: datetime, now: datetime) -> dict[str, int]:
    """
    Delete expired tokens, nonces and confirmations, and signing keys that ended before the retention period; return how
    many of each.
    """
    oldest = now - ENDED_KEY_RETENTION
    ended = SigningKey.objects.filter(Q(expires_at__lt=oldest) | Q(revoked_at__lt=oldest))
    nonces = Nonce.objects.prune(before=nonces_before)
    tokens, _ = Token.objects.filter(expiry__lte=now).delete()
    confirmations, _ = Confirmation.objects.filter(expires_at__lte=now).delete()
    _, deleted = ended.delete()
    keys = deleted.get(SigningKey._meta.label, 0)
    return {"nonces": nonces, "tokens": tokens, "signing_keys": keys, "confirmations": confirmations}


def reseal_secrets() -> int:
    """
    Encrypt every secret again by the current SECRET_KEY, so that its fallbacks can be removed; return how many.
    """
    resealed = 0
    for key in SigningKey.objects.filter(algorithm=SigningKey.Algorithm.HMAC_SHA256):
        with suppress(LostSecret):
            sealed = seal(unseal(key.sealed_secret))
            resealed += SigningKey.objects.filter(pk=key.pk).update(sealed_secret=sealed)
    return resealed


def read_public_key(text: str) -> str:
    """
    Return a public key of Ed25519, given in PEM or base64, in base64.

    :raises InvalidPublicKey: if it is something else.
    """
    try:
        raw = _bytes_of_pem(text) if text.startswith("-----BEGIN") else b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise InvalidPublicKey(gettext("Send a public key of Ed25519: its 32 bytes in base64, or PEM."))
    return b64encode(raw).decode()


def _bytes_of_pem(text: str) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except UnsupportedAlgorithm:
        return b""
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else b""


def _create_key(*, owner_id: int, name: str, algorithm: str, public_key: str, now: datetime) -> tuple[SigningKey, str]:
    key = SigningKey(owner_id=owner_id, name=name, algorithm=algorithm, created_at=now)
    secret = b""
    if algorithm == SigningKey.Algorithm.ED25519:
        key.public_key = read_public_key(public_key)
    elif public_key:
        detail = gettext("%(algorithm)s has no public key: the shop generates its secret.")
        raise InvalidPublicKey(detail % {"algorithm": algorithm})
    else:
        secret = token_bytes(SECRET_BYTES)
        key.sealed_secret = seal(secret)
    key.save(force_insert=True)
    return key, b64encode(secret).decode()


def _lock(user: User) -> None:
    """
    Lock a user until the transaction ends, so that concurrent requests count one after the other.
    """
    get_user_model().objects.select_for_update(no_key=True).get(pk=user.pk)


def _enforce_limit(limit: int, present: QuerySet[Token] | QuerySet[SigningKey], detail: str) -> None:
    if present.count() >= limit:
        raise LimitReached(gettext(detail) % {"limit": limit})
