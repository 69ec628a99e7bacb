"""
Calling the shop back: signed webhooks, many at a time, each sent again until the shop has acknowledged it.
"""

import logging
import secrets
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from .announcements import Signature
from .entries import Entry, Kind
from .ledger import Closed, Ledger

logger = logging.getLogger(__name__)

AT_ONCE = 64
PATIENCE_SECONDS = 10.0
OLD = timedelta(minutes=10)
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0

ACKNOWLEDGED, REFUSED, FAILED = "acknowledged", "refused", "failed"


class Courier:
    """
    Posts callbacks to the shop and writes its answers into the ledger.
    """

    def __init__(self, ledger: Ledger, *, url: str, signing_secrets: Sequence[str]) -> None:
        self._ledger = ledger
        self._url = url
        self._signers = [signer(secret) for secret in signing_secrets]
        if not self._signers:
            raise ValueError("Callbacks cannot be signed without a secret.")
        self._due: SimpleQueue[Entry | None] = SimpleQueue()
        self._idle, self._threads = threading.Semaphore(0), 0
        self._connections = PoolManager(maxsize=AT_ONCE, retries=False)

    def stop(self) -> None:
        """
        Let the threads end after what they have in hand.
        """
        for _ in range(self._threads):
            self._due.put(None)

    def hand_over(self, entry: Entry) -> None:
        """
        Have a thread send this callback, or send it again after this answer; only the timetable does.
        """
        self._due.put(entry)
        if not self._idle.acquire(blocking=False) and self._threads < AT_ONCE:
            self._threads += 1
            threading.Thread(target=self._work, name=f"courier-{self._threads}", daemon=True).start()

    def send(self, entry: Entry, *, patience: float = PATIENCE_SECONDS) -> None:
        """
        Send it, in this thread, unless that was done meanwhile.
        """
        if self._ledger.is_done(entry.seq):
            return
        callback = self._ledger.entry(entry.detail["callback"]) if entry.kind is Kind.ANSWERED else entry
        status, words = self._post(callback, patience)
        with self._ledger.turn():
            if not self._ledger.is_done(entry.seq):
                self._record(entry, callback, status, words)

    def _work(self) -> None:
        while (entry := self._due.get()) is not None:
            try:
                self.send(entry)
            except Closed:
                return
            except Exception:
                logger.exception("Callback %s could not be sent.", entry.key)
            self._idle.release()

    def _post(self, callback: Entry, patience: float) -> tuple[int, str]:
        body = callback.detail["body"]
        headers = self._headers(callback.key, body, Signature(callback.detail["signature"]))
        try:
            answer = self._connections.request(
                "POST", self._url, body=body.encode(), headers=headers, timeout=Timeout(total=patience), redirect=False
            )
        except HTTPError as error:
            return 0, str(error)
        return answer.status, answer.data[:200].decode(errors="replace")

    def _headers(self, webhook_id: str, body: str, signature: Signature) -> dict[str, str]:
        signers = [Webhook(secrets.token_bytes(24))] if signature is Signature.BAD else self._signers
        now = datetime.now(UTC).replace(microsecond=0) - (OLD if signature is Signature.OLD else timedelta())
        return {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(webhook_id, now, body) for signer in signers),
        }

    def _record(self, entry: Entry, callback: Entry, status: int, words: str) -> None:
        attempt = entry.detail.get("attempt", 0) + 1
        outcome = outcome_of(status)
        is_over = outcome != FAILED or callback.detail["signature"] != Signature.GOOD
        self._ledger.append(
            Kind.ANSWERED,
            callback.charge,
            key=callback.key,
            reason=outcome,
            about=entry.seq,
            due=None if is_over else self._ledger.clock() + timedelta(seconds=wait_after(attempt)),
            detail={"callback": callback.seq, "attempt": attempt, "status": status, "words": words},
        )


def signer(secret: str) -> Webhook:
    """
    Sign with this secret.

    :raises ValueError: if it is none.
    """
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise ValueError(f"A webhook secret is whsec_ and then base64: {error}.") from None


def outcome_of(status: int) -> str:
    """
    Tell by the status of an answer, 0 for none, whether a callback has to be sent again: only if it FAILED.
    """
    if 200 <= status < 300:
        return ACKNOWLEDGED
    return REFUSED if 400 <= status < 500 and status != 429 else FAILED


def wait_after(attempt: int) -> float:
    """
    Return the seconds to wait after a failed attempt: 0.5, 1, 2, 4 and so on, up to a minute.
    """
    doubled: float = FIRST_WAIT_SECONDS * 2 ** min(attempt - 1, 10)
    return min(doubled, LONGEST_WAIT_SECONDS)
