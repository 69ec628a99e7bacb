"""
Who may read the metrics: who knows METRICS_TOKEN, or connects from METRICS_ADDRESSES.
"""

from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from shop.http.throttling import ADDRESS_FAILURES, client_address

BY_PROXY = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_REAL_IP",
    "HTTP_FORWARDED",
    "HTTP_VIA",
)
"""What reverse proxies add. The address of a request with one of them is that of the proxy, which may be local."""


def may_read_metrics(request: HttpRequest) -> bool:
    """
    Return whether the sender of a request may read the metrics.

    :raises Throttled: if too many wrong tokens came from its address.
    """
    if "HTTP_AUTHORIZATION" not in request.META:
        return _has_address(request)
    ADDRESS_FAILURES.check(client_address(request))
    if _has_token(request):
        return True
    ADDRESS_FAILURES.record(client_address(request))
    return False


def _has_token(request: HttpRequest) -> bool:
    token = settings.MONITORING.metrics_token
    # WSGI decodes headers as ISO 8859-1; `compare_digest` takes bytes of any kind.
    sent = request.META["HTTP_AUTHORIZATION"].encode("utf-8", "surrogateescape")
    return bool(token) and compare_digest(sent, f"Bearer {token}".encode())


def _has_address(request: HttpRequest) -> bool:
    address = _address(request)
    return address is not None and any(address in network for network in settings.MONITORING.metrics_networks)


def _address(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    """
    Return the address of the client; none if only that of a proxy is known.
    """
    is_reported = settings.REST_FRAMEWORK["NUM_PROXIES"] and "HTTP_X_FORWARDED_FOR" in request.META
    if not is_reported and any(header in request.META for header in BY_PROXY):
        return None
    try:
        address = ip_address(BaseThrottle().get_ident(cast("Request", request)))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
