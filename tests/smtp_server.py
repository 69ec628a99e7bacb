"""
An SMTP server on loopback that fails as a test says. Its log is the truth about which mails were accepted.

`SmtpServer` runs in a thread of the test. `MailServer` in `tests/programs.py` runs this module in a process of its own,
beside workers that are processes, too.
"""

import argparse
import asyncio
import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from email.parser import BytesHeaderParser
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.smtp_faults import DRIP, DROP, STALL, Fault, Stage
from tests.smtp_log import AcceptedMail, MailLog

LOCALHOST = "127.0.0.1"


def _failing(stage: Stage, command: str) -> Callable[[SMTP, str], Any]:
    """Return the command of `SMTP`, which first meets the faults of its stage."""
    succeed = getattr(SMTP, f"smtp_{command}")

    async def run(connection: "_Connection", argument: str | None) -> None:
        recipient = (argument or "").partition("<")[2].partition(">")[0] if stage == Stage.RCPT else ""
        if reply := await connection.reply_of_fault(stage, recipient):
            await connection.push(reply)
        else:
            await succeed(connection, argument)

    return run


class _Connection(SMTP):
    numbers = count(1)

    smtp_EHLO = _failing(Stage.EHLO, "EHLO")  # noqa: N815
    smtp_HELO = _failing(Stage.EHLO, "HELO")  # noqa: N815
    smtp_AUTH = _failing(Stage.AUTH, "AUTH")  # noqa: N815
    smtp_MAIL = _failing(Stage.MAIL, "MAIL")  # noqa: N815
    smtp_RCPT = _failing(Stage.RCPT, "RCPT")  # noqa: N815
    smtp_DATA = _failing(Stage.DATA, "DATA")  # noqa: N815
    smtp_RSET = _failing(Stage.RSET, "RSET")  # noqa: N815

    def __init__(self, server: "SmtpServer") -> None:
        super().__init__(
            self,
            hostname="mail.example",
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=lambda *_: AuthResult(success=True),
            tls_context=server.tls_context,
            loop=asyncio.get_running_loop(),
        )
        self._server, self._number = server, next(server.numbers)
        self._pause, self._other_reply = 0.0, b""
        server.log.write("opened", connection=self._number, at=time.time())

    async def _handle_client(self) -> None:
        if reply := await self.reply_of_fault(Stage.BANNER):
            await self.push(reply)
            self._writer.close()
        else:
            await super()._handle_client()

    async def smtp_QUIT(self, argument: str) -> None:  # noqa: N802
        self._server.log.write("quit", connection=self._number, at=time.time())
        await super().smtp_QUIT(argument)

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        if reply := await self.reply_of_fault(Stage.END_OF_DATA):
            return reply
        fault = self._next_fault(Stage.ACCEPTED)
        self._accept(envelope, is_replied=not fault or fault.action not in {DROP, STALL})
        return await self._act(fault) or "250 OK"

    async def push(self, status: str | bytes) -> None:
        reply = status.encode() if isinstance(status, str) else status
        if self._other_reply and reply[3:4] != b"-":
            reply, self._other_reply = self._other_reply, b""
        for piece in [bytes([byte]) for byte in reply + b"\r\n"] if self._pause else [reply + b"\r\n"]:
            await asyncio.sleep(self._pause)
            self._writer.write(piece)
            await self._writer.drain()
        if reply.startswith(b"421"):
            self._writer.close()

    async def reply_of_fault(self, stage: Stage, recipient: str = "") -> str | None:
        """Let the fault of this stage happen, if there is one. Return the reply that it sends."""
        return await self._act(self._next_fault(stage, recipient))

    async def _act(self, fault: Fault | None) -> str | None:
        if not fault:
            return None
        if fault.action == DRIP:
            self._pause = fault.pause
            return None
        if fault.action == DROP:
            self._writer.close()
        if fault.action in {DROP, STALL}:
            await asyncio.Event().wait()  # until the connection is lost, which cancels this task
        if fault.action.startswith("2"):
            self._other_reply = fault.action.encode()
            return None
        return fault.action

    def _next_fault(self, stage: Stage, recipient: str = "") -> Fault | None:
        recipients = [*self.envelope.rcpt_tos, *([recipient] if recipient else [])]
        fault = self._server.next_fault(stage, recipients)
        if fault:
            self._server.log.write("fault", connection=self._number, stage=stage, action=fault.action)
        return fault

    def _accept(self, envelope: Envelope, *, is_replied: bool) -> None:
        content = envelope.original_content
        mail = AcceptedMail(
            message_id=str(BytesHeaderParser().parsebytes(content)["Message-ID"]),
            recipients=tuple(envelope.rcpt_tos),
            at=time.time(),
            connection=self._number,
            is_replied=is_replied,
            digest=sha256(content).hexdigest(),
        )
        self._server.log.write("accepted", **asdict(mail))


class SmtpServer:
    """
    A server in a thread, always at the same port. Between `stop` and `start` it refuses connections.

    :param log: the file of its log.
    :param port: 0 for any.
    :param tls_context: offers STARTTLS with this context.
    :param ssl_context: serves TLS from the first byte, with this context.
    """

    def __init__(
        self,
        log: Path,
        *,
        faults: Iterable[Fault] = (),
        port: int = 0,
        seed: int = 1,
        tls_context: ssl.SSLContext | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.log = MailLog(log)
        self.faults = list(faults)
        self.port = port
        self.tls_context, self.ssl_context = tls_context, ssl_context
        self.numbers = count(self.log.connections() + 1)
        self._rng = random.Random(seed)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def fail(self, stage: Stage, action: str, **changes: Any) -> None:
        """Meet this fault from now on, as often as its `times` say."""
        self.faults.append(Fault(stage, action, **changes))

    def next_fault(self, stage: Stage, recipients: list[str]) -> Fault | None:
        return next((fault for fault in self.faults if fault.strikes(stage, recipients, self._rng)), None)

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._listener = self._loop.run_until_complete(self.listen())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: _Connection(self), LOCALHOST, self.port, backlog=1_000, ssl=self.ssl_context
        )
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def _close(self) -> None:
        self._listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(server: SmtpServer) -> None:
    await (await server.listen()).serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=json.loads, default="[]", help="a list of the fields of `Fault`, as JSON")
    options = parser.parse_args()
    faults = [Fault(**fields) for fields in options.faults]
    asyncio.run(_serve(SmtpServer(options.log, faults=faults, port=options.port, seed=options.seed)))


if __name__ == "__main__":
    main()
