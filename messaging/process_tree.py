"""
Ends all processes of a program together: when its main process asks for it, and when that process is killed.

It relies on no lock, because a killed process would hold it for ever. The main process has one end of a socket pair,
every descendant has the other, and the system closes an end with the last process that has it. So the descendants read
the end of the stream once the main process is gone, and the main process reads it once the last descendant is gone.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_before_end: list[Callable[[], object]] = []


def before_end(function: Callable[[], object]) -> None:
    """
    Call the function in this descendant when the main process asks it to end, or is gone.
    """
    _before_end.append(function)


class ProcessTree:
    """
    The main process, which creates this object, and its descendants: every process forked from then on.
    """

    def __init__(self) -> None:
        self._main_end, self._descendants_end = socket.socketpair()
        os.register_at_fork(after_in_child=self._join)

    def end(self, *, within: float) -> bool:
        """
        Ask all descendants to end, and return whether they have ended within so many seconds.
        """
        self._main_end.shutdown(socket.SHUT_WR)
        self._descendants_end.close()
        self._main_end.settimeout(within)
        with suppress(TimeoutError):
            return self._main_end.recv(1) == b""
        return False

    def _join(self) -> None:
        self._main_end.close()
        _before_end.clear()  # these are the parent's
        threading.Thread(target=self._end_with_main_process, name="process-tree", daemon=True).start()

    def _end_with_main_process(self) -> None:
        try:
            self._descendants_end.recv(1)  # returns at the end of the stream: nothing is sent
            for function in _before_end:
                function()
        finally:
            os._exit(0)  # whatever the other threads wait for
