"""
Giving captured money back, once, and never more than was captured.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeGuard

from django.db import transaction
from django.db.models import prefetch_related_objects

from messaging.contracts import PaymentRefunded, RefundRequested
from messaging.outbox import publish_all

from . import gateway
from .gateway import Answer, Outcome, Repayment, Reply, call_all, insist_on
from .models import PaymentIntent, Refund

logger = logging.getLogger(__name__)

SETTLED = {Outcome.SUCCEEDED: Refund.Status.SUCCEEDED, Outcome.DECLINED: Refund.Status.FAILED}


class RefundExceedsCapture(Exception):
    """
    More would be given back than was captured and not refunded yet; nothing was changed.
    """


@transaction.atomic
def refund(order_id: str, *, amount: int | None = None, reason: str, now: datetime) -> Refund:
    """
    Give part or all of an order's money back, on a person's word.

    :param amount: in minor units; None for all that is left of the captured amount.
    :raises RefundExceedsCapture: if that is not positive or more than what is left.
    """
    intents = PaymentIntent.objects.locked([order_id])
    left = sum(refundable(intents).values())
    if not left:
        raise RefundExceedsCapture("Nothing of this order is left to refund.")
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise RefundExceedsCapture(f"Refund between 1 and {left} minor units of this order, not {wanted}.")
    (requested,) = request({intents[0]: wanted}, reason, now)
    return requested


def send(refund_ids: Collection[str], *, now: datetime) -> None:
    """
    Have the gateway give the money back. Call it outside a transaction; it may be called again for the same refund.

    :raises Unavailable: if the gateway did not decide on one of them yet; the others are settled.
    """
    pending = list(Refund.objects.filter(pk__in=refund_ids, status=Refund.Status.PENDING).select_related("intent"))
    answers = call_all(gateway.current().refund, [_repayment(refund) for refund in pending])
    replies = list(zip(pending, answers, strict=True))
    _settle({str(refund.pk): reply for refund, reply in replies if _is_settled(reply)}, now)
    insist_on({str(refund.intent.order_id): reply for refund, reply in replies if not _is_settled(reply)})


def request(amounts: Mapping[PaymentIntent, int], reason: str, now: datetime) -> list[Refund]:
    """
    Owe these amounts, in minor units, of locked intents to their customers, and announce it to ourselves.
    """
    refunds = Refund.objects.bulk_create(
        [Refund(intent=intent, amount=amount, reason=reason, requested_at=now) for intent, amount in amounts.items()]
    )
    publish_all([RefundRequested(order_id=str(refund.intent.order_id), refund_id=str(refund.pk)) for refund in refunds])
    return refunds


def refundable(intents: Sequence[PaymentIntent]) -> dict[PaymentIntent, int]:
    """
    Tell how many minor units of each intent were captured and have not gone back and are not on their way.
    """
    prefetch_related_objects(intents, "refunds")
    return {intent: _left(intent) if intent.status == intent.Status.SUCCEEDED else 0 for intent in intents}


def _left(intent: PaymentIntent) -> int:
    return intent.amount - sum(
        refund.amount for refund in intent.refunds.all() if refund.status != refund.Status.FAILED
    )


def _is_settled(reply: Reply) -> TypeGuard[Answer]:
    return isinstance(reply, Answer) and reply.outcome in SETTLED


@transaction.atomic
def _settle(answers: Mapping[str, Answer], now: datetime) -> None:
    locked = Refund.objects.filter(pk__in=list(answers), status=Refund.Status.PENDING).select_for_update(of=("self",))
    refunds = list(locked.select_related("intent").order_by("pk"))
    for refund in refunds:
        _note(refund, answers[str(refund.pk)], now)
    Refund.objects.bulk_update(refunds, ["status", "provider_reference", "settled_at"])
    publish_all([_refunded(refund) for refund in refunds if refund.status == Refund.Status.SUCCEEDED])


def _note(refund: Refund, answer: Answer, now: datetime) -> None:
    refund.status, refund.provider_reference, refund.settled_at = SETTLED[answer.outcome], answer.reference, now
    if refund.status == Refund.Status.FAILED:
        logger.error("The gateway refused refund %s: give the money back another way.", refund.pk)


def _repayment(refund: Refund) -> Repayment:
    return Repayment(
        idempotency_key=str(refund.pk),
        charge_key=str(refund.intent_id),
        amount=refund.amount,
        currency=refund.intent.currency,
    )


def _refunded(refund: Refund) -> PaymentRefunded:
    return PaymentRefunded(
        order_id=str(refund.intent.order_id),
        refund_id=str(refund.pk),
        amount=refund.amount,
        currency=refund.intent.currency,
        email=refund.intent.email,
        customer_id=refund.intent.customer_id,
    )
