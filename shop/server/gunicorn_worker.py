"""
A gunicorn worker that buffers each request before it occupies a thread.

A thread of gunicorn's `gthread` waits without a limit for the rest of a request: as many clients as there are threads,
each sending a byte now and then, stop the server (slowloris). Here the event loop reads all connections without
blocking, and closes those whose request takes too long.
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
MAX_HEAD_BYTES = 65_536
LINGER_SECONDS = 2
THREAD_IO_SECONDS = 5

END_OF_HEAD = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
LENGTH_DIGITS = 15
TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
EXPECT_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Connection(TConn):
    """
    A connection, and the bytes received of a request that no thread handles yet.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for timeout in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            # Limits a thread; the event loop does not block.
            self.sock.setsockopt(socket.SOL_SOCKET, timeout, struct.pack("ll", THREAD_IO_SECONDS, 0))
        self.data_ready = True
        self.is_lingering = False
        self.received = bytearray()
        self.await_request()

    def await_request(self) -> None:
        self.deadline: float | None = None
        self.is_eof = False
        self.length: int | None = None
        """Bytes of the request, known once its head is complete; of the head alone if the body will be rejected."""
        self.has_rejected_body = False

    def init(self) -> None:
        super().init()
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()

    def receive(self) -> None:
        """
        Add what the socket has received, without blocking.
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
        self.is_eof = not data
        self._add(data)

    @property
    def is_complete(self) -> bool:
        return self.length is not None and len(self.received) >= self.length

    @property
    def is_head_too_large(self) -> bool:
        return self.length is None and len(self.received) > MAX_HEAD_BYTES

    def _add(self, data: bytes) -> None:
        if self.is_lingering:
            return
        searched = max(0, len(self.received) - len(END_OF_HEAD))
        # Some clients send an empty line after a request (RFC 9112, section 2.2).
        self.received += data if self.received else data.lstrip(b"\r\n")
        if self.length is None and (end := self.received.find(END_OF_HEAD, searched)) >= 0:
            self._read_head(bytes(self.received[: end + len(END_OF_HEAD)]))

    def _read_head(self, head: bytes) -> None:
        """
        Determine the length of the request. A malformed head is left to gunicorn's parser, which rejects it.
        """
        lengths = CONTENT_LENGTH.findall(head)
        digits = lengths[0].lstrip(b"0")[: LENGTH_DIGITS + 1] if len(lengths) == 1 else b""
        body = int(digits or b"0")
        self.has_rejected_body = bool(TRANSFER_ENCODING.search(head)) or body > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self.length = len(head) if self.has_rejected_body else len(head) + body
        if not self.is_complete and EXPECT_CONTINUE.search(head) and b" HTTP/1.1\r\n" in head:
            with suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")


class BufferingThreadWorker(ThreadWorker):
    """
    Gives a request to a thread only when it is complete.
    """

    request_seconds = 10

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """
        Reject settings that the worker cannot serve.

        :raises ConfigError: if TLS, the PROXY protocol or HTTP/2 is on.
        """
        super().check_config(cfg, log)
        if cfg.is_ssl or cfg.proxy_protocol != "off":
            raise ConfigError("This worker reads plain HTTP/1.1: let TLS and the PROXY protocol end before the shop.")
        if cfg.http2_cleartext != "off":
            raise ConfigError("This worker reads plain HTTP/1.1: start it without --http2-cleartext.")

    def accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, address = listener.accept()
            self.nr_conns += 1
            self.enqueue_req(Connection(self.cfg, client, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """
        Give a complete request to a thread, or go on buffering it.
        """
        conn.receive()
        conn.deadline = conn.deadline or time.monotonic() + self.request_seconds
        if conn.is_complete:
            super().enqueue_req(conn)
        elif conn.is_head_too_large:
            self._reject(conn, 431, "Request Header Fields Too Large")
        elif conn.is_eof:
            self._drop(conn)
        else:
            self._watch(conn)

    def handle_request(self, req: Any, conn: Connection) -> bool:
        req._expected_100_continue = False  # noqa: SLF001  (the loop has sent it)
        if conn.has_rejected_body:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        if fs.cancelled() or fs.exception() or not fs.result():
            self._linger(conn)
        else:
            conn.await_request()
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """
        Close connections that are past their deadline; on shutdown all whose request is incomplete, as none is handled.
        """
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.deadline <= now or not self.alive]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            if conn.received and self.alive:
                self._reject(conn, 408, "Request Timeout")
            else:
                self._drop(conn)

    def _watch(self, conn: Connection) -> None:
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _reject(self, conn: Connection, status: int, reason: str) -> None:
        with suppress(OSError):
            util.write_error(conn.sock, status, reason, "")
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """
        Half-close the socket and drain input: closing with unread data sends RST, which can discard the response.
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
