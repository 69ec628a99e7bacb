"""
Webhooks: what the gateway called back with, settled by asking the gateway.

A webhook is a reason to ask, never an answer: it may come twice, late, out of order or be wrong, and the gateway's
answer is right whichever of those it was. One that means no payment of ours is parked until its payment is opened.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from messaging.contracts import PaymentAnomalyFound
from messaging.kernel.databases import advisory_lock
from messaging.outbox import publish_all
from messaging.subscribers import Permanent
from payments.charges.outcomes import apply, book, charge_of, withdraw
from payments.gateway import protocol
from payments.gateway.calls import call_all, insist_on
from payments.gateway.protocol import Answer, Outcome, Reply
from payments.models import PaymentIntent, WebhookEvent, as_id

from .inbox import received

logger = logging.getLogger(__name__)

Status = WebhookEvent.Status

TURNS = "payments.webhooks.processing.parking"


class WebhookUnmatched(Permanent):
    """
    A webhook means no payment of ours, and none was opened while it was parked. Look its reference up at the gateway;
    `reconcile_payments` tells whether money came.
    """


class WebhookDisputed(Permanent):
    """
    A webhook claims to have paid another amount than its order costs, so nothing was done about it. Its payment is
    asked about when it is due; look it up at the gateway, and replay this when the payment has ended.
    """


def settle(webhook_ids: Collection[str], *, now: datetime, parking_is_over: bool = False) -> None:
    """
    Ask the gateway about the payments that these webhooks mean, and bring its answers to our books. Call it outside a
    transaction; it may be called again for the same webhook.

    :raises Unavailable: if the gateway did not answer for one of them; the others are settled.
    :raises WebhookDisputed: if one claims another amount than its order costs; the others are settled.
    :raises WebhookUnmatched: if one means no payment of ours and `parking_is_over`; the others are settled.
    """
    webhooks = list(WebhookEvent.objects.filter(pk__in=webhook_ids).exclude(status=Status.SETTLED).order_by("pk"))
    matches = _matches(webhooks)
    matches += _park([webhook for webhook in webhooks if webhook not in {match.webhook for match in matches}], now)
    disputed = [match for match in matches if match.is_disputed]
    unanswered = _settle([match for match in matches if not match.is_disputed], now)
    matched = {match.webhook for match in matches}
    hopeless = [match.webhook for match in disputed] + [it for it in webhooks if parking_is_over and it not in matched]
    if unanswered:
        # What is for a person waits: a dead letter has all others delivered alone, each to wait for a silent gateway.
        first = next(iter(unanswered.values()))
        insist_on(unanswered | dict.fromkeys([received(webhook).key for webhook in hopeless], first))
    _dispute(disputed)
    if hopeless:
        raise WebhookUnmatched("It means no payment of ours, and none was opened while it was parked.")


def wake(intents: Sequence[PaymentIntent]) -> None:
    """
    Have webhooks that came before these new payments settled now, for they are meant.
    """
    advisory_lock(TURNS, shared=True)
    keys, orders = [str(intent.pk) for intent in intents], [intent.order_id for intent in intents]
    meant = WebhookEvent.objects.filter(Q(charge_key__in=keys) | Q(order_id__in=orders), status=Status.PARKED)
    publish_all([received(webhook) for webhook in meant])


@dataclass(frozen=True)
class _Match:
    """
    A webhook, and the payment that it means.
    """

    webhook: WebhookEvent
    intent: PaymentIntent

    @property
    def is_of_our_charge(self) -> bool:
        """
        Tell whether it is about the charge that we asked for, not about another one for the same order.
        """
        return self.webhook.charge_key == str(self.intent.pk)

    @property
    def is_disputed(self) -> bool:
        """
        Tell whether it claims that an order which waits for its money has got another amount than that.
        """
        waits = self.intent.is_open and self.intent.is_wanted and self.is_of_our_charge
        claimed, asked = (self.webhook.amount, self.webhook.currency), (self.intent.amount, self.intent.currency)
        return waits and self.webhook.outcome == Outcome.SUCCEEDED and claimed != asked

    @property
    def is_old_news(self) -> bool:
        """
        Tell whether our books have it already, so that nobody has to be asked.
        """
        if self.webhook.outcome != Outcome.SUCCEEDED:
            return not self.intent.is_open and self.webhook.outcome != Outcome.PROCESSING
        told = (self.webhook.reference, self.webhook.amount, self.webhook.currency)
        return told in {(capture.reference, capture.amount, capture.currency) for capture in self.intent.captures.all()}

    def ask(self) -> Answer:
        if self.is_of_our_charge and not self.intent.is_wanted:
            return withdraw(self.intent)
        meant = replace(
            charge_of(self.intent), idempotency_key=self.webhook.charge_key, reference=self.webhook.reference
        )
        return protocol.at(self.intent.gateway).look_up(meant)


def _matches(webhooks: Sequence[WebhookEvent]) -> list[_Match]:
    """
    Find the payment that each webhook means: that of its charge, or the one of its order.
    """
    known = PaymentIntent.objects.prefetch_related("captures")
    by_key = known.in_bulk([key for webhook in webhooks if (key := as_id(webhook.charge_key))])
    by_order = known.in_bulk([webhook.order_id for webhook in webhooks if webhook.order_id], field_name="order_id")
    meant = [(it, by_key.get(as_id(it.charge_key)) or by_order.get(it.order_id)) for it in webhooks]
    return [_Match(webhook, intent) for webhook, intent in meant if intent]


def _park(unmatched: Sequence[WebhookEvent], now: datetime) -> list[_Match]:
    """
    Park webhooks that mean no payment of ours, and return those whose payment was opened at this very moment.
    """
    if not unmatched:
        return []
    with transaction.atomic():
        advisory_lock(TURNS)  # otherwise a payment that is being opened misses them, and they miss it
        matches = _matches(unmatched)
        found = {match.webhook for match in matches}
        new = [webhook for webhook in unmatched if webhook not in found and webhook.status == Status.RECEIVED]
        WebhookEvent.objects.filter(pk__in=[webhook.pk for webhook in new]).update(status=Status.PARKED)
        over = now + timedelta(seconds=settings.PAYMENTS.webhook_parking_seconds)
        publish_all([received(webhook, parking_is_over=True) for webhook in new], at=over)
        return matches


def _settle(matches: Sequence[_Match], now: datetime) -> dict[str, Reply]:
    """
    Ask the gateway, apply what it answers, and return what it did not answer, by the key of the event.
    """
    news = [match for match in matches if not match.is_old_news]
    replies = dict(zip(news, call_all(_Match.ask, news), strict=True))
    answers = {match: reply for match, reply in replies.items() if isinstance(reply, Answer)}
    with transaction.atomic():
        _apply(answers, now)
        settled = [match.webhook.pk for match in matches if match not in replies or match in answers]
        WebhookEvent.objects.filter(pk__in=settled).update(status=Status.SETTLED, settled_at=now)
    return {received(match.webhook).key: reply for match, reply in replies.items() if match not in answers}


def _apply(answers: Mapping[_Match, Answer], now: datetime) -> None:
    """
    Bring the answers to our books: those about charges of ours, and those about others for the same orders.
    """
    ours, others = (
        {str(it.intent.order_id): answer for it, answer in answers.items() if it.is_of_our_charge is wanted}
        for wanted in (True, False)
    )
    intents = PaymentIntent.objects.locked(ours | others)  # all at once, in everybody's order
    apply(ours, now=now)
    book([intent for intent in intents if str(intent.order_id) in others], others, now=now)


def _dispute(matches: Sequence[_Match]) -> None:
    """
    Have the operator told, once for each webhook, and leave them to a person.

    :raises WebhookDisputed: if there are any.
    """
    if not matches:
        return
    disputed = WebhookEvent.objects.filter(pk__in=[match.webhook.pk for match in matches])
    with transaction.atomic():
        told = set(disputed.filter(status=Status.DISPUTED).select_for_update().values_list("pk", flat=True))
        publish_all([_contradiction(match) for match in matches if match.webhook.pk not in told])
        disputed.update(status=Status.DISPUTED)
    logger.error("Webhooks claim other amounts than their orders cost: %s", [str(match.webhook) for match in matches])
    raise WebhookDisputed("It claims that another amount was paid than its order costs.")


def _contradiction(match: _Match) -> PaymentAnomalyFound:
    webhook = match.webhook
    return PaymentAnomalyFound(
        order_id=str(match.intent.order_id),
        anomaly="disputed_webhook",
        amount=webhook.amount,
        currency=webhook.currency,
        detail=webhook.event_id,
    )
