import threading

import pytest

from messaging import receiver
from messaging.models import Delivery
from messaging.receiver import Receiver
from messaging.subscribers import Unavailable
from messaging.transports.protocol import Received
from tests.messaging.transports.messages import TYPE, added


class Scripted:
    """A transport that receives these sets or raises these errors, one for each call, and then stops its receiver."""

    def __init__(self, stop: threading.Event, *script: object) -> None:
        self.script, self.stop = list(script), stop
        self.log = []

    def __call__(self, broker, types):
        self.log.append("connect")
        return self

    def receive(self, *, timeout):
        if not self.script:
            self.stop.set()
            return []
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return [Received(message.body, None) for message in step]

    def settle(self, received):
        self.log.append(f"settle {len(received)} of {Delivery.objects.count()}")

    def close(self):
        self.log.append("close")


@pytest.fixture
def stop(monkeypatch) -> threading.Event:
    monkeypatch.setattr(receiver, "outage_pause", lambda number, took: took + number * took.resolution)
    return threading.Event()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("paint")
class TestReceiver:
    def test_settles_a_set_after_it_has_stored_it(self, monkeypatch, stop):
        transport = Scripted(stop, [added("RED-CHAIR"), added("OLD-TABLE")], [], [added("WHITE-LAMP")])
        monkeypatch.setattr(receiver, "connected", transport)

        Receiver({TYPE}).run(stop)

        assert transport.log == ["connect", "settle 2 of 2", "settle 1 of 3", "close"]

    @pytest.mark.parametrize("error", [Unavailable("no route"), RuntimeError("whatever")])
    def test_connects_again_after_an_error(self, monkeypatch, stop, error, caplog):
        transport = Scripted(stop, error, [added("RED-CHAIR")])
        monkeypatch.setattr(receiver, "connected", transport)

        Receiver({TYPE}).run(stop)

        assert transport.log == ["connect", "close", "connect", "settle 1 of 1", "close"]
        assert f"The receiver connects again in 1e-06 s: {error}" in caplog.text
        assert ("Traceback" in caplog.text) == isinstance(error, RuntimeError)

    def test_settles_nothing_that_it_could_not_store(self, monkeypatch, stop):
        transport = Scripted(stop, [added("RED-CHAIR")])
        monkeypatch.setattr(receiver, "connected", transport)
        monkeypatch.setattr(receiver, "store", lambda bodies: 1 / 0)

        Receiver({TYPE}).run(stop)

        assert transport.log == ["connect", "close", "connect", "close"]


class TestReceivers:
    def test_are_none_without_a_broker(self):
        assert receiver.receivers() == []
