"""
Tokens of links in mails by which people confirm something once, such as a new password. A token is the id of what is
confirmed, signed by SECRET_KEY, which all services of a shop share. So the service that sends the mail can derive it,
and no table and no message has it.
"""

from uuid import UUID

from django.core.signing import BadSignature, Signer

PREFIX = "link_"
"""By which logs recognise tokens and leave them out (`messaging.kernel.redaction`)."""

ID_CHARACTERS = 32


class InvalidToken(ValueError):
    """
    The shop has not signed this token.
    """


def token_of(id_: UUID) -> str:
    """
    Return the token of an id. It is always the same, so that a mail that is sent again has the same bytes.
    """
    return f"{PREFIX}{id_.hex}{_signer().signature(id_.hex)}"


def read(token: str) -> UUID:
    """
    Return the id that a token names.

    :raises InvalidToken: if the shop has not signed it.
    """
    signed = token.removeprefix(PREFIX)
    id_, signature = signed[:ID_CHARACTERS], signed[ID_CHARACTERS:]
    try:
        return UUID(_signer().unsign(f"{id_}:{signature}"))
    except (BadSignature, ValueError):
        raise InvalidToken from None


def _signer() -> Signer:
    return Signer(salt="shop.http.one_time_links")
