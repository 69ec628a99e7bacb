"""
Rate limits: fixed windows, counted in the cache that all processes share.

Requests are limited by account, or by address if anonymous. Mails about accounts, which anyone may request, are limited
by address and by recipient. Failed logins and invalid tokens and signatures are limited
by address, failed logins by username too. Beyond these limits credentials are rejected unchecked, valid ones included:
otherwise guessing could go on behind the error.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any, TypeVar, cast

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)

T = TypeVar("T")

NETWORK_BITS = 64
CACHE_PAUSE_SECONDS = 5

clock = time.time


@dataclass(frozen=True)
class RateLimit:
    """
    At most `maximum()` events in a window of so many seconds, per subject; 0 is no limit. The name keys the counters,
    the detail is English.
    """

    name: str
    maximum: Callable[[], int]
    seconds: int
    detail: str

    def consume(self, subject: object) -> None:
        """
        Count an event.

        :raises Throttled: if it exceeds the limit.
        """
        if (
            self.maximum()
            and from_cache(lambda: _increment(self._key(subject), self.seconds), otherwise=0) > self.maximum()
        ):
            raise self._throttled()

    def record(self, subject: object) -> None:
        """
        Count an event without enforcing the limit.
        """
        if self.maximum():
            from_cache(lambda: _increment(self._key(subject), self.seconds), otherwise=0)

    def check(self, subject: object) -> None:
        """
        Enforce the limit without counting an event.

        :raises Throttled: if the limit is reached.
        """
        if self.maximum() and from_cache(lambda: cache.get(self._key(subject), 0), otherwise=0) >= self.maximum():
            raise self._throttled()

    def _key(self, subject: object) -> str:
        # A digest, as usernames have any length and any characters.
        digest = sha256(str(subject).encode("utf-8", "surrogatepass")).hexdigest()
        return f"throttling:{self.name}:{int(clock()) // self.seconds}:{digest}"

    def _throttled(self) -> Throttled:
        wait = ceil(self.seconds - clock() % self.seconds)
        throttled = Throttled(detail=f"{gettext(self.detail)} {_retry_in(wait)}")
        throttled.wait = wait  # type: ignore[attr-defined]  # the stubs lack it
        return throttled


ACCOUNT_REQUESTS = RateLimit(
    "ACCOUNT_PER_MINUTE", lambda: settings.THROTTLING.account_per_minute, 60, _("Too many requests by this account.")
)
ADDRESS_REQUESTS = RateLimit(
    "ADDRESS_PER_MINUTE", lambda: settings.THROTTLING.address_per_minute, 60, _("Too many requests from your address.")
)
ADDRESS_FAILURES = RateLimit(
    "FAILURES_PER_MINUTE",
    lambda: settings.THROTTLING.failures_per_minute,
    60,
    _("Too many invalid tokens, signatures or passwords from your address; valid ones are rejected too."),
)
USERNAME_FAILURES = RateLimit(
    "FAILED_LOGINS_PER_QUARTER_HOUR",
    lambda: settings.THROTTLING.failed_logins_per_quarter_hour,
    900,
    _("Too many wrong passwords for this username; the right one is rejected too. Existing tokens stay valid."),
)
MAILS_FROM_ADDRESS = RateLimit(
    "ACCOUNT_MAILS_PER_ADDRESS_PER_HOUR",
    lambda: settings.THROTTLING.account_mails_per_address_per_hour,
    3600,
    _("Too many mails about accounts were requested from your address."),
)
MAILS_TO_RECIPIENT = RateLimit(
    "ACCOUNT_MAILS_PER_RECIPIENT_PER_HOUR",
    lambda: settings.THROTTLING.account_mails_per_recipient_per_hour,
    3600,
    _("Too many mails to this e-mail address were requested."),
)


class RequestThrottle(BaseThrottle):
    """
    Limit the requests to the API.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.user.is_authenticated:
            ACCOUNT_REQUESTS.consume(request.user.pk)
        else:
            ADDRESS_REQUESTS.consume(client_address(request))
        return True


def consume_account_mail(request: HttpRequest | Request, recipient: str) -> None:
    """
    Count a request for a mail about an account, whether there is an account or not.

    :raises Throttled: if too many were requested from this address, or to this recipient.
    """
    MAILS_FROM_ADDRESS.consume(client_address(request))
    MAILS_TO_RECIPIENT.consume(recipient.lower())


def client_address(request: HttpRequest | Request) -> str:
    """
    Return the client's IP address, as the trusted proxies report it.

    For IPv6 return its network, as a client has all addresses of one.
    """
    sender: str = request.META.get("REMOTE_ADDR", "")
    try:
        address = ip_address(BaseThrottle().get_ident(cast("Request", request)))
    except ValueError:
        return sender
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, NETWORK_BITS), strict=False))
    return str(address)


def _retry_in(seconds: int) -> str:
    if seconds <= 60:
        return ngettext("Retry in %(count)s second.", "Retry in %(count)s seconds.", seconds) % {"count": seconds}
    minutes = ceil(seconds / 60)
    return ngettext("Retry in %(count)s minute.", "Retry in %(count)s minutes.", minutes) % {"count": minutes}


def _increment(key: str, seconds: int) -> int:
    try:
        return cache.incr(key)
    except ValueError:
        return 1 if cache.add(key, 1, seconds) else cache.incr(key)


_paused_until = 0.0
_is_reported = False


def from_cache(query: Callable[[], T], *, otherwise: T) -> T:
    """
    Return what the cache answers, or else `otherwise` while it is unreachable: without counters, requests are allowed.
    """
    global _paused_until, _is_reported  # noqa: PLW0603  (one cache, one process)
    if time.monotonic() < _paused_until:
        return otherwise
    try:
        answer = query()
    except Exception as error:  # noqa: BLE001  (each cache fails in its own way)
        if not _is_reported:
            logger.warning("The cache is unreachable: rate limits are off until it is back: %s", error)
        _paused_until, _is_reported = time.monotonic() + CACHE_PAUSE_SECONDS, True
        return otherwise
    _is_reported = False
    return answer
