import pytest

from messaging.contracts import OrderPlaced, StockDepleted, StockReplenished
from messaging.subscribers import Subscriber, all_subscribers, subscribers_of


def paint(events):
    pass


def varnish(events):
    pass


class TestSubscriber:
    @pytest.mark.parametrize("transactional", [True, False])
    def test_registers_the_function_and_returns_it_unchanged(self, subscribe, transactional):
        assert subscribe(OrderPlaced, transactional=transactional)(paint) is paint

        assert all_subscribers() == {
            "tests.paint": Subscriber(
                name="tests.paint", react=paint, events=(OrderPlaced,), transactional=transactional
            )
        }


class TestSubscribersOf:
    def test_returns_subscribers_in_order_of_registration(self, subscribe):
        subscribe(StockDepleted, StockReplenished)(varnish)
        subscribe(StockDepleted)(paint)

        assert [subscriber.name for subscriber in subscribers_of(StockDepleted)] == ["tests.varnish", "tests.paint"]
        assert [subscriber.name for subscriber in subscribers_of(StockReplenished)] == ["tests.varnish"]

    def test_is_empty_for_an_event_without_subscribers(self, subscribe):
        subscribe(StockDepleted)(varnish)

        assert subscribers_of(OrderPlaced) == []
