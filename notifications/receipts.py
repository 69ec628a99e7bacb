"""
Delivery receipts of the SMS provider, verified and read by the SMS backend.
"""

from django.conf import settings
from django.http import HttpRequest

from messaging.kernel.ids import parse_id

from .models import Notification, Suppression
from .reports import Report
from .sms import get_connection
from .sms.backends.base import Outcome, Receipt

Status, Reason = Notification.Status, Notification.Reason


class NoReceipts(Exception):
    """
    The SMS backend has no delivery receipts, or the shop has no SMS backend.
    """


def read(request: HttpRequest) -> list[Report]:
    """
    Verify a delivery receipt, and return what it reports: at most one report.

    :raises NoReceipts: if the SMS backend has none.
    :raises InvalidSignature: if the provider has not signed it.
    """
    backend = get_connection() if settings.NOTIFICATIONS.sms_backend else None
    if not backend or not backend.has_receipts:
        raise NoReceipts("SMS_BACKEND has no delivery receipts.")
    # The provider signs the URL that it was given, not the one by which a proxy reaches this process.
    url = f"{settings.SHOP.url}{request.get_full_path()}"
    headers = {name.lower(): value for name, value in request.headers.items()}
    receipt = backend.read_receipt(url, dict(request.POST.lists()), headers)
    return [_report(receipt)] if receipt else []


def _report(receipt: Receipt) -> Report:
    is_missing = receipt.suppression == Suppression.Reason.BOUNCED
    reason = Reason.NO_MAILBOX if is_missing else Reason.REJECTED
    return Report(
        notification_id=parse_id(receipt.reference),
        provider_id=receipt.provider_id,
        status=Status(receipt.outcome),
        reason=reason if receipt.outcome is Outcome.BOUNCED else "",
        error=receipt.error,
        suppression=receipt.suppression,
    )
