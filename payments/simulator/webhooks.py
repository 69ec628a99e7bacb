"""
Webhooks: what they state about a charge, rightly or distorted by its behaviour, and how they are signed, sent to the
shop and sent again.
"""

import json
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from queue import SimpleQueue
from typing import Any, Self
from uuid import uuid4

from standardwebhooks import Webhook as Signer
from standardwebhooks.webhooks import EmptyWebhookSecretError
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from .charges import ChargeRecord, Json
from .ledger import EntryKind, Ledger, LedgerClosed, LedgerEntry

logger = logging.getLogger(__name__)

TYPES = {
    "succeeded": "payment.succeeded",
    "declined": "payment.failed",
    "cancelled": "payment.cancelled",
    "processing": "payment.processing",
}
IDS = ("key", "order_id", "reference")
REORDERED_SECONDS = 0.5
LOOKUP_LOST_SECONDS = 2.0
BEFORE_RESPONSE_SECONDS = 2.0

MAX_THREADS = 32
TIMEOUT_SECONDS = 10.0

ACKNOWLEDGED, REFUSED, FAILED = "acknowledged", "refused", "failed"


class Signature(StrEnum):
    VALID = "good"
    INVALID = "bad"
    EXPIRED = "old"
    """Valid, and ten minutes old."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    data: Json
    stated_at: datetime
    id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")
    signature: Signature = Signature.VALID
    """A webhook with another signature is sent once, whatever the response."""
    is_right: bool = True
    """Whether it states the truth."""
    after: float = 0
    """Seconds to wait before it is sent."""

    def distorted(self, **data: Any) -> Self:
        return replace(self, data=self.data | data, is_right=False, id=f"msg_{uuid4().hex}")

    def badly_signed(self) -> Self:
        return replace(self, signature=Signature.INVALID, is_right=False)

    def overstated(self) -> Self:
        return self.distorted(amount=self.data["amount"] + 1)

    def opposite(self) -> Self:
        if self.data["status"] == "succeeded":
            return self.distorted(status="declined", reason="card_declined")
        return self.distorted(status="succeeded", reason="")

    def as_entry(self, now: datetime) -> Json:
        body = {"type": TYPES[self.data["status"]], "timestamp": self.stated_at.isoformat(), "data": self.data}
        detail = {"body": json.dumps(body), "signature": self.signature, "is_right": self.is_right}
        return {"key": self.id, "due": now + timedelta(seconds=self.after), "detail": detail}


def webhook_about(charge: ChargeRecord, now: datetime) -> Webhook:
    data = charge.as_json()
    captured, _ = data.pop("captured"), data.pop("page")
    return Webhook(data=data | (captured or {}), stated_at=now)


def webhooks_of(charge: ChargeRecord, now: datetime, *, delay: float) -> Sequence[Webhook]:
    """
    Return the webhooks that follow the end of a charge; only those of an approved charge are distorted.
    """
    webhook, name, request = webhook_about(charge, now), charge.behaviour.name, charge.requested
    if charge.status != "succeeded" or not request:
        return [webhook]
    waits = {
        "lookup_lost": max(0.0, LOOKUP_LOST_SECONDS - (now - request.at).total_seconds()),
        "answer_lost_charged": delay,
        # Sent before the response; this entry is due only if the process dies before that.
        "callback_before_answer": 2 * BEFORE_RESPONSE_SECONDS,
    }
    if name == "callback_reordered":
        processing = replace(webhook.distorted(status="processing"), stated_at=request.at, after=REORDERED_SECONDS)
        return [webhook, processing]
    return DISTORTED[name](webhook) if name in DISTORTED else [replace(webhook, after=waits.get(name, 0))]


def other_currency(currency: str) -> str:
    return "EUR" if currency != "EUR" else "USD"


DISTORTED: dict[str, Callable[[Webhook], Sequence[Webhook]]] = {
    "never": lambda _: [],
    "callback_twice": lambda webhook: [webhook] * 2,
    "callback_twenty": lambda webhook: [webhook] * 20,
    "contradictory": lambda webhook: [webhook.opposite(), webhook],
    "wrong_amount": lambda webhook: [webhook.overstated()],
    "wrong_currency": lambda webhook: [webhook.distorted(currency=other_currency(webhook.data["currency"]))],
    "bad_signature": lambda webhook: [webhook.badly_signed()],
    "old_timestamp": lambda webhook: [replace(webhook, signature=Signature.EXPIRED, is_right=False)],
    "unknown_payment": lambda webhook: [webhook, webhook.distorted(**dict.fromkeys(IDS, str(uuid4())))],
}


class WebhookSender:
    def __init__(self, ledger: Ledger, *, url: str, signing_secrets: Sequence[str]) -> None:
        self._ledger = ledger
        self._url = url
        try:
            self._signers = [Signer(secret) for secret in signing_secrets]
        except (ValueError, EmptyWebhookSecretError) as error:
            raise ValueError(f"A webhook secret is whsec_ followed by base64: {error}.") from None
        if not self._signers:
            raise ValueError("Webhooks cannot be signed without a secret.")
        self._queue: SimpleQueue[LedgerEntry | None] = SimpleQueue()
        self._connections = PoolManager(maxsize=MAX_THREADS, retries=False)
        for n in range(MAX_THREADS):
            threading.Thread(target=self._work, name=f"webhooks-{n}", daemon=True).start()

    def stop(self) -> None:
        for _ in range(MAX_THREADS):
            self._queue.put(None)

    def enqueue(self, entry: LedgerEntry) -> None:
        self._queue.put(entry)

    def send(self, entry: LedgerEntry, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """
        Send a webhook in this thread, unless it was sent already.
        """
        if self._ledger.is_closed(entry.seq):
            return
        is_retry = entry.kind is EntryKind.WEBHOOK_RESULT
        webhook = self._ledger.entries("seq = ?", entry.detail["callback"])[0] if is_retry else entry
        status, text = self._post(webhook, timeout)
        with self._ledger.transaction():
            if not self._ledger.is_closed(entry.seq):
                self._store_result(entry, webhook, status, text)

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            try:
                self.send(entry)
            except LedgerClosed:
                return
            except Exception:
                logger.exception("Webhook %s could not be sent.", entry.key)

    def _post(self, webhook: LedgerEntry, timeout: float) -> tuple[int, str]:
        body = webhook.detail["body"]
        headers = self._headers(webhook.key, body, Signature(webhook.detail["signature"]))
        try:
            response = self._connections.request(
                "POST", self._url, body=body.encode(), headers=headers, timeout=Timeout(total=timeout), redirect=False
            )
        except HTTPError as error:
            return 0, str(error)
        return response.status, response.data[:200].decode(errors="replace")

    def _headers(self, webhook_id: str, body: str, signature: Signature) -> dict[str, str]:
        signers = [Signer(secrets.token_bytes(24))] if signature is Signature.INVALID else self._signers
        age = timedelta(minutes=10 if signature is Signature.EXPIRED else 0)
        signed_at = datetime.now(UTC).replace(microsecond=0) - age
        return {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(signed_at.timestamp())),
            "webhook-signature": " ".join(signer.sign(webhook_id, signed_at, body) for signer in signers),
        }

    def _store_result(self, entry: LedgerEntry, webhook: LedgerEntry, status: int, text: str) -> None:
        attempt, outcome = entry.detail.get("attempt", 0) + 1, outcome_of(status)
        is_final = outcome != FAILED or webhook.detail["signature"] != Signature.VALID
        self._ledger.append(
            EntryKind.WEBHOOK_RESULT,
            webhook.charge,
            key=webhook.key,
            reason=outcome,
            about=entry.seq,
            due=None if is_final else self._ledger.clock() + timedelta(seconds=retry_seconds(attempt)),
            detail={"callback": webhook.seq, "attempt": attempt, "status": status, "words": text},
        )


def outcome_of(status: int) -> str:
    """
    Return the outcome of a response's status, 0 for none. Only a webhook that FAILED is sent again.
    """
    if 200 <= status < 300:
        return ACKNOWLEDGED
    return REFUSED if 400 <= status < 500 and status != 429 else FAILED


def retry_seconds(attempt: int) -> float:
    """
    Return the seconds to wait after a failed attempt: 0.5, 1, 2, 4 and so on, up to 60.
    """
    return min(0.5 * 2.0 ** min(attempt - 1, 10), 60.0)
