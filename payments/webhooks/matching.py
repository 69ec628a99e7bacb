"""
Matching: the payment that each webhook is about. Webhooks about no payment of ours are parked until it is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from messaging.kernel.databases import advisory_lock
from messaging.kernel.ids import parse_id
from messaging.outbox import publish_all
from payments.charges.gateway_queries import charge_request, withdraw
from payments.gateway import protocol
from payments.gateway.protocol import Answer, Money, Outcome
from payments.models import PaymentIntent, WebhookEvent

from .inbox import PARKING_LOCK, webhook_received


@dataclass(frozen=True)
class Match:
    """
    A webhook and the payment that it is about.
    """

    webhook: WebhookEvent
    intent: PaymentIntent

    @property
    def is_about_our_charge(self) -> bool:
        """
        Return whether it is about the charge that we requested, not another one for the same order.
        """
        return self.webhook.charge_key == str(self.intent.pk)

    @property
    def is_disputed(self) -> bool:
        """
        Return whether it claims a payment of another amount than its order, which still wants the money, costs.
        """
        return self._claims_success and self._claimed != Money(self.intent.amount, self.intent.currency)

    @property
    def is_as_requested(self) -> bool:
        """
        Return whether it claims the capture that its payment waits for, of the charge that the gateway confirmed to us.
        """
        is_its_charge = bool(self.webhook.reference) and self.webhook.reference == self.intent.provider_reference
        return self._claims_success and is_its_charge and not self.is_disputed

    @property
    def is_already_known(self) -> bool:
        """
        Return whether our books have what it claims.
        """
        if self.webhook.outcome != Outcome.SUCCEEDED:
            return not self.intent.is_open and self.webhook.outcome != Outcome.PROCESSING
        claimed = (self.webhook.reference, self.webhook.amount, self.webhook.currency)
        captures = self.intent.captures.all()
        return claimed in {(capture.reference, capture.amount, capture.currency) for capture in captures}

    @property
    def claim(self) -> Answer:
        """
        Return the gateway's answer if what it claims is true.
        """
        return Answer(outcome=Outcome(self.webhook.outcome), reference=self.webhook.reference, captured=self._claimed)

    @property
    def _claims_success(self) -> bool:
        """
        Return whether it claims that a payment succeeded which its order still waits for.
        """
        is_awaited = self.intent.is_open and self.intent.is_wanted and self.is_about_our_charge
        return is_awaited and self.webhook.outcome == Outcome.SUCCEEDED

    @property
    def _claimed(self) -> Money:
        return Money(self.webhook.amount, self.webhook.currency)

    def query(self) -> Answer:
        if self.is_about_our_charge and not self.intent.is_wanted:
            return withdraw(self.intent)
        request = charge_request(self.intent)
        request = replace(request, idempotency_key=self.webhook.charge_key, reference=self.webhook.reference)
        return protocol.at(self.intent.gateway).look_up(request)


def match_or_park(webhooks: Sequence[WebhookEvent], now: datetime) -> tuple[list[Match], list[WebhookEvent]]:
    """
    Return the webhooks that are about payments of ours, and the others, which are parked unless they have been before.
    """
    matches = _match(webhooks)
    unmatched = _without(webhooks, matches)
    if not unmatched:
        return matches, []
    with transaction.atomic():
        advisory_lock(PARKING_LOCK)
        matches += _match(unmatched)  # their payments were opened since
        unmatched = _without(webhooks, matches)
        new = [webhook for webhook in unmatched if webhook.status == WebhookEvent.Status.RECEIVED]
        WebhookEvent.objects.filter(pk__in=[webhook.pk for webhook in new]).update(status=WebhookEvent.Status.PARKED)
        end = now + timedelta(seconds=settings.PAYMENTS.webhook_parking_seconds)
        publish_all([webhook_received(webhook, parking_is_over=True) for webhook in new], at=end)
    return matches, unmatched


def _match(webhooks: Sequence[WebhookEvent]) -> list[Match]:
    """
    Return the webhooks that are about payments of ours: the one with their charge, or else the one of their order.
    """
    intents = PaymentIntent.objects.prefetch_related("captures")
    by_key = intents.in_bulk([key for webhook in webhooks if (key := parse_id(webhook.charge_key))])
    by_order = intents.in_bulk([webhook.order_id for webhook in webhooks if webhook.order_id], field_name="order_id")
    return [
        Match(webhook, intent)
        for webhook in webhooks
        if (intent := by_key.get(parse_id(webhook.charge_key)) or by_order.get(webhook.order_id))
    ]


def _without(webhooks: Sequence[WebhookEvent], matches: Sequence[Match]) -> list[WebhookEvent]:
    matched = {match.webhook for match in matches}
    return [webhook for webhook in webhooks if webhook not in matched]
