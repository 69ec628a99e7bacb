import re
from typing import Any

from knox import auth
from rest_framework.exceptions import AuthenticationFailed

TOKEN = re.compile(rb"[!-~]+")


class TokenAuthentication(auth.TokenAuthentication):
    """
    Knox's, which would fail on a token of any other characters instead of refusing it.
    """

    def authenticate_credentials(self, token: bytes) -> Any:
        if not TOKEN.fullmatch(token):
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)
