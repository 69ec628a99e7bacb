from messaging.contracts import OrderPlaced, StockDepleted, StockReplenished
from messaging.subscribers import Subscriber, all_subscribers, subscribers_of


def paint(events):
    pass


def varnish(events):
    pass


class TestSubscriber:
    def test_registers_the_function_under_its_context_and_name(self, subscribe):
        subscribe(OrderPlaced)(paint)

        assert all_subscribers() == {
            "tests.paint": Subscriber(name="tests.paint", react=paint, events=(OrderPlaced,), transactional=True)
        }

    def test_leaves_the_function_as_it_was(self, subscribe):
        assert subscribe(OrderPlaced, transactional=False)(paint) is paint

    def test_lets_a_caller_of_the_outside_run_in_no_transaction(self, subscribe):
        subscribe(OrderPlaced, transactional=False)(paint)

        assert not all_subscribers()["tests.paint"].transactional


class TestSubscribersOf:
    def test_finds_each_that_listens_in_order_of_registration(self, subscribe):
        subscribe(StockDepleted, StockReplenished)(varnish)
        subscribe(StockDepleted)(paint)

        assert [found.name for found in subscribers_of(StockDepleted)] == ["tests.varnish", "tests.paint"]
        assert [found.name for found in subscribers_of(StockReplenished)] == ["tests.varnish"]

    def test_finds_nobody_for_an_event_that_nobody_listens_to(self, subscribe):
        subscribe(StockDepleted)(varnish)

        assert subscribers_of(OrderPlaced) == []
