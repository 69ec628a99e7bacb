from shop.server.gunicorn_worker import BufferingThreadWorker


class ImpatientWorker(BufferingThreadWorker):
    """Waits less for slow clients, to shorten the tests."""

    request_seconds = 2
