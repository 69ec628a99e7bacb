"""
Trust: which webhooks are taken as the gateway's answer, so that no query is made.

A genuine webhook may still be outdated or, if the webhook secret leaked, forged. Therefore it is taken as the answer
only if it claims what our books wait for, and only while the gateway's statement confirms our books.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.conf import settings

from payments.differences import RECONCILED_WITHIN
from payments.gateway import protocol
from payments.gateway.protocol import Answer, Outcome
from payments.models import Reconciliation, WebhookEvent

from .matching import Match


def trusted_answers(matches: Sequence[Match], now: datetime) -> dict[Match, Answer]:
    """
    Return the answers of those webhooks that need no query, because they claim the capture that their payment waits
    for, nothing contradicts them, and the last reconciliation confirmed our captures.
    """
    current = protocol.current()
    expected = [match for match in matches if match.is_as_requested and protocol.at(match.intent.gateway) is current]
    if not expected or not _are_books_confirmed(now):
        return {}
    contradicted = _contradicted(match.webhook.charge_key for match in expected)
    return {match: match.claim for match in expected if match.webhook.charge_key not in contradicted}


def _are_books_confirmed(now: datetime) -> bool:
    recent = Reconciliation.objects.filter(gateway=settings.PAYMENTS.gateway, began_at__gt=now - RECONCILED_WITHIN)
    return recent.filter(unconfirmed=0).exists()


def _contradicted(charge_keys: Iterable[str]) -> set[str]:
    """
    Return the charges about which the stored webhooks make different final claims, or repeat an id with other content.
    """
    webhooks = WebhookEvent.objects.filter(charge_key__in=set(charge_keys)).exclude(outcome=Outcome.PROCESSING)
    claims = set(webhooks.values_list("charge_key", "outcome", "reference", "amount", "currency", "conflicts"))
    counts = Counter(charge_key for charge_key, *_ in claims)
    return {charge_key for charge_key, *_, conflicts in claims if conflicts or counts[charge_key] > 1}
