"""
Links by which customers switch a kind of e-mail off without a login, from their mail program (RFC 8058) or a page. A
link is signed and names customer and kind. It does not expire: the mail is kept, too.
"""

from typing import NamedTuple

from django.conf import settings
from django.core.signing import BadSignature, Signer

from shop.http.links import url_of

from . import preferences
from .models import Notification

Kind, Channel = Notification.Kind, Notification.Channel


class InvalidToken(ValueError):
    """
    The shop has not signed this token.
    """


class Unsubscription(NamedTuple):
    customer_id: str
    kind: str


def headers_of(notification: Notification) -> dict[str, str]:
    """
    Return the headers by which mail programs offer to unsubscribe; none if the contract requires this kind of e-mail.
    """
    if not notification.customer_id or preferences.is_required(notification.kind, Channel.EMAIL):
        return {}
    token = token_of(Unsubscription(notification.customer_id, notification.kind))
    url = settings.SHOP.url + url_of("unsubscribe", token)
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def token_of(unsubscription: Unsubscription) -> str:
    """
    Return the token of a link. It is always the same, so that a mail that is sent again has the same bytes.
    """
    return _signer().sign_object(unsubscription)


def read(token: str) -> Unsubscription:
    """
    Return what a token names.

    :raises InvalidToken: if the shop has not signed it, or the kind cannot be switched off.
    """
    try:
        unsubscription = Unsubscription(*_signer().unsign_object(token))
    except BadSignature as error:
        raise InvalidToken from error
    if preferences.is_required(unsubscription.kind, Channel.EMAIL):
        raise InvalidToken
    return unsubscription


def unsubscribe(unsubscription: Unsubscription) -> None:
    """
    Switch a kind of e-mail off; nothing if it is off, or if the data of the customer were erased.
    """
    notified = Notification.objects.filter(customer_id=unsubscription.customer_id).exclude(recipient="")
    if notified.exists():
        preferences.choose(unsubscription.customer_id, {(unsubscription.kind, Channel.EMAIL.value): False})


def _signer() -> Signer:
    return Signer(salt="notifications.unsubscribe")
