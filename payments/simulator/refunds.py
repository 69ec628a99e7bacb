"""
Refunds of what a charge captured, never more than that, with the faults that the charge's token selects.
"""

from datetime import timedelta

from .behaviours import ResponseMode
from .charges import ChargeRecord, KeyReused, NoSuchRefund, RefundCommand, RefundRecord, RefundResponse
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
        if known := charge.refunds().get(command.key):
            return _repeated(known.entry, command)
        reason = _decline_reason(charge, command) or declines_by
        fault = "" if reason else processor.first_fault(charge, RESPONSES)
        if fault == "refund_error":
            return RefundResponse(refund=None, mode=RESPONSES[fault])
        reason = "account_closed" if fault == "refund_declined" else reason
        entry = _store(processor, charge, command, reason=reason, is_slow=fault == "refund_slow")
        return RefundResponse(refund=RefundRecord(entry), mode=RESPONSES.get(fault, ResponseMode.NORMAL))


def look_up(processor: Processor, name: str, key: str) -> RefundRecord:
    """
    Return the state of a refund.

    :raises NoSuchCharge: if no charge has this key or reference.
    :raises NoSuchRefund: if the charge has no refund with this key.
    """
    refunds = processor.find(name).refunds()
    if key not in refunds:
        raise NoSuchRefund(key)
    return refunds[key]


def settle(processor: Processor, entry: LedgerEntry) -> None:
    """
    Complete the refund of this due entry, unless that was done.
    """
    with processor.ledger.transaction():
        if not processor.ledger.is_done(entry.seq):
            refunded = {"key": entry.key, "reference": entry.reference, "about": entry.seq}
            money = {"amount": entry.amount, "currency": entry.currency}
            processor.ledger.append(EntryKind.REFUNDED, entry.charge, **refunded, **money)


def _store(
    processor: Processor, charge: ChargeRecord, command: RefundCommand, *, reason: str, is_slow: bool
) -> LedgerEntry:
    kind = EntryKind.REFUND_OPENED if is_slow else EntryKind.REFUNDED
    return processor.ledger.append(
        EntryKind.REFUND_DECLINED if reason else kind,
        charge.key,
        key=command.key,
        reference=processor.new_reference(command.key),
        amount=command.amount,
        currency=command.currency,
        reason=reason,
        due=processor.ledger.clock() + timedelta(seconds=processor.delay) if is_slow else None,
    )


def _repeated(entry: LedgerEntry, command: RefundCommand) -> RefundResponse:
    if (entry.amount, entry.currency) != (command.amount, command.currency):
        raise KeyReused(f"{command.key} was used for {entry.amount} {entry.currency}.")
    return RefundResponse(refund=RefundRecord(entry))


def _decline_reason(charge: ChargeRecord, command: RefundCommand) -> str:
    if command.amount > charge.refundable:
        return "exceeds_capture"
    return "" if charge.captured and charge.captured.currency == command.currency else "other_currency"
