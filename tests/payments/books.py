"""What our books hold, as the tests of payments compare it."""

from dataclasses import dataclass

from payments.models import Capture, Refund, WebhookEvent


@dataclass(frozen=True, order=True)
class CaptureRow:
    amount: int
    currency: str = "GBP"
    surplus: bool = False
    returned: int = 0


@dataclass(frozen=True)
class RefundRow:
    amount: int
    status: str
    reason: str = "a scratch"


def capture_rows() -> list[CaptureRow]:
    """Return the recorded captures, oldest first."""
    captures = Capture.objects.order_by("pk")
    return [CaptureRow(**row) for row in captures.values("amount", "currency", "surplus", "returned")]


def refund_rows() -> list[RefundRow]:
    """Return the recorded refunds, oldest first."""
    return [RefundRow(refund.amount, refund.status, refund.reason) for refund in Refund.objects.order_by("pk")]


def webhook_statuses() -> list[str]:
    """Return the statuses of the stored webhooks, oldest first."""
    return list(WebhookEvent.objects.order_by("pk").values_list("status", flat=True))
