"""
A mail server on this machine for practice: it takes mails and drops them, and rejects the first one to some recipients.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast

LOCALHOST = "127.0.0.1"
IDLE_SECONDS = 60
MAX_LINE_BYTES = 10_000

REJECTION = "554 5.7.1 Message rejected: our filter took it for spam. We have corrected that, send it again"
REPLIES = {
    "HELO": "250 mail.example",
    "EHLO": "250 mail.example",
    "MAIL": "250 OK",
    "RCPT": "250 OK",
    "RSET": "250 OK",
    "NOOP": "250 OK",
    "QUIT": "221 Bye",
}


class MailServer(ThreadingTCPServer):
    """
    :param rejected: recipients of whom the first mail is rejected for good (554).
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, rejected: Collection[str]) -> None:
        super().__init__((LOCALHOST, 0), _Session)
        self._rejected = set(rejected)
        self._lock = threading.Lock()

    def verdict_on(self, recipients: Collection[str]) -> str:
        """
        Return the reply to a mail that a client has sent completely.
        """
        with self._lock:
            is_rejected = not self._rejected.isdisjoint(recipients)
            self._rejected.difference_update(recipients)
        return REJECTION if is_rejected else "250 OK"


@contextmanager
def running_mail_server(*, rejected: Collection[str]) -> Iterator[int]:
    """
    Serve in a thread during the block, which gets the port.
    """
    with MailServer(rejected) as server:
        threading.Thread(target=server.serve_forever, name="mail-server", daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


class _Session(StreamRequestHandler):
    timeout = IDLE_SECONDS

    def handle(self) -> None:
        with suppress(OSError):  # the client is gone, or idle for too long
            self._converse()

    def _converse(self) -> None:
        self._reply("220 mail.example")
        recipients: list[str] = []
        while line := self._line():
            verb = line[:4].upper()
            if verb in {"MAIL", "RSET"}:
                recipients.clear()
            if verb == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0].lower())
            self._reply(self._take_mail(recipients) if verb == "DATA" else REPLIES.get(verb, "502 Unknown command"))
            if verb == "QUIT":
                return

    def _take_mail(self, recipients: Collection[str]) -> str:
        self._reply("354 Go ahead")
        while self._line() not in {"", ".\r\n"}:
            pass
        return cast("MailServer", self.server).verdict_on(recipients)

    def _line(self) -> str:
        """
        Return the next line with its end; empty if the client is gone.
        """
        return self.rfile.readline(MAX_LINE_BYTES).decode("utf-8", "replace")

    def _reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
