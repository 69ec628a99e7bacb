import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from messaging.kernel import tables
from messaging.status import EXACT, BrokerStatus, OutboxStatus, ReceiverStatus, SubscriberStatus, age, outbox_status

SUBSCRIBERS = ("subscriber", "due", "oldest", "retry", "later", "dead", "/min")
RECEIVERS = ("host", "process", "state", "for", "last message", "set")


class Command(BaseCommand):
    help = (
        "Print the backlog of each subscriber: deliveries that are due, for how long the oldest has been due, those "
        "that wait for a retry or were published for later, dead letters, and deliveries in the last minute. With a "
        "broker also its lag (the messages that wait there for this service) and the state of each receiver. Nothing "
        "is changed; a broker that is down delays it by 3 s at most. "
        "Exit status: 0 if nothing needs attention; 1 if there is a dead letter, a subscriber is paused or does "
        "not run here, the broker does not answer, no receiver runs, or one is disconnected or was killed; 2 for wrong "
        "arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")

    def handle(self, **options: Any) -> None:
        now = timezone.now()
        status = outbox_status(now, most=EXACT)
        problems = status.problems()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(status) | {"problems": problems}, cls=DjangoJSONEncoder))
        else:
            self._print(status, problems, now)
        if problems:
            sys.exit(1)

    def _print(self, status: OutboxStatus, problems: Sequence[str], now: datetime) -> None:
        self.stdout.write(f"Workers that run: {status.workers}.")
        self._print_subscribers(status)
        if status.broker:
            self._print_broker(status.broker, now)
        self.stdout.write("\n".join(["Needs attention:", *problems]) if problems else "Nothing needs attention.")

    def _print_subscribers(self, status: OutboxStatus) -> None:
        rows = [_subscriber_row(each) for each in status.subscribers if not each.is_idle]
        if rows:
            tables.show(self.stdout, SUBSCRIBERS, rows)
        self.stdout.write(f"Subscribers with nothing to deliver: {len(status.subscribers) - len(rows)}.")

    def _print_broker(self, broker: BrokerStatus, now: datetime) -> None:
        self.stdout.write(broker.describe_lag())
        if broker.receivers:
            tables.show(self.stdout, RECEIVERS, [_receiver_row(each, now) for each in broker.receivers])


def _subscriber_row(of: SubscriberStatus) -> Sequence[object]:
    oldest = age(of.oldest_due_seconds)
    return of.name, of.due, oldest, of.retrying, of.delayed, of.dead, of.delivered_last_minute


def _receiver_row(of: ReceiverStatus, now: datetime) -> Sequence[object]:
    received = _since(of.received_at, now)
    return of.host, of.process, of.state, _since(of.since, now), received, of.set_size


def _since(moment: datetime | None, now: datetime) -> str:
    return age((now - moment).total_seconds()) if moment else ""
