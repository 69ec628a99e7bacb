"""librdkafka's mock of a Kafka cluster, which `confluent-kafka` contains: real protocol over loopback, no disk."""

from ctypes import CDLL, c_char_p, c_int, c_size_t, c_void_p, create_string_buffer
from functools import cache
from pathlib import Path
from typing import Any

PRODUCER = 0


class Handle(c_void_p):
    """A pointer of librdkafka: an instance of a subclass stays one, while `c_void_p` becomes an integer."""


class KafkaCluster:
    """A cluster of one broker, for as long as this process lives."""

    def __init__(self) -> None:
        configuration = call("rd_kafka_conf_new", result=Handle)
        error = create_string_buffer(512)
        client = call("rd_kafka_new", PRODUCER, configuration, error, c_size_t(len(error)), result=Handle)
        self._cluster = call("rd_kafka_mock_cluster_new", client, 1, result=Handle)
        call("rd_kafka_mock_group_initial_rebalance_delay_ms", self._cluster, 0)
        self.address = call("rd_kafka_mock_cluster_bootstraps", self._cluster, result=c_char_p).decode()

    def create_topic(self, name: str, *, partitions: int) -> None:
        assert call("rd_kafka_mock_topic_create", self._cluster, name.encode(), partitions, 1) == 0

    def stop(self) -> None:
        """Close all connections, and refuse others."""
        assert call("rd_kafka_mock_broker_set_down", self._cluster, 1) == 0

    def start(self) -> None:
        assert call("rd_kafka_mock_broker_set_up", self._cluster, 1) == 0


def call(name: str, *arguments: object, result: type = c_int) -> Any:
    function = getattr(_library(), name)
    function.restype = result
    return function(*arguments)


@cache
def _library() -> CDLL:
    import confluent_kafka  # only where the tests of Kafka run

    [path] = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
    return CDLL(str(path))


@cache
def kafka_cluster() -> KafkaCluster:
    """Return the cluster of this test process."""
    return KafkaCluster()
