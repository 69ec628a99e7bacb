"""
The pages for a person who operates the provider: all payments, and each with its ledger, its webhooks and actions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from babel.numbers import get_currency_precision
from django.template import Context, Engine
from werkzeug.routing import Rule
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from .behaviours import BEHAVIOURS, GROUPS
from .charges import ChargeRecord, Json, NoSuchCharge
from .ledger import EntryKind, LedgerEntry
from .processor import Processor
from .webhooks import Webhook, webhook_about

TEMPLATES = Path(__file__).parent / "templates"
ENGINE = Engine(dirs=[str(TEMPLATES)], autoescape=True)
MAX_PAYMENTS, MAX_MESSAGE_LENGTH, MAX_RESULTS = 100, 300, 10

REASONS = tuple(behaviour.declines_by for behaviour in BEHAVIOURS.values() if behaviour.declines_by)
TWO_DECIMALS = ["AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"]
ISO_4217_DECIMALS = dict.fromkeys(TWO_DECIMALS, 2) | {"IQD": 3}
"""Where the minor units of ISO 4217 differ from the digits that Babel has from CLDR."""

NEWEST = "SELECT charge FROM entries WHERE kind = 'charged' ORDER BY seq DESC LIMIT ?"
TOTALS = """
SELECT currency, coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0) AS captured,
    coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0) AS refunded
FROM entries WHERE kind IN ('captured', 'refunded') GROUP BY currency ORDER BY currency
"""


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

    def overview(self, request: Request, *, missing: str = "") -> Response:
        ledger = self.processor.ledger
        (_, frequent), *with_faults = GROUPS.items()
        keys = [row["charge"] for row in ledger.select(NEWEST, MAX_PAYMENTS)]
        return page(
            "overview.html",
            status=404 if missing else 200,
            missing=missing,
            payments=[payment_row(ChargeRecord(key, ledger.entries_of(key))) for key in keys],
            totals=[[money(row[name], row["currency"]) for name in row.keys()[1:]] for row in ledger.select(TOTALS)],
            frequent=frequent,
            groups=dict(with_faults),
            faults=ledger.faults(),
        )

    def payment(self, request: Request, name: str) -> Response:
        try:
            charge = self.processor.find(name)
        except NoSuchCharge:
            return self.overview(request, missing=name)
        results = charge.of_kind(EntryKind.WEBHOOK_RESULT)
        deliveries = {EntryKind.WEBHOOK, EntryKind.WEBHOOK_RESULT}
        return page(
            "payment.html",
            payment=payment_row(charge),
            entries=[(entry, money_of(entry)) for entry in charge.entries if entry.kind not in deliveries],
            webhooks=[
                (webhook, [result for result in results if result.detail["callback"] == webhook.seq][-MAX_RESULTS:])
                for webhook in charge.of_kind(EntryKind.WEBHOOK)
            ],
            actions=[(name, action, action.is_possible(charge)) for name, action in ACTIONS.items()],
            reasons=REASONS,
            message=request.args.get("said", "")[:MAX_MESSAGE_LENGTH],
        )

    def act(self, request: Request, name: str, action: str) -> Response:
        try:
            message = perform(self.processor, name, action, request.form.get("reason", ""))
        except NoSuchCharge:
            return self.overview(request, missing=name)
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


def money_of(entry: LedgerEntry | None) -> str:
    return money(entry.amount, entry.currency) if entry and entry.amount else ""


def payment_row(charge: ChargeRecord) -> Json:
    captured, refunded = charge.captured, charge.refunded(EntryKind.REFUNDED)
    return charge.as_json() | {
        "amount": money_of(charge.requested),
        "captured": money_of(captured),
        "refunded": money(refunded, captured.currency) if captured and refunded else "",
        "behaviour": charge.behaviour,
        "at": charge.entries[0].at,
    }


Perform = Callable[[Processor, ChargeRecord, str], object]


@dataclass(frozen=True)
class Action:
    label: str
    message: str
    """Shown after the action; the decline reason is inserted."""
    perform: Perform
    status: str = ""
    """The status that the payment must have, if any."""

    def is_possible(self, charge: ChargeRecord) -> bool:
        return bool(charge.requested) and self.status in {"", charge.status}


def perform(processor: Processor, name: str, action: str, reason: str) -> str:
    """
    Perform an action on the payment of this name, and return what to show then.

    :raises NoSuchCharge: if there is no such payment.
    :raises ActionRejected: if the action is not possible.
    """
    if action not in ACTIONS:
        raise ActionRejected("There is no such action.")
    with processor.ledger.transaction():
        charge = processor.find(name)
        if not charge.requested:
            raise ActionRejected("This payment was cancelled before it arrived, so no action is possible.")
        if not ACTIONS[action].is_possible(charge):
            needed = ACTIONS[action].status
            raise ActionRejected(f"Not possible: this payment is {charge.status}; it must be {needed}.")
        ACTIONS[action].perform(processor, charge, reason)
    return ACTIONS[action].message.format(reason)


def decline(processor: Processor, charge: ChargeRecord, reason: str) -> None:
    if reason not in REASONS:
        raise ActionRejected("Choose one of the decline reasons.")
    processor.decline(charge, reason=reason)


def resend(times: int) -> Perform:
    """
    Send the latest webhook that states the present truth again, or a new one if there is none.
    """

    def perform(processor: Processor, charge: ChargeRecord, reason: str) -> None:
        ends = charge.of_kind(EntryKind.CAPTURED, EntryKind.DECLINED, EntryKind.CANCELLED)
        since, now = ends[-1].seq if ends else 0, processor.ledger.clock()
        right = [it for it in charge.of_kind(EntryKind.WEBHOOK) if it.detail["is_right"] and it.seq > since]
        fields = webhook_about(charge, now).as_entry(now)
        if right:
            fields |= {"key": right[-1].key, "detail": right[-1].detail}
        for _ in range(times):
            processor.ledger.append(EntryKind.WEBHOOK, charge.key, **fields)

    return perform


def send(distort: Callable[[Webhook], Webhook]) -> Perform:
    return lambda processor, charge, _: processor.schedule(
        distort(webhook_about(charge, processor.ledger.clock())), charge
    )


ACTIONS = {
    "approve": Action("Approve", "Approved.", lambda provider, charge, _: provider.capture(charge), "processing"),
    "decline": Action("Decline", "Declined: {}.", decline, "processing"),
    "cancel": Action("Cancel", "Cancelled.", lambda provider, charge, _: provider.cancel(charge.key), "processing"),
    "pay_late": Action("Pay late", "Paid late.", lambda provider, charge, _: provider.capture(charge), "cancelled"),
    "call_again": Action("Send webhook again", "The webhook is sent again.", resend(1)),
    "call_twice": Action("Send webhook 2 times", "The webhook is sent 2 more times.", resend(2)),
    "call_twenty": Action("Send webhook 20 times", "The webhook is sent 20 more times.", resend(20)),
    "sign_badly": Action(
        "Send badly signed webhook", "A webhook with an invalid signature is sent.", send(Webhook.badly_signed)
    ),
    "name_wrong_amount": Action(
        "Send wrong amount", "A webhook with a wrong amount is sent.", send(Webhook.overstated), "succeeded"
    ),
    "contradict": Action("Send opposite", "A webhook with the opposite status is sent.", send(Webhook.opposite)),
}
