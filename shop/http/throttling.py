"""
How often who may ask: fixed windows, counted in the cache that all processes share.

Requests are counted per account, or per address where nobody is logged in. Failed logins, bad tokens and bad signatures
are counted per address, and failed logins per name too. Who had too many is refused before the next credentials are
looked at, good ones included: otherwise guessing would go on, and only the answers change.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)

NETWORK_BITS = 64
PAUSE_SECONDS = 5

clock = time.time


@dataclass(frozen=True)
class Limit:
    """
    How often something may happen in a window of so many seconds; 0 is no limit. The name keys its counters.
    """

    name: str
    read: Callable[[], int]
    seconds: int
    advice: str

    def count(self, who: object) -> None:
        """
        Count once more.

        :raises Throttled: if that is once too often.
        """
        if self.most and _counted(lambda: _increment(self._key(who), self.seconds)) > self.most:
            raise self._refusal()

    def note(self, who: object) -> None:
        """
        Count once more, of which the next one will hear.
        """
        if self.most:
            _counted(lambda: _increment(self._key(who), self.seconds))

    def refuse_exhausted(self, who: object) -> None:
        """
        Let nobody go on who has no more left.

        :raises Throttled: if this one has not.
        """
        if self.most and _counted(lambda: cache.get(self._key(who), 0)) >= self.most:
            raise self._refusal()

    @property
    def most(self) -> int:
        return self.read()

    def _key(self, who: object) -> str:
        # A digest, for names may be of any length and characters.
        digest = sha256(str(who).encode("utf-8", "surrogatepass")).hexdigest()
        return f"throttling:{self.name}:{int(clock()) // self.seconds}:{digest}"

    def _refusal(self) -> Throttled:
        wait = ceil(self.seconds - clock() % self.seconds)
        minutes = f"{ceil(wait / 60)} minutes" if wait > 60 else f"{wait} seconds"
        refusal = Throttled(detail=f"{self.advice} Come back in {minutes}.")
        refusal.wait = wait
        return refusal


REQUESTS_OF_ACCOUNT = Limit(
    "ACCOUNT_PER_MINUTE", lambda: settings.THROTTLING.account_per_minute, 60, "This account asks too often."
)
REQUESTS_OF_ADDRESS = Limit(
    "ADDRESS_PER_MINUTE", lambda: settings.THROTTLING.address_per_minute, 60, "Your address asks too often."
)
FAILURES_OF_ADDRESS = Limit(
    "FAILURES_PER_MINUTE",
    lambda: settings.THROTTLING.failures_per_minute,
    60,
    "Too many wrong tokens, signatures or passwords came from your address. Right ones wait too.",
)
FAILED_LOGINS_OF_NAME = Limit(
    "FAILED_LOGINS_PER_QUARTER_HOUR",
    lambda: settings.THROTTLING.failed_logins_per_quarter_hour,
    900,
    "Too many wrong passwords came for this name. The right one has to wait too; tokens that exist go on.",
)


class RequestThrottle(BaseThrottle):
    """
    Count a request of the API.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.user.is_authenticated:
            REQUESTS_OF_ACCOUNT.count(request.user.pk)
        else:
            REQUESTS_OF_ADDRESS.count(address_of(request))
        return True


class ThrottledLogin(ModelBackend):
    """
    Let people log in by name and password, wherever they do, unless too many attempts have failed.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> AbstractBaseUser | None:
        address = address_of(request) if request else ""
        FAILED_LOGINS_OF_NAME.refuse_exhausted(username)
        FAILURES_OF_ADDRESS.refuse_exhausted(address)
        user = super().authenticate(request, username, password)
        if user is None:
            FAILED_LOGINS_OF_NAME.note(username)
            FAILURES_OF_ADDRESS.note(address)
        return user


def address_of(request: HttpRequest | Request) -> str:
    """
    Tell where a request comes from: the sender's address, or what the trusted proxies before us say it is.

    Of IPv6 it is the network, since whoever has one address has the others of its network too.
    """
    sender: str = request.META.get("REMOTE_ADDR", "")
    try:
        address = ip_address(BaseThrottle().get_ident(request))
    except ValueError:
        return sender
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, NETWORK_BITS), strict=False))
    return str(address)


def _increment(key: str, seconds: int) -> int:
    try:
        return cache.incr(key)
    except ValueError:
        return 1 if cache.add(key, 1, seconds) else cache.incr(key)


_unreachable_until = 0.0
_complained = False


def _counted(ask_cache: Callable[[], int]) -> int:
    """
    Ask the cache for a number. While it is out of reach nobody has done anything: better unthrottled than closed.
    """
    global _unreachable_until, _complained  # noqa: PLW0603  (one cache, one process)
    if time.monotonic() < _unreachable_until:
        return 0
    try:
        number = ask_cache()
    except Exception as error:  # noqa: BLE001  (each cache fails in its own way)
        if not _complained:
            logger.warning("The cache is out of reach, so nobody is throttled until it is back: %s", error)
        _unreachable_until, _complained = time.monotonic() + PAUSE_SECONDS, True
        return 0
    _complained = False
    return number
