import os
from collections.abc import Iterator

import pytest

from messaging.transports.protocol import SHARDS
from tests.messaging.transports.kafka_cluster import kafka_cluster
from tests.split.shops import SplitShop, databases

BROKERS = {
    "redis": lambda: "redis://127.0.0.1:6379/0",
    "amqp": lambda: "amqp://guest:guest@127.0.0.1:5672/",
    "kafka": lambda: f"kafka://{kafka_cluster().address}/",
}
TRANSPORTS = os.environ.get("TRANSPORTS", "redis,amqp,kafka").split(",")

DUE_SECONDS = 40

SETTINGS = {
    "ORDER_REMINDER_SECONDS": "10",
    "ORDER_PAYMENT_DUE_SECONDS": str(DUE_SECONDS),
    "INTROSPECTION_CACHE_SECONDS": "1",
    "SIGN_UP": "on",
    "THROTTLE_ACCOUNT_PER_MINUTE": "0",
    "THROTTLE_ADDRESS_PER_MINUTE": "0",
    "EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend",
}


@pytest.fixture(scope="module", params=TRANSPORTS)
def shop(request, tmp_path_factory) -> Iterator[SplitShop]:
    folder = tmp_path_factory.mktemp(request.param)
    with databases(folder) as database:
        shop = SplitShop(folder, request.param, BROKERS[request.param](), database, **SETTINGS)
        if request.param == "kafka":  # whose mock lets no client create a topic
            kafka_cluster().create_topic(f"{shop.environment['TRANSPORT_PREFIX']}.events", partitions=SHARDS)
        with shop:
            yield shop
