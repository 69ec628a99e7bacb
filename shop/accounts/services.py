"""
What people and operators do with tokens and signing keys.
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

from shop.accounts.models import LostSecret, Nonce, SigningKey, Token, seal, unseal

SECRET_BYTES = PUBLIC_KEY_BYTES = 32
ENDED_KEYS_KEPT = timedelta(days=30)


class LimitReached(Exception):
    """
    The user has as many of these as anybody may have; one has to be revoked first.
    """


class InvalidPublicKey(ValueError):
    """
    What was sent is no public key for this algorithm.
    """


class AlreadyRotated(Exception):
    """
    Another key has taken this one's place, or it was revoked meanwhile.
    """


def issue_token(*, user: User, name: str, expires_in: timedelta, now: datetime) -> tuple[Token, str]:
    """
    Make a token, and return it with the text that opens the API, which nobody will see again.

    :raises LimitReached: if the user has no room for one.
    """
    with transaction.atomic():
        _queue_up(user)
        _refuse_more_than(settings.ACCOUNTS.tokens_per_user, Token.objects.usable(now).filter(user=user), "tokens")
        issued: tuple[Token, str] = Token.objects.create(user, expires_in, name=name)
        return issued


def revoke_token(token: Token) -> None:
    """
    See to it that this token opens nothing from now on.
    """
    token.delete()


def create_key(
    *, owner: User, name: str, algorithm: str, public_key: str = "", now: datetime
) -> tuple[SigningKey, str]:
    """
    Make a signing key, and return it with its secret in base64, which nobody will see again.

    :param public_key: for `ed25519`, whose secret we never see.
    :raises InvalidPublicKey: if it is none, or does not fit the algorithm.
    :raises LimitReached: if the owner has no room for one.
    """
    with transaction.atomic():
        _queue_up(owner)
        lasting = SigningKey.objects.lasting().filter(owner=owner)
        _refuse_more_than(settings.ACCOUNTS.signing_keys_per_user, lasting, "signing keys")
        return _make_key(owner_id=owner.pk, name=name, algorithm=algorithm, public_key=public_key, now=now)


def rotate_key(key: SigningKey, *, public_key: str = "", now: datetime) -> tuple[SigningKey, str]:
    """
    Make a key that takes this one's place; this one still signs for a while, so that no program has to change in haste.

    :raises InvalidPublicKey: if it is none, or does not fit the algorithm.
    :raises AlreadyRotated: if this key's place was taken before.
    """
    grace = timedelta(hours=settings.ACCOUNTS.signing_key_grace_hours)
    with transaction.atomic():
        if not SigningKey.objects.lasting().filter(pk=key.pk).update(expires_at=now + grace):
            raise AlreadyRotated("Another key has already taken this one's place: rotate that one.")
        return _make_key(owner_id=key.owner_id, name=key.name, algorithm=key.algorithm, public_key=public_key, now=now)


def revoke_key(key: SigningKey, *, now: datetime) -> None:
    """
    See to it that this key signs nothing from now on.
    """
    SigningKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)


def prune(*, nonces_before: datetime, now: datetime) -> dict[str, int]:
    """
    Delete what nobody can use any more, and what revoked keys are remembered by; return how many of each.
    """
    forgotten = now - ENDED_KEYS_KEPT
    ended = SigningKey.objects.filter(Q(expires_at__lt=forgotten) | Q(revoked_at__lt=forgotten))
    nonces = Nonce.objects.prune(before=nonces_before)
    tokens, _ = Token.objects.filter(expiry__lte=now).delete()
    _, deleted = ended.delete()
    return {"nonces": nonces, "tokens": tokens, "signing_keys": deleted.get(SigningKey._meta.label, 0)}


def reseal_secrets() -> int:
    """
    Encrypt every secret anew by the present SECRET_KEY, so that those before it can be forgotten; return how many.
    """
    resealed = 0
    for key in SigningKey.objects.filter(algorithm=SigningKey.Algorithm.HMAC_SHA256):
        with suppress(LostSecret):
            anew = seal(unseal(key.sealed_secret))
            resealed += SigningKey.objects.filter(pk=key.pk).update(sealed_secret=anew)
    return resealed


def read_public_key(text: str) -> str:
    """
    Read a public key in PEM or plain base64, and write it in plain base64.

    :raises InvalidPublicKey: if it is none of Ed25519's.
    """
    try:
        raw = _raw_of_pem(text) if text.startswith("-----BEGIN") else b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise InvalidPublicKey("Send a public key of Ed25519: its 32 bytes in base64, or PEM.")
    return b64encode(raw).decode()


def _raw_of_pem(text: str) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except UnsupportedAlgorithm:
        return b""
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else b""


def _make_key(*, owner_id: int, name: str, algorithm: str, public_key: str, now: datetime) -> tuple[SigningKey, str]:
    made = SigningKey(owner_id=owner_id, name=name, algorithm=algorithm, created_at=now)
    secret = b""
    if algorithm == SigningKey.Algorithm.ED25519:
        made.public_key = read_public_key(public_key)
    elif public_key:
        raise InvalidPublicKey(f"{algorithm} has no public key: the shop makes its secret.")
    else:
        secret = token_bytes(SECRET_BYTES)
        made.sealed_secret = seal(secret)
    made.save(force_insert=True)
    return made, b64encode(secret).decode()


def _queue_up(user: User) -> None:
    """
    Let nobody else count what this user has until the transaction ends.
    """
    get_user_model().objects.select_for_update(no_key=True).get(pk=user.pk)


def _refuse_more_than(limit: int, present: QuerySet[Token] | QuerySet[SigningKey], what: str) -> None:
    if present.count() >= limit:
        raise LimitReached(f"You have {limit} {what}, which is the limit. Revoke one that you do not use.")
