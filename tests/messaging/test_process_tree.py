import os
import signal
import socket
import time
from multiprocessing import get_context

import pytest

from messaging.process_tree import ProcessTree, before_end
from tests.messaging.concurrency import PATIENCE_SECONDS, in_processes


class Report:
    """What processes report. It is complete when all of them are gone, since only then its stream ends."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(PATIENCE_SECONDS)

    def write(self, line: bytes) -> None:
        self._writer.send(line)

    def next(self) -> bytes:
        return self._reader.recv(1)

    def complete(self) -> bytes:
        self._writer.close()
        return b"".join(iter(self.next, b""))


@pytest.fixture
def report() -> Report:
    return Report()


def fork(function) -> None:
    get_context("fork").Process(target=function).start()


def wait_for_ever() -> None:
    time.sleep(PATIENCE_SECONDS)


class TestEnd:
    def test_ends_every_generation_after_what_they_registered(self, report):
        def child():
            before_end(lambda: report.write(b"c"))
            fork(grandchild)
            wait_for_ever()

        def grandchild():
            before_end(lambda: report.write(b"g"))
            report.write(b".")
            wait_for_ever()

        def main():
            tree = ProcessTree()
            fork(child)
            assert report.next() == b"."
            assert tree.end(within=PATIENCE_SECONDS)
            report.write(b"!")

        assert in_processes(main) == [0]

        assert sorted(report.complete()) == sorted(b"cg!")

    def test_returns_false_if_a_process_does_not_end_in_time(self, report):
        def child():
            before_end(lambda: time.sleep(0.5))
            report.write(b".")
            wait_for_ever()

        def main():
            tree = ProcessTree()
            fork(child)
            assert report.next() == b"."
            assert not tree.end(within=0.1)

        assert in_processes(main) == [0]


class TestDeathOfTheMainProcess:
    def test_ends_the_others_after_what_they_registered(self, report):
        def child():
            before_end(lambda: report.write(b"c"))
            report.write(b".")
            wait_for_ever()

        def main():
            ProcessTree()
            fork(child)
            assert report.next() == b"."
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_processes(main) == [-signal.SIGKILL]

        assert report.complete() == b"c"
