from shop.server.gunicorn_worker import BufferingThreadWorker


class HastyWorker(BufferingThreadWorker):
    """
    Waits less, for tests to wait less.
    """

    request_seconds = 2
