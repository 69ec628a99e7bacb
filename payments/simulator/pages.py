"""
The pages for a person who operates the provider: all payments, and each with its ledger, its webhooks and actions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from babel.numbers import get_currency_precision
from django.template import Context, Engine
from werkzeug.routing import Rule
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from . import reports
from .behaviours import BEHAVIOURS
from .charges import ChargeRecord, NoSuchCharge
from .ledger import EntryKind, LedgerEntry
from .processor import Processor
from .webhooks import Signature, Webhook, webhook_about

TEMPLATES = Path(__file__).parent / "templates"
ENGINE = Engine(dirs=[str(TEMPLATES)], autoescape=True)
MAX_PAYMENTS = 100
MAX_MESSAGE_LENGTH = 300
MAX_RESULTS = 10

REASONS = tuple(behaviour.declines_by for behaviour in BEHAVIOURS.values() if behaviour.declines_by)
ISO_4217_DECIMALS = dict.fromkeys(
    ["AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"], 2
) | {"IQD": 3}
"""Where the minor units of ISO 4217 differ from the digits that Babel has from CLDR."""

TOTALS = """
SELECT currency, coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0) AS captured,
    coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0) AS refunded
FROM entries WHERE kind IN ('captured', 'refunded') GROUP BY currency ORDER BY currency
"""

Row = dict[str, Any]
Action = Callable[[Processor, ChargeRecord, str], str]


class ActionRejected(Exception):
    """
    The payment's status does not allow this action.
    """


@dataclass(frozen=True)
class Pages:
    processor: Processor

    def rules(self) -> list[Rule]:
        return [
            Rule("/", methods=["GET"], endpoint=self.overview),
            Rule("/style.css", methods=["GET"], endpoint=self.style),
            Rule("/payments/<name>", methods=["GET"], endpoint=self.payment),
            Rule("/payments/<name>/<action>", methods=["POST"], endpoint=self.act),
        ]

    def overview(self, request: Request) -> Response:
        ledger = self.processor.ledger
        totals = [
            {"captured": money(row["captured"], row["currency"]), "refunded": money(row["refunded"], row["currency"])}
            for row in ledger.select(TOTALS)
        ]
        return page(
            "overview.html",
            payments=[payment_row(charge) for charge in reports.newest(ledger, MAX_PAYMENTS)],
            totals=totals,
            groups=[(group, list(of_group)) for group, of_group in groupby(BEHAVIOURS.values(), lambda it: it.group)],
            faults=reports.faults(ledger),
        )

    def payment(self, request: Request, name: str) -> Response:
        try:
            charge = self.processor.find(name)
        except NoSuchCharge:
            return page("missing.html", status=404, name=name)
        deliveries = {EntryKind.WEBHOOK, EntryKind.WEBHOOK_RESULT}
        return page(
            "payment.html",
            payment=payment_row(charge),
            entries=[entry_row(entry) for entry in charge.entries if entry.kind not in deliveries],
            webhooks=[webhook_row(webhook, results[-MAX_RESULTS:]) for webhook, results in charge.webhooks()],
            actions=ACTIONS.items(),
            reasons=REASONS,
            message=request.args.get("said", "")[:MAX_MESSAGE_LENGTH],
        )

    def act(self, request: Request, name: str, action: str) -> Response:
        try:
            message = perform(self.processor, name, action, request.form.get("reason", ""))
        except NoSuchCharge:
            return page("missing.html", status=404, name=name)
        except ActionRejected as rejection:
            message = str(rejection)
        return redirect(f"/payments/{quote(name, safe='')}?said={quote(message, safe='')}", 303)

    def style(self, request: Request) -> Response:
        style = (TEMPLATES / "style.css").read_bytes()
        return Response(style, headers={"Cache-Control": "max-age=60"}, mimetype="text/css")


def page(template: str, *, status: int = 200, **context: Any) -> Response:
    return Response(ENGINE.get_template(template).render(Context(context)), status, mimetype="text/html")


def money(minor: int, currency: str) -> str:
    """
    Format an amount for people: 1250 minor units of GBP as "12.50 GBP".
    """
    decimals = ISO_4217_DECIMALS.get(currency, get_currency_precision(currency))
    return f"{Decimal(minor).scaleb(-decimals):,.{decimals}f} {currency}"


def payment_row(charge: ChargeRecord) -> Row:
    request, captured = charge.requested, charge.captured
    refunded = sum(refund.entry.amount or 0 for refund in charge.refunds().values() if refund.status == "succeeded")
    return {
        "key": charge.key,
        "reference": charge.reference,
        "order_id": request.order_id if request else "",
        "status": charge.status,
        "reason": charge.reason,
        "amount": _money_of(request),
        "captured": _money_of(captured),
        "refunded": money(refunded, captured.currency) if captured and refunded else "",
        "behaviour": charge.behaviour,
        "at": charge.entries[0].at,
    }


def entry_row(entry: LedgerEntry) -> Row:
    return vars(entry) | {"amount": _money_of(entry)}


def webhook_row(webhook: LedgerEntry, results: list[LedgerEntry]) -> Row:
    return vars(webhook) | {"results": results}


def _money_of(entry: LedgerEntry | None) -> str:
    return money(entry.amount, entry.currency) if entry and entry.amount else ""


def perform(processor: Processor, name: str, action: str, reason: str) -> str:
    """
    Perform an action on the payment of this name, and return a sentence that says what happened.

    :raises NoSuchCharge: if there is no such payment.
    :raises ActionRejected: if the payment's status does not allow it.
    """
    if action not in ACTIONS:
        raise ActionRejected("There is no such action.")
    with processor.ledger.transaction():
        charge = processor.find(name)
        if not charge.requested:
            raise ActionRejected("This payment was cancelled before it arrived, so no action is possible.")
        _, act = ACTIONS[action]
        return act(processor, charge, reason)


def _approve(processor: Processor, charge: ChargeRecord, reason: str) -> str:
    _require_status(charge, "processing")
    processor.capture(charge)
    return "Approved: the money is captured."


def _decline(processor: Processor, charge: ChargeRecord, reason: str) -> str:
    _require_status(charge, "processing")
    if reason not in REASONS:
        raise ActionRejected("Choose one of the decline reasons.")
    processor.decline(charge, reason=reason)
    return f"Declined: {reason}."


def _cancel(processor: Processor, charge: ChargeRecord, reason: str) -> str:
    _require_status(charge, "processing")
    processor.cancel(charge.key)
    return "Cancelled."


def _pay_late(processor: Processor, charge: ChargeRecord, reason: str) -> str:
    _require_status(charge, "cancelled")
    processor.capture(charge)
    return "Captured, although the payment was cancelled."


def _resend(times: int) -> Action:
    def resend(processor: Processor, charge: ChargeRecord, reason: str) -> str:
        now = processor.ledger.clock()
        latest = _latest_webhook(charge)
        fields = (
            {"key": latest.key, "due": now, "detail": latest.detail}
            if latest
            else webhook_about(charge, now).as_entry(now)
        )
        for _ in range(times):
            processor.ledger.append(EntryKind.WEBHOOK, charge.key, **fields)
        return f"The webhook is sent {times} more time{'s' if times > 1 else ''}."

    return resend


def _latest_webhook(charge: ChargeRecord) -> LedgerEntry | None:
    """
    Return the latest webhook that states the present truth, so that the same one can be sent again.
    """
    ends = charge.of_kind(EntryKind.CAPTURED, EntryKind.DECLINED, EntryKind.CANCELLED)
    since = ends[-1].seq if ends else 0
    true = [it for it in charge.of_kind(EntryKind.WEBHOOK) if it.detail["is_right"] and it.seq > since]
    return true[-1] if true else None


def _send(distort: Callable[[Webhook], Webhook], what: str, *, status: str = "") -> Action:
    def send(processor: Processor, charge: ChargeRecord, reason: str) -> str:
        _require_status(charge, status or charge.status)
        processor.schedule(distort(webhook_about(charge, processor.ledger.clock())), charge)
        return f"A webhook with {what} is sent."

    return send


def _require_status(charge: ChargeRecord, status: str) -> None:
    if charge.status != status:
        raise ActionRejected(f"Not possible: this payment is {charge.status}; it must be {status}.")


ACTIONS: dict[str, tuple[str, Action]] = {
    "approve": ("Approve", _approve),
    "decline": ("Decline", _decline),
    "cancel": ("Cancel", _cancel),
    "pay_late": ("Capture after cancellation", _pay_late),
    "call_again": ("Send webhook again", _resend(1)),
    "call_twice": ("Send webhook 2 times", _resend(2)),
    "call_twenty": ("Send webhook 20 times", _resend(20)),
    "sign_badly": (
        "Send webhook with an invalid signature",
        _send(lambda webhook: replace(webhook, signature=Signature.INVALID, is_right=False), "an invalid signature"),
    ),
    "name_wrong_amount": (
        "Send webhook with a wrong amount",
        _send(lambda it: it.distorted(amount=it.data["amount"] + 1), "an amount 1 too high", status="succeeded"),
    ),
    "contradict": ("Send webhook with the opposite", _send(Webhook.opposite, "the opposite status")),
}
