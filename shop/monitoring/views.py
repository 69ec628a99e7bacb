"""
What load balancers, deployments and Prometheus ask: `/livez`, `/readyz`, `/metrics`.
"""

import logging

from django.core.exceptions import PermissionDenied
from django.db import ProgrammingError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from shop.http.error_handlers import CompleteResponse
from shop.http.exceptions import DatabaseUnavailable

from .access import may_read_metrics
from .cached import Busy, Cached
from .metrics import render_metrics
from .readiness import Check, check_readiness

logger = logging.getLogger(__name__)

readiness = Cached(lambda: check_readiness(timezone.now()))
exposition = Cached(lambda: render_metrics(timezone.now()))


class Readiness(CompleteResponse, JsonResponse):
    pass


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """
    Return 200 while this process answers, whether its database does or not.
    """
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """
    Return 200 if this service can do its work, 503 otherwise, with the problem of each check.
    """
    try:
        checks = readiness.get()
    except Busy:
        checks = [Check("database", "The checks take too long.")]
    is_ready = not any(check.problem for check in checks)
    body = {"ready": is_ready, "checks": {check.name: check.problem or "ok" for check in checks}}
    return Readiness(body, status=200 if is_ready else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """
    Return the metrics of this service for Prometheus; 403 to others, and 503 without its tables.
    """
    if not may_read_metrics(request):
        raise PermissionDenied
    try:
        return HttpResponse(exposition.get(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    except Busy as error:
        raise DatabaseUnavailable from error
    except ProgrammingError as error:
        logger.exception("The metrics could not be read.")
        raise DatabaseUnavailable("A table is missing: run migrate.") from error
