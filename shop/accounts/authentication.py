"""
Authentication of programs by token, with or without a signature.
"""

from typing import Any

from django.utils import timezone
from knox.crypto import hash_token

from shop.accounts import signatures
from shop.accounts.models import Token
from shop.http.authentication import ByToken, InvalidToken
from shop.http.signatures import SignedMessage


class TokenAuthentication(ByToken):
    """
    Authenticate by token, and verify the signature if there is one or the account requires one.
    """

    def verify(self, token: str, message: SignedMessage | None) -> tuple[Any, Token]:
        try:
            found = signatures.find_token(hash_token(token), message, now=timezone.now())
        except Token.DoesNotExist:
            raise InvalidToken from None
        return found.user, found
