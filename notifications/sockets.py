"""
Ending a connection that another thread is using: a provider that sends a byte now and then stays within each timeout of
a socket, so a whole call has to be limited from outside.
"""

from contextlib import suppress
from socket import SHUT_RDWR, socket


def shut_down(sock: socket) -> None:
    """
    End a connection, plain or TLS, so that the thread that reads or writes gets an error.
    """
    with suppress(OSError):
        # Not the method of an SSL socket, which also ends TLS while the other thread is reading.
        socket.shutdown(sock, SHUT_RDWR)
