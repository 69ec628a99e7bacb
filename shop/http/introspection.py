"""
Token introspection (RFC 7662): how services without accounts ask the service with them whose credentials are valid.

The answers count for `INTROSPECTION_CACHE_SECONDS`, so that a revocation takes effect within that time. Answers about
signed requests are not cached, because each signature is valid once.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import lru_cache
from hashlib import sha256
from threading import Lock
from urllib.parse import urlencode

import msgspec
import urllib3
from django.conf import settings
from django.core.cache import cache

from messaging.kernel.tracing import current_traceparent
from shop.http.exceptions import AccountsUnavailable
from shop.http.signatures import SignedMessage
from shop.http.throttling import from_cache

logger = logging.getLogger(__name__)

TOKEN, SESSION = "access_token", "session"

DEADLINE_SECONDS = 2
CONNECTIONS = 16
"""At most so many idle ones are kept."""
INVALID_SECONDS = 1
"""How long an answer counts that credentials are not valid: they may become so."""


class Introspection(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    The answer about credentials: whether they are valid, and whose they are.

    :param code: why a signed request, or an unsigned one, is rejected; empty if the token or session is not valid.
    :param sub: the id of the user.
    :param exp: the end of a token, in seconds since 1970.
    :param language: of the account; empty if it has none.
    """

    active: bool
    code: str = ""
    sub: str = ""
    username: str = ""
    exp: int = 0
    is_staff: bool = False
    is_superuser: bool = False
    language: str = ""


def introspect(credentials: str, kind: str) -> Introspection:
    """
    Return the answer about a token or the key of a session, which may be as old as the cache permits.

    :param kind: `TOKEN` or `SESSION`.
    :raises AccountsUnavailable: if the service with the accounts gives no answer.
    """
    key = f"introspection:{kind}:{sha256(credentials.encode()).hexdigest()}"
    known = from_cache(lambda: cache.get(key), otherwise=None)
    return _decode(known) if known else _once(key, lambda: _fetch_and_store(key, credentials, kind))


def introspect_signed(token: str, message: SignedMessage) -> Introspection:
    """
    Return the answer about the token and the signature of a request, whose nonce is consumed.

    :raises AccountsUnavailable: if the service with the accounts gives no answer. The nonce may be consumed.
    """
    signed = msgspec.json.encode(message).decode()
    return _fetch(token=token, token_type_hint=TOKEN, signed_request=signed)


def _fetch_and_store(key: str, credentials: str, kind: str) -> Introspection:
    answer = _fetch(token=credentials, token_type_hint=kind)
    seconds: float = settings.SERVICE.introspection_cache_seconds
    if not answer.active:
        seconds = min(seconds, INVALID_SECONDS)
    elif answer.exp:
        seconds = min(seconds, answer.exp - time.time())
    if seconds > 0:
        from_cache(lambda: cache.set(key, msgspec.json.encode(answer), seconds), otherwise=None)
    return answer


_running: dict[str, Future[Introspection]] = {}
_lock = Lock()


def _once(key: str, fetch: Callable[[], Introspection]) -> Introspection:
    """
    Return what `fetch` returns, or what another thread is fetching under this key.
    """
    with _lock:
        running = _running.get(key)
        mine = running or _running.setdefault(key, Future())
    if running:
        return running.result()
    try:
        mine.set_result(fetch())
    except BaseException as error:
        mine.set_exception(error)
        raise
    finally:
        with _lock:
            del _running[key]
    return mine.result()


def _fetch(**parameters: str) -> Introspection:
    try:
        response = _post(parameters)
    except urllib3.exceptions.HTTPError as error:
        logger.error("The service with the accounts cannot be reached: %s", error)  # noqa: TRY400  (expected)
        raise AccountsUnavailable from error
    if response.status != 200:
        logger.error("The service with the accounts answers with status %s.", response.status)
        raise AccountsUnavailable
    return _decode(response.data)


def _post(parameters: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    def post() -> urllib3.BaseHTTPResponse:
        url, body = settings.SERVICE.introspection_url, urlencode(parameters)
        return _connections().request("POST", url, body=body, headers=_headers(), redirect=False, retries=False)

    try:
        return post()
    except urllib3.exceptions.ProtocolError:
        if "signed_request" in parameters:
            raise
        # An idle connection was closed at the moment of its use. A signature may be verified once only.
        return post()


def _decode(answer: bytes) -> Introspection:
    try:
        return msgspec.json.decode(answer, type=Introspection)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        logger.error("The answer of the service with the accounts is malformed: %s", error)  # noqa: TRY400  (expected)
        raise AccountsUnavailable from error


def _headers() -> dict[str, str]:
    headers = {
        "Authorization": f"Bearer {settings.SERVICE.introspection_secret}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    traceparent = current_traceparent()
    return headers | {"traceparent": traceparent} if traceparent else headers


@lru_cache(maxsize=1)
def _connections() -> urllib3.PoolManager:
    return urllib3.PoolManager(maxsize=CONNECTIONS, timeout=urllib3.Timeout(total=DEADLINE_SECONDS))
