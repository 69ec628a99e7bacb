"""
Refunds of what a charge captured, never more than that, with the faults that the charge's token selects.
"""

from datetime import timedelta

from .behaviours import ResponseMode
from .charges import ChargeRecord, NoSuchRefund, RefundCommand, RefundResponse, require_same_money
from .ledger import EntryKind, LedgerEntry
from .processor import Processor

RESPONSES = {
    "refund_declined": ResponseMode.NORMAL,
    "refund_answer_lost": ResponseMode.CLOSED,
    "refund_error": ResponseMode.SERVER_ERROR,
    "refund_slow": ResponseMode.NORMAL,
}


def refund(processor: Processor, name: str, command: RefundCommand, *, declines_by: str = "") -> RefundResponse:
    """
    Refund a charge; if the key was used before, return the refund's state.

    :param declines_by: the reason to decline it, if it is to be declined.
    :raises NoSuchCharge: if no charge has this key or reference.
    :raises KeyReused: if the key was used with another amount or currency.
    """
    with processor.ledger.transaction():
        charge = processor.find(name)
        if earlier := charge.refunds().get(command.key):
            require_same_money(command, earlier)
            return RefundResponse(refund=earlier)
        reason = _decline_reason(charge, command) or declines_by
        fault = "" if reason else processor.first_fault(charge, RESPONSES)
        mode = RESPONSES.get(fault, ResponseMode.NORMAL)
        if fault == "refund_error":
            return RefundResponse(refund=None, mode=mode)
        reason = "account_closed" if fault == "refund_declined" else reason
        is_slow, due = fault == "refund_slow", processor.ledger.clock() + timedelta(seconds=processor.delay)
        entry = processor.ledger.append(
            EntryKind.REFUND_DECLINED if reason else EntryKind.REFUND_OPENED if is_slow else EntryKind.REFUNDED,
            charge.key,
            reference=processor.new_reference(command.key),
            reason=reason,
            due=due if is_slow else None,
            **vars(command),
        )
        return RefundResponse(refund=entry, mode=mode)


def look_up(processor: Processor, name: str, key: str) -> LedgerEntry:
    """
    Return the latest entry of a refund.

    :raises NoSuchCharge: if no charge has this key or reference.
    :raises NoSuchRefund: if the charge has no refund with this key.
    """
    refunds = processor.find(name).refunds()
    if key not in refunds:
        raise NoSuchRefund(f"The charge has no refund with the key {key}.")
    return refunds[key]


def settle(processor: Processor, entry: LedgerEntry) -> None:
    """
    Complete the refund of this due entry, unless that was done.
    """
    with processor.ledger.transaction():
        if not processor.ledger.is_closed(entry.seq):
            fields = {"key": entry.key, "amount": entry.amount, "currency": entry.currency}
            reference, seq = entry.reference, entry.seq
            processor.ledger.append(EntryKind.REFUNDED, entry.charge, reference=reference, about=seq, **fields)


def _decline_reason(charge: ChargeRecord, command: RefundCommand) -> str:
    captured, reserved = charge.captured, charge.refunded(EntryKind.REFUND_OPENED, EntryKind.REFUNDED)
    if not captured or command.amount > (captured.amount or 0) - reserved:
        return "exceeds_capture"
    return "" if captured.currency == command.currency else "other_currency"
