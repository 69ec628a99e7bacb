import signal
import threading
from argparse import ArgumentParser
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from messaging.inbox import wanted_types
from messaging.liveness import Liveness
from messaging.receiver import Receiver
from messaging.subscribers import Unavailable
from messaging.transports.protocol import connected


class Command(BaseCommand):
    help = (
        "Receive events of other services from the broker in TRANSPORT_URL until Ctrl-C or SIGTERM, and store them for "
        "the subscribers here. Workers do the same beside the relay: run this for more receivers. It may be killed and "
        "run again: what it has not acknowledged is received again, and stored once. "
        "Exit status: 0 if stopped or declared, 1 if there is no broker, it does not answer, or nothing is to be "
        "received; 2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--declare",
            action="store_true",
            help="only create what this service needs at the broker, so that events for it are kept from now on",
        )

    def handle(self, *, declare: bool, **options: Any) -> None:
        if not settings.TRANSPORT.url:
            raise CommandError("There is no broker: set TRANSPORT_URL.")
        if not (types := wanted_types()):
            raise CommandError("This service subscribes to no events of others.")
        if declare:
            self._declare(types)
        else:
            self._receive(types)

    def _declare(self, types: Collection[str]) -> None:
        try:
            connected(settings.TRANSPORT.broker, types).close()
        except Unavailable as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Events of {len(types)} types are kept for this service.")

    def _receive(self, types: Collection[str]) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"Receiving {len(types)} types of events from {settings.TRANSPORT.broker.address}.")
        receiver = Receiver(types)
        with Liveness(reporters=[receiver]).maintained():
            receiver.run(stop)
