"""
Exceptions that the API answers beyond those of Django REST framework, and the translation of Django's own.
"""

import logging
from typing import ClassVar

from django.core.exceptions import PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions, status

from shop.http import outcome
from shop.http.error_codes import CATALOGUE

logger = logging.getLogger(__name__)


class Conflict(exceptions.APIException):
    """
    The request is valid, but not in the current state of its resource.
    """

    status_code = status.HTTP_409_CONFLICT
    default_code = "invalid_state"


class Unprocessable(exceptions.APIException):
    """
    The request contradicts an earlier one.
    """

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"


class BodyTooLarge(exceptions.APIException):
    """
    The body is larger than the endpoint reads.
    """

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


class InvalidHeader(exceptions.ValidationError):
    """
    The value of a header is invalid; the detail is keyed by the header's name.
    """


class RetryLater(exceptions.APIException):
    """
    The same request may succeed after `wait` seconds, which become the header `Retry-After`.
    """

    wait: ClassVar[int]


class RequestInProgress(RetryLater):
    """
    Another request with the same idempotency key is being processed.
    """

    status_code = status.HTTP_409_CONFLICT
    default_code = "request_in_progress"
    default_detail = _("The first request with this key is still being processed. Repeat it in a moment.")
    wait = 1


class DatabaseUnavailable(RetryLater):
    """
    The database is out of reach, or too busy.
    """

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = _("The shop's database cannot be reached right now. Nothing was done.")
    wait = 2


class OutcomeUnknown(DatabaseUnavailable):
    """
    The database failed while, or after, a change of the request was committed.
    """

    default_detail = _(
        "The connection to the shop's database was lost, and it is unknown whether the request took effect. If you "
        "sent an `Idempotency-Key`, repeat the request with the same one: it takes effect once at most. Otherwise look "
        "at the current state, such as your list of orders, before you repeat it."
    )


class AccountsUnavailable(RetryLater):
    """
    The service with the accounts gives no answer, so credentials cannot be checked.
    """

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = _(
        "The shop's accounts cannot be reached right now, so you are not authenticated. Nothing was done."
    )
    wait = 2


def as_api_exception(error: Exception) -> Exception:
    """
    Return what the API answers to an exception of Django, or the exception itself.
    """
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database failed.", exc_info=error)
        return OutcomeUnknown() if outcome.is_unknown() else DatabaseUnavailable()
    if isinstance(error, DataError):
        logger.warning("A value of the request passed validation, but no column can hold it.", exc_info=error)
        advice = CATALOGUE["bad_request"].advice
        return exceptions.ParseError(gettext(advice), code="bad_request")
    return error
