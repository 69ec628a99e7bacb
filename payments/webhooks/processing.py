"""
Processing: a webhook is taken as the gateway's answer if it can be trusted (`trust`); otherwise it makes us query the
gateway. The answer is applied in both cases.

A webhook may be duplicated, late, out of order or wrong; the answer to a query is right in each of those cases.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import transaction

from messaging.contracts import PaymentAnomalyFound
from messaging.outbox import publish_all
from messaging.subscribers import Permanent
from payments.charges.captures import record_captures
from payments.charges.outcomes import apply_replies
from payments.gateway.calls import call_all, group_replies, raise_unavailable
from payments.gateway.protocol import Answer, Reply
from payments.models import PaymentIntent, WebhookEvent

from .inbox import webhook_received
from .matching import Match, match_or_park
from .trust import trusted_answers

logger = logging.getLogger(__name__)

Status = WebhookEvent.Status


class WebhookUnmatched(Permanent):
    """
    A webhook is about no payment of ours, and none was opened while it was parked. Look its reference up at the
    gateway; `reconcile_payments` shows whether money was captured.
    """


class WebhookDisputed(Permanent):
    """
    A webhook claims that another amount was paid than its order costs, so it was not applied. The gateway is queried
    when the payment is overdue; look the payment up there, and replay this delivery when the payment has ended.
    """


class WebhookResult(StrEnum):
    """
    The result of processing a webhook.
    """

    APPLIED = "applied"
    """The gateway's answer is in our books: the answer to a query, or the webhook itself."""
    ALREADY_KNOWN = "already_known"
    """Our books had what it claims; the gateway was not queried."""
    PARKED = "parked"
    """It is about no payment of ours yet."""
    UNMATCHED = "unmatched"
    """Its parking is over, and it is still about no payment of ours."""
    DISPUTED = "disputed"
    """It claims another amount than its order costs."""
    UNANSWERED = "unanswered"
    """The gateway did not answer; nothing was applied."""


@dataclass(frozen=True)
class ProcessedWebhook:
    webhook: WebhookEvent
    result: WebhookResult
    reply: Reply | None = None

    @property
    def key(self) -> str:
        """
        The key of its event, by which the relay defers it.
        """
        return _key(self.webhook)


def process(webhook_ids: Collection[str], *, now: datetime, parking_is_over: bool = False) -> list[ProcessedWebhook]:
    """
    Query the gateway about the payments of those webhooks that cannot be trusted, apply the answers, and return the
    result for each webhook.
    Call it outside a transaction; it may be called again for the same webhook.

    :raises PartlyUnavailable: if the gateway did not answer for some of them; the others are processed.
    :raises NotReady: if the gateway has not decided on some of them yet; the others are processed.
    :raises WebhookDisputed: if one claims another amount than its order costs; the others are processed.
    :raises WebhookUnmatched: if one is about no payment of ours and `parking_is_over`; the others are processed.
    """
    webhooks = list(WebhookEvent.objects.filter(pk__in=webhook_ids).exclude(status=Status.SETTLED).order_by("pk"))
    matches, unmatched = match_or_park(webhooks, now)
    disputed = [match for match in matches if match.is_disputed]
    processed = [
        *_apply_answers([match for match in matches if not match.is_disputed], now),
        *(ProcessedWebhook(match.webhook, WebhookResult.DISPUTED) for match in disputed),
        *(
            ProcessedWebhook(webhook, WebhookResult.UNMATCHED if parking_is_over else WebhookResult.PARKED)
            for webhook in unmatched
        ),
    ]
    if not any(webhook.result is WebhookResult.UNANSWERED for webhook in processed):
        _record_disputes(disputed)
    _raise_unfinished(processed)
    return processed


