"""
The pages, for a person who plays the bank: all payments, and each with its entries, its callbacks and its buttons.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from babel.numbers import get_currency_precision
from django.template import Context, Engine

from .bank import Bank
from .behaviours import BEHAVIOURS, Behaviour
from .buttons import BUTTONS, REASONS, NotNow, press
from .charges import Charge
from .dealings import NoSuchCharge
from .entries import Entry, Kind
from .exchange import Answer, Request, quoted
from .statement import Reports

TEMPLATES = Path(__file__).parent / "templates"
NEWEST = 100
LONGEST_WORDS = 300
LATEST_ANSWERS = 10

ENGINE = Engine(dirs=[str(TEMPLATES)], autoescape=True)

Row = dict[str, Any]


@dataclass(frozen=True)
class Pages:
    bank: Bank
    reports: Reports

    def overview(self, request: Request) -> Answer:
        totals = [
            {"captured": money(total.captured, total.currency), "refunded": money(total.refunded, total.currency)}
            for total in self.reports.totals()
        ]
        return page(
            "overview.html",
            payments=[payment_row(charge) for charge in self.reports.newest(NEWEST)],
            totals=totals,
            groups=_grouped(),
            faults=self.reports.faults(),
        )

    def payment(self, request: Request, name: str) -> Answer:
        try:
            charge = self.bank.find(name)
        except NoSuchCharge:
            return page("missing.html", status=404, name=name)
        return page(
            "payment.html",
            payment=payment_row(charge),
            entries=[entry_row(entry) for entry in charge.entries if entry.kind not in {Kind.CALLBACK, Kind.ANSWERED}],
            callbacks=[callback_row(callback, answers) for callback, answers in charge.callbacks()],
            buttons=BUTTONS.values(),
            reasons=REASONS,
            said=request.query.get("said", "")[:LONGEST_WORDS],
        )

    def press(self, request: Request, name: str, button: str) -> Answer:
        reason = request.form().get("reason", "")
        try:
            said = press(self.bank, name, button, reason)
        except NoSuchCharge:
            return page("missing.html", status=404, name=name)
        except NotNow as problem:
            said = str(problem)
        return Answer(status=303, headers={"Location": f"/payments/{quoted(name)}?said={quoted(said)}"})

    def style(self, request: Request) -> Answer:
        return Answer(
            body=[(TEMPLATES / "style.css").read_bytes()],
            headers={"Content-Type": "text/css; charset=utf-8", "Cache-Control": "max-age=60"},
        )


def page(template: str, *, status: int = 200, **told: Any) -> Answer:
    written = ENGINE.get_template(template).render(Context(told))
    return Answer(status=status, body=[written.encode()], headers={"Content-Type": "text/html; charset=utf-8"})


DECIMALS_OF_ISO = dict.fromkeys(
    ["AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"], 2
) | {"IQD": 3}
"""Where ISO 4217 differs from CLDR, which babel has."""


def money(minor: int, currency: str) -> str:
    """
    Write an amount for people: 1250 minor units of GBP as "12.50 GBP".
    """
    decimals = DECIMALS_OF_ISO.get(currency, get_currency_precision(currency))
    return f"{Decimal(minor).scaleb(-decimals):,.{decimals}f} {currency}"


def payment_row(charge: Charge) -> Row:
    asked, captured = charge.asked, charge.captured
    refunded = sum(refund.entry.amount or 0 for refund in charge.refunds().values() if refund.status == "succeeded")
    return {
        "key": charge.key,
        "reference": charge.reference,
        "order_id": asked.order_id if asked else "",
        "status": charge.status,
        "reason": charge.reason,
        "amount": _money_of(asked),
        "captured": _money_of(captured),
        "refunded": money(refunded, captured.currency) if captured and refunded else "",
        "behaviour": charge.behaviour,
        "at": _moment(charge.entries[0]),
    }


def entry_row(entry: Entry) -> Row:
    due = f"{entry.due:%H:%M:%S}" if entry.due else ""
    token = entry.detail.get("token", "")
    told = {"kind": entry.kind, "reason": entry.reason, "amount": _money_of(entry), "due": due, "token": token}
    return told | {"at": _moment(entry), "key": entry.key}


def callback_row(callback: Entry, answers: list[Entry]) -> Row:
    return {
        "id": callback.key,
        "at": _moment(callback),
        "body": callback.detail["body"],
        "signature": callback.detail["signature"],
        "answers": [
            {
                "at": _moment(answer),
                "outcome": answer.reason,
                "status": answer.detail["status"],
                "words": answer.detail["words"],
                "again": f"{answer.due:%H:%M:%S}" if answer.due else "",
            }
            for answer in answers[-LATEST_ANSWERS:]
        ],
    }


def _money_of(entry: Entry | None) -> str:
    return money(entry.amount, entry.currency) if entry and entry.amount else ""


def _moment(entry: Entry) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M:%S}"


def _grouped() -> dict[str, list[Behaviour]]:
    groups: dict[str, list[Behaviour]] = {}
    for behaviour in BEHAVIOURS.values():
        groups.setdefault(behaviour.group, []).append(behaviour)
    return groups
