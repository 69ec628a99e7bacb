"""
Encryption of secrets in the database by SECRET_KEY, which is not in it.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.crypto import salted_hmac

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

SALT = "shop.models.seal"
"""Stored secrets depend on it: it stays as it is."""


class LostSecret(Exception):
    """
    A secret was encrypted by a SECRET_KEY that is no longer configured. Its owner needs a new signing key.
    """


def seal(secret: bytes) -> str:
    """
    Encrypt a secret.
    """
    return _cipher().encrypt(secret).decode()


def unseal(sealed: str) -> bytes:
    """
    Decrypt a secret.

    :raises LostSecret: if neither SECRET_KEY nor one of its fallbacks encrypted it.
    """
    from cryptography.fernet import InvalidToken

    try:
        return _cipher().decrypt(sealed)
    except InvalidToken:
        raise LostSecret("The secret of a signing key was encrypted by a SECRET_KEY that is not configured.") from None


def _cipher() -> "MultiFernet":
    return _cipher_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache
def _cipher_of(secret_keys: Sequence[str]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    digests = [salted_hmac(SALT, "", secret=key, algorithm="sha256").digest() for key in secret_keys]
    return MultiFernet([Fernet(urlsafe_b64encode(digest)) for digest in digests])
