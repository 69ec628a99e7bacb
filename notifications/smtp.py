"""
The SMTP backend of Django, whose connection can be cut off by another thread, and which knows whether a mail was given.
"""

import smtplib
from functools import partial
from io import BufferedReader
from socket import socket
from ssl import SSLContext
from typing import Any

from django.core.mail.backends import smtp

from .sockets import shut_down

EXPECTED = {220, 235, 250}
"""The codes of success that smtplib knows: of a greeting, of a login, and of everything else."""


MAX_REPLY_BYTES = 65_536


class _Replies(BufferedReader):
    """
    The replies of a server, of which smtplib would read any number of lines into memory.
    """

    unread_bytes = MAX_REPLY_BYTES
    """Of the reply that is being read."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self.unread_bytes -= len(line)
        if self.unread_bytes < 0 or len(line) == size:
            raise OSError("The reply is too long.")
        return line


class _Session(smtplib.SMTP):
    def __init__(self, backend: "EmailBackend", *args: Any, context: SSLContext | None = None, **options: Any) -> None:
        self.awaits_verdict = False
        """Whether the server asked for the mail, and has not replied to it."""
        self.handle: socket | None = None
        """Another socket of the same connection, which stays valid while TLS is being negotiated over the first."""
        self._context = context
        backend.session = self  # before it connects, so that connecting can be cut off, too
        super().__init__(*args, **options)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock:
            self.file = _Replies(self.sock.makefile("rb", buffering=0))
        if self.file:
            self.file.unread_bytes = MAX_REPLY_BYTES
        code, reply = super().getreply()
        if not 200 <= code <= 599:  # such as 2 or 25, if the connection ended within the reply
            self.close()
            raise smtplib.SMTPServerDisconnected("The server sent no whole reply.")
        self.awaits_verdict = code == 354
        # The first digit decides (RFC 5321, 4.2.1); smtplib would take other codes than these for failures.
        return (code if code >= 300 or code in EXPECTED else 250), reply

    def quit(self) -> tuple[int, bytes]:
        # Nothing depends on the reply, for which a server may take any time.
        self.putcmd("quit")
        self.close()
        return 221, b""

    def close(self) -> None:
        super().close()
        if self.handle:
            self.handle.close()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket:
        sock: socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self.handle = sock.dup()
        return self._context.wrap_socket(sock, server_hostname=host) if self._context else sock


class EmailBackend(smtp.EmailBackend):
    session: _Session | None = None

    @property
    def connection_class(self) -> Any:
        return partial(_Session, self)

    @property
    def is_connected(self) -> bool:
        return bool(self.session and self.session.sock)

    @property
    def was_given_mail(self) -> bool:
        """
        Return whether the server may have accepted the mail whose sending failed.
        """
        return bool(self.session and self.session.awaits_verdict)

    def close(self) -> None:
        super().close()
        if self.session:
            self.session.close()

    def cut_off(self) -> None:
        """
        End the connection, while another thread is using it.
        """
        if self.session and self.session.handle:
            shut_down(self.session.handle)
