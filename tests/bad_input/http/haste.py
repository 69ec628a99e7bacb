from shop.gathering import GatheringWorker


class HastyWorker(GatheringWorker):
    """
    Waits less, for tests to wait less.
    """

    request_seconds = 2
