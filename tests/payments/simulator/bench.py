"""
A provider without a server: the test sets the time, and webhooks are collected unless they are sent to a shop.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from werkzeug.routing import Map
from werkzeug.test import Client
from werkzeug.wrappers import Response

from payments.simulator import refunds
from payments.simulator.api import Api
from payments.simulator.behaviours import FaultSampler
from payments.simulator.charges import ChargeCommand, ChargeRecord, ChargeResponse, RefundCommand, RefundResponse
from payments.simulator.http import Application
from payments.simulator.ledger import EntryKind, Ledger, LedgerEntry
from payments.simulator.pages import Pages
from payments.simulator.processor import Processor
from payments.simulator.scheduler import Scheduler
from payments.simulator.webhooks import WebhookSender
from tests.simulators import SECRET, ApiClient

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SENT = (EntryKind.WEBHOOK, EntryKind.WEBHOOK_RESULT)


class Bench:
    def __init__(self, *, sampler: FaultSampler | None = None) -> None:
        self.now = NOON
        self.ledger = Ledger(clock=lambda: self.now)
        self.processor = Processor(ledger=self.ledger, sampler=sampler or FaultSampler())
        self.sent: list[LedgerEntry] = []
        self.slow_responses = 0
        self._sender: WebhookSender | None = None
        handlers = {
            EntryKind.CHARGED: self.processor.settle,
            EntryKind.REFUND_OPENED: partial(refunds.settle, self.processor),
        }
        self.scheduler = Scheduler(self.ledger, handlers | dict.fromkeys(SENT, self.send))

    def charge(self, token: str = "tok_visa", **changes: Any) -> ChargeResponse:
        command = {"key": "charge-1", "order_id": "order-1", "amount": 4_500, "currency": "GBP"} | changes
        return self.processor.charge(ChargeCommand(payment_method=token, **command))

    def refund(
        self, key: str = "refund-1", amount: int = 4_500, currency: str = "GBP", of: str = "charge-1"
    ) -> RefundResponse:
        return refunds.refund(self.processor, of, RefundCommand(key=key, amount=amount, currency=currency))

    def paid(self, token: str = "tok_visa", **changes: Any) -> ChargeRecord:
        """
        Charge, and let two minutes pass.
        """
        self.charge(token, **changes)
        self.wait(60)
        self.wait(60)
        return self.processor.find(changes.get("key", "charge-1"))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.scheduler.run_due()

    def send(self, webhook: LedgerEntry, **options: float) -> None:
        if self._sender:
            self._sender.send(webhook, **options)
        else:
            self.sent.append(webhook)

    @contextmanager
    def sending_to(self, url: str, *secrets: str) -> Iterator["Bench"]:
        """
        Send webhooks to this URL during the block, when they are due.
        """
        self._sender = WebhookSender(self.ledger, url=url, signing_secrets=secrets or [SECRET])
        try:
            yield self
        finally:
            self._sender.stop()
            self._sender = None

    def sent_bodies(self) -> list[dict[str, Any]]:
        return [json.loads(webhook.detail["body"]) for webhook in self.sent]

    def sent_types(self) -> list[str]:
        return [body["type"] for body in self.sent_bodies()]

    def client(self) -> ApiClient:
        """
        Return a client of its API and pages.
        """
        api = Api(processor=self.processor, sender=self, address=BenchClient.address, wait_slowly=self._count_slow)
        routes = Map([*api.rules(), *Pages(self.processor).rules()], merge_slashes=False)
        return BenchClient(Application(routes=routes, hosts=(), wait=lambda: None, counts=api.counts))

    def _count_slow(self) -> None:
        self.slow_responses += 1


class BenchResponse(Response):
    json = Response.get_json


class BenchClient(ApiClient):
    """
    Calls the application in this thread. Where a server would close the connection, ConnectionAbortedError is raised.
    """

    address = "http://localhost"

    def __init__(self, application: Application) -> None:
        self._client = Client(application, BenchResponse, use_cookies=False)

    def post(self, path: str, **options: Any) -> BenchResponse:
        return self._client.post(path, **options)

    def get(self, path: str, **options: Any) -> BenchResponse:
        return self._client.get(path, **options)
