"""
The API of the simulated provider: JSON in, one call to the bank, JSON out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from babel.numbers import list_currencies

from .announcements import BEFORE_ANSWER_SECONDS
from .bank import Bank
from .callbacks import Courier
from .charges import Charge
from .dealings import KeyReused, Manner, NoSuchCharge, NoSuchRefund, RefundWish, Reply, Wish
from .entries import Kind
from .exchange import Answer, Refused, Request, json_answer
from .refunds import Refunds
from .statement import Reports

# A key is a step in the path of an address, so it has no slash; and nothing invisible.
NAME = re.compile(r"[!-.0-~]{1,200}")
MAX_AMOUNT = 10**12

MANNERS = {
    Manner.LOST: Answer(hangs_up=True),
    Manner.BROKEN: json_answer({"error": "internal_error"}, status=500),
    Manner.LIMITED: json_answer({"error": "rate_limited"}, status=429, Retry_After="1"),
}


@dataclass(frozen=True, kw_only=True)
class Api:
    bank: Bank
    refunds: Refunds
    reports: Reports
    courier: Courier
    address: str
    slow_seconds: float
    sleep: Callable[[float], object]

    def charge(self, request: Request) -> Answer:
        key, told = _name(request.header("Idempotency-Key"), "Idempotency-Key"), request.json()
        reply = self.bank.charge(
            Wish(
                key=key,
                order_id=_name(told.get("order_id"), "order_id"),
                payment_method=_name(told.get("payment_method"), "payment_method"),
                **_money(told),
            )
        )
        return MANNERS.get(reply.manner) or self._accepted(reply)

    def look_up(self, request: Request, key: str) -> Answer:
        reply = self.bank.look_up(key)
        return MANNERS.get(reply.manner) or self._told(reply.charge)

    def cancel(self, request: Request, key: str) -> Answer:
        return self._told(self.bank.cancel(_name(key, "The key")))

    def refund(self, request: Request, key: str) -> Answer:
        refund_key = _name(request.header("Idempotency-Key"), "Idempotency-Key")
        reply = self.refunds.refund(key, RefundWish(key=refund_key, **_money(request.json())))
        if not reply.refund:
            return MANNERS[reply.manner]
        return MANNERS.get(reply.manner) or json_answer(reply.refund.as_json())

    def look_up_refund(self, request: Request, key: str, refund_key: str) -> Answer:
        return json_answer(self.refunds.look_up(key, refund_key).as_json())

    def statement(self, request: Request) -> Answer:
        since = request.query.get("since")
        pieces = self.reports.statement(_moment(since) if since else None)
        return Answer(body=pieces, headers={"Content-Type": "application/json"})

    def faults(self, request: Request) -> Answer:
        return json_answer({"counts": self.reports.faults()})

    def _accepted(self, reply: Reply) -> Answer:
        if reply.manner is Manner.SLOW:
            self.sleep(self.slow_seconds)
        if reply.manner is Manner.AFTER_CALLBACK:
            for callback in reply.charge.of_kind(Kind.CALLBACK):
                self.courier.send(callback, patience=BEFORE_ANSWER_SECONDS)
        charge = reply.charge if reply.manner is Manner.PLAIN else self.bank.find(reply.charge.key)
        return self._told(charge, status=202 if charge.status == "processing" else 200)

    def _told(self, charge: Charge, *, status: int = 200) -> Answer:
        return json_answer(charge.as_json(self.address), status=status)


def refusal(error: Exception) -> Refused:
    """
    Tell as the API does what the bank could not do.
    """
    match error:
        case KeyReused():
            return Refused(422, "idempotency_key_reused", str(error))
        case NoSuchRefund():
            return Refused(404, "no_such_refund")
        case _:
            return Refused(404, "no_such_charge")


REFUSALS = (KeyReused, NoSuchCharge, NoSuchRefund)


def _name(told: Any, what: str) -> str:
    if not isinstance(told, str) or not NAME.fullmatch(told):
        raise Refused(400, "invalid_request", f"{what} has to be 1 to 200 visible ASCII characters without a slash.")
    return told


def _money(told: Mapping[str, Any]) -> dict[str, Any]:
    amount, currency = told.get("amount"), told.get("currency")
    if type(amount) is not int or not 0 < amount <= MAX_AMOUNT:
        raise Refused(
            400, "invalid_request", f"amount has to be a whole number from 1 to {MAX_AMOUNT}, in minor units."
        )
    if not isinstance(currency, str) or currency not in _currencies():
        raise Refused(400, "invalid_request", "currency has to be a code of ISO 4217, such as GBP.")
    return {"amount": amount, "currency": currency}


@cache
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies())


def _moment(text: str) -> datetime:
    """
    Read a moment, in UTC unless it says otherwise; a plus sign that nobody escaped has become a space.
    """
    try:
        read = datetime.fromisoformat(re.sub(r" (?=\d\d:?\d\d$)", "+", text) if "T" in text else text)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Refused(400, "invalid_request", "since has to be a moment of ISO 8601.") from None
