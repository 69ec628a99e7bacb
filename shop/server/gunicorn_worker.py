"""
The web server's worker, which gathers each request before a thread sees it.

A thread of gunicorn's own `gthread` waits for the rest of a request, for ever: as many clients as there are threads,
each of which sends a byte now and then, close the shop to everybody (slowloris). Here the loop that watches all
connections reads them too, so that nobody waits for another, and gives up a request that takes too long to come.
"""

import re
import socket
import struct
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn import util
from gunicorn.errors import ConfigError
from gunicorn.workers.gthread import TConn, ThreadWorker

READ_BYTES = 65_536
HEAD_BYTES = 65_536
LINGER_SECONDS = 2
STALL_SECONDS = 5

END_OF_HEAD = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
LENGTH_DIGITS = 15
ENCODED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
EXPECTANT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Connection(TConn):
    """
    A connection, and what has come by it of a request that no thread works on yet.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for wait in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            # Of a thread; the loop never waits.
            self.sock.setsockopt(socket.SOL_SOCKET, wait, struct.pack("ll", STALL_SECONDS, 0))
        self.data_ready = True
        self.is_lingering = False
        self.received = bytearray()
        self.await_request()

    def await_request(self) -> None:
        self.deadline: float | None = None
        self.is_over = False
        self.length: int | None = None
        """Of the request, once its head is here: of the head alone, if nobody will read its body."""
        self.has_unwanted_body = False

    def init(self) -> None:
        super().init()
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()

    def gather(self) -> None:
        """
        Take what has come, and wait for nothing.
        """
        self.sock.setblocking(False)  # noqa: FBT003  (its only way)
        if self.parser is not None:
            self._add(self.parser.unreader.take_buffered())
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.is_over = not data
        self._add(data)

    @property
    def is_whole(self) -> bool:
        return self.length is not None and len(self.received) >= self.length

    @property
    def is_endless(self) -> bool:
        return self.length is None and len(self.received) > HEAD_BYTES

    def say(self, words: bytes) -> None:
        with suppress(OSError):
            self.sock.send(words)

    def _add(self, data: bytes) -> None:
        if self.is_lingering:
            return
        searched = max(0, len(self.received) - len(END_OF_HEAD))
        # Some end a request with an empty line too many.
        self.received += data if self.received else data.lstrip(b"\r\n")
        if self.length is None and (end := self.received.find(END_OF_HEAD, searched)) >= 0:
            self._read_head(bytes(self.received[: end + len(END_OF_HEAD)]))

    def _read_head(self, head: bytes) -> None:
        """
        Read where the request ends. What makes no sense is left to the parser, which refuses it.
        """
        told = LENGTH.findall(head)
        digits = told[0].lstrip(b"0")[: LENGTH_DIGITS + 1] if len(told) == 1 else b""
        body = int(digits or b"0")
        self.has_unwanted_body = bool(ENCODED.search(head)) or body > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self.length = len(head) if self.has_unwanted_body else len(head) + body
        if not self.is_whole and EXPECTANT.search(head) and b" HTTP/1.1\r\n" in head:
            self.say(b"HTTP/1.1 100 Continue\r\n\r\n")


class BufferingThreadWorker(ThreadWorker):
    """
    Gives whole requests to the threads, and no others.
    """

    request_seconds = 10

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl or cfg.proxy_protocol != "off":
            raise ConfigError("This worker reads plain HTTP/1.1: let TLS and the PROXY protocol end before the shop.")

    def accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, address = listener.accept()
            self.nr_conns += 1
            self.enqueue_req(Connection(self.cfg, client, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """
        Give a request to a thread, if it is here; if not, watch for the rest of it.
        """
        conn.gather()
        conn.deadline = conn.deadline or time.monotonic() + self.request_seconds
        if conn.is_whole:
            super().enqueue_req(conn)
        elif conn.is_endless:
            self._refuse(conn, 431, "Request Header Fields Too Large")
        elif conn.is_over:
            self._drop(conn)
        else:
            self._watch(conn)

    def handle_request(self, req: Any, conn: Connection) -> bool:
        req._expected_100_continue = False  # noqa: SLF001  (who was wanted to continue was told so)
        if conn.has_unwanted_body:
            req.force_close()
        return super().handle_request(req, conn)

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        if fs.cancelled() or fs.exception() or not fs.result():
            self._linger(conn)
        else:
            conn.await_request()
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """
        Give up what takes too long; when stopping, all that has not wholly come, as nothing of it was begun.
        """
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.deadline <= now or not self.alive]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            if conn.received and self.alive:
                self._refuse(conn, 408, "Request Timeout")
            else:
                self._drop(conn)

    def _watch(self, conn: Connection) -> None:
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _refuse(self, conn: Connection, status: int, reason: str) -> None:
        with suppress(OSError):
            util.write_error(conn.sock, status, reason, "")
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """
        Say no more, and let what the other side still sends go by: if it came to a closed door, the system would take
        our last words back.
        """
        conn.await_request()
        conn.is_lingering, conn.deadline = True, time.monotonic() + LINGER_SECONDS
        conn.received.clear()
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self.enqueue_req(conn)

    def _drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()
