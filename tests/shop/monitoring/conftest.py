import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.utils import timezone

from shop.monitoring import views
from shop.monitoring.cached import Cached
from shop.monitoring.metrics import render_metrics
from shop.monitoring.readiness import check_readiness


@pytest.fixture(autouse=True)
def _nothing_is_cached(monkeypatch) -> None:
    """
    Forget what a test before has cached.
    """
    monkeypatch.setattr(views, "readiness", Cached(lambda: check_readiness(timezone.now())))
    monkeypatch.setattr(views, "exposition", Cached(lambda: render_metrics(timezone.now())))


@pytest.fixture
def silent_broker(settings) -> Iterator[str]:
    """
    A broker whose port accepts no connection.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"redis://shop:s3cret@127.0.0.1:{free.getsockname()[1]}/0"
        settings.TRANSPORT = replace(settings.TRANSPORT, url=url)
        yield url
