import pytest

from messaging.subscribers import Unavailable
from messaging.transports import kafka
from messaging.transports.protocol import connected
from tests.messaging.transports.brokers import new_broker
from tests.messaging.transports.kafka_cluster import kafka_cluster


def test_a_broker_that_does_not_answer_the_creation_of_a_topic_is_not_available(monkeypatch):
    monkeypatch.setattr(kafka, "CONNECT_SECONDS", 1)
    broker = new_broker(f"kafka://{kafka_cluster().address}/")  # the mock answers no such request

    with pytest.raises(Unavailable, match=f"Kafka at {broker.address} is not available"):
        connected(broker)