def _apply_answers(matches: Sequence[Match], now: datetime) -> list[ProcessedWebhook]:
    """
    Apply what webhooks answer, or what the gateway answers to queries about the others, unless our books have it.
    """
    trusted = trusted_answers(matches, now)
    queried = [match for match in matches if match not in trusted and not match.is_already_known]
    answered = call_all(
        Match.query,
        queried,
        key=lambda match: _key(match.webhook),
        order_id=lambda match: match.intent.order_id,
    )
    replies: Mapping[Match, Reply] = {**dict(zip(queried, answered, strict=True)), **trusted}
    answers = group_replies(replies).answers
    with transaction.atomic():
        _apply(answers, now)
        finished = [match.webhook.pk for match in matches if match not in replies or match in answers]
        WebhookEvent.objects.filter(pk__in=finished).update(status=Status.SETTLED, settled_at=now)
    return [_processed(match, replies.get(match)) for match in matches]


def _apply(answers: Mapping[Match, Answer], now: datetime) -> None:
    """
    Apply answers about charges of ours to their payments; of other charges for the same orders, record the captures.
    """
    ours, others = (
        {
            str(match.intent.order_id): answer
            for match, answer in answers.items()
            if match.is_about_our_charge is is_ours
        }
        for is_ours in (True, False)
    )
    intents = PaymentIntent.objects.locked(ours | others)  # all at once, so that every transaction locks in one order
    apply_replies(ours, now=now)
    other_charges = {intent: others[order_id] for intent in intents if (order_id := str(intent.order_id)) in others}
    record_captures(other_charges, now=now)


def _processed(match: Match, reply: Reply | None) -> ProcessedWebhook:
    if reply is None:
        return ProcessedWebhook(match.webhook, WebhookResult.ALREADY_KNOWN)
    result = WebhookResult.APPLIED if isinstance(reply, Answer) else WebhookResult.UNANSWERED
    return ProcessedWebhook(match.webhook, result, reply)


def _raise_unfinished(processed: Sequence[ProcessedWebhook]) -> None:
    """
    Report the webhooks that are not finished: to the relay, or else to an operator.

    :raises PartlyUnavailable: if the gateway did not answer for some of them.
    :raises NotReady: if the gateway has not decided on some of them yet.
    :raises WebhookDisputed: if one is disputed.
    :raises WebhookUnmatched: if one is unmatched.
    """
    by_result = {result: [webhook for webhook in processed if webhook.result is result] for result in WebhookResult}
    disputed, unmatched = by_result[WebhookResult.DISPUTED], by_result[WebhookResult.UNMATCHED]
    # Disputed and unmatched ones are deferred along with the unanswered: a dead letter has the rest of its batch
    # delivered one by one, and each delivery would wait for the gateway that does not answer.
    raise_unavailable(
        {webhook.key: webhook.reply for webhook in by_result[WebhookResult.UNANSWERED] if webhook.reply},
        deferred_along=[webhook.key for webhook in [*disputed, *unmatched]],
    )
    if disputed:
        raise WebhookDisputed("It claims that another amount was paid than its order costs.")
    if unmatched:
        raise WebhookUnmatched("It is about no payment of ours, and none was opened while it was parked.")


def _record_disputes(matches: Sequence[Match]) -> None:
    """
    Mark these webhooks as disputed, and alert the operator once about each.
    """
    if not matches:
        return
    webhooks = WebhookEvent.objects.filter(pk__in=[match.webhook.pk for match in matches])
    with transaction.atomic():
        recorded = set(webhooks.filter(status=Status.DISPUTED).select_for_update().values_list("pk", flat=True))
        publish_all([_dispute_event(match) for match in matches if match.webhook.pk not in recorded])
        webhooks.update(status=Status.DISPUTED)
    logger.error("Webhooks claim other amounts than their orders cost: %s", [str(match.webhook) for match in matches])


def _dispute_event(match: Match) -> PaymentAnomalyFound:
    webhook = match.webhook
    return PaymentAnomalyFound(
        order_id=str(match.intent.order_id),
        anomaly="disputed_webhook",
        amount=webhook.amount,
        currency=webhook.currency,
        detail=webhook.event_id,
        number=match.intent.number,
    )


def _key(webhook: WebhookEvent) -> str:
    return webhook_received(webhook).key
