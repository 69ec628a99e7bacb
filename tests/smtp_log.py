"""The log of `tests/smtp_server.py`: the truth about which mails were accepted."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.smtp_faults import DRIP, DROP, STALL


@dataclass(frozen=True)
class AcceptedMail:
    message_id: str
    recipients: tuple[str, ...]
    at: float
    """As `time.time`."""
    connection: int
    """The number of the connection, counted from 1."""
    is_replied: bool
    """False if a fault kept the reply from the client, to which the outcome is unknown."""
    digest: str
    """The hash of the mail's bytes."""


@dataclass(frozen=True)
class MailLog:
    """The log of a server: a file, so that other processes can read it while the server runs, and after its end."""

    path: Path

    def accepted(self) -> list[AcceptedMail]:
        """Return every accepted mail, in the order of acceptance."""
        return [AcceptedMail(**row | {"recipients": tuple(row["recipients"])}) for row in self._rows("accepted")]

    def accepted_ids(self) -> Counter[str]:
        """Return how often each mail was accepted, by its Message-ID."""
        return Counter(mail.message_id for mail in self.accepted())

    def faults(self) -> Counter[tuple[str, str]]:
        """Return how often each fault happened, by stage and action."""
        return Counter((row["stage"], row["action"]) for row in self._rows("fault"))

    def connections(self) -> int:
        """Return how many connections were opened."""
        return len(self._rows("opened"))

    def connections_at(self, moment: float) -> set[int]:
        """Return the numbers of the connections that were opened and not ended with QUIT at this moment."""
        opened = {row["connection"] for row in self._rows("opened") if row["at"] <= moment}
        return opened - {row["connection"] for row in self._rows("quit") if row["at"] <= moment}

    def connections_ended_by_faults(self) -> set[int]:
        """Return the numbers of the connections that the server dropped, stalled, dripped or closed with 421."""
        ended = {row["connection"] for row in self._rows("fault") if row["action"] in {DROP, STALL, DRIP}}
        return ended | {row["connection"] for row in self._rows("fault") if row["action"].startswith("421")}

    def write(self, event: str, **row: object) -> None:
        """Append a row, which outlives this process from now on."""
        with self.path.open("a") as lines:
            lines.write(json.dumps({"event": event} | row) + "\n")

    def _rows(self, event: str) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError):
            rows = map(json.loads, self.path.read_text().splitlines())
            return [{name: row[name] for name in row if name != "event"} for row in rows if row["event"] == event]
        return []
