"""
The use of links in mails, which are credentials: invalid ones count as failures of the client's address.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest
from django.utils.translation import gettext
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from shop.accounts.confirmations import InvalidLink
from shop.http.error_codes import CATALOGUE
from shop.http.throttling import ADDRESS_FAILURES, client_address


@contextmanager
def link_attempt(request: HttpRequest | Request) -> Iterator[None]:
    """
    Use a link inside the block.

    :raises Throttled: if the client's address has failed too often.
    :raises NotFound: if the link is invalid.
    """
    address = client_address(request)
    ADDRESS_FAILURES.check(address)
    try:
        yield
    except InvalidLink:
        ADDRESS_FAILURES.record(address)
        advice = CATALOGUE["expired_link"].advice
        raise NotFound(gettext(advice), code="expired_link") from None
