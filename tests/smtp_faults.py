"""The faults of `tests/smtp_server.py`."""

import random
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

ALWAYS = 10**9

DROP = "drop"
"""Close the connection instead of replying."""
STALL = "stall"
"""Keep the connection open and never reply."""
DRIP = "drip"
"""Send this reply and all later ones of the connection byte by byte, with a pause before each."""


class Stage(StrEnum):
    """The moment of a fault: the reply that it replaces."""

    BANNER = "BANNER"
    EHLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    """Before the client sends the mail."""
    END_OF_DATA = "END_OF_DATA"
    """After the client sent the mail. The mail is not accepted."""
    ACCEPTED = "ACCEPTED"
    """After the client sent the mail, and after the mail was accepted."""
    RSET = "RSET"
    """After a mail was rejected."""


@dataclass
class Fault:
    stage: Stage
    action: str
    """
    `DROP`, `STALL`, `DRIP`, or the reply, such as "451 4.7.1 Try again later". 421 closes the connection; after a reply
    of 2yz it goes on as after the usual one.
    """
    times: int = 1
    """How often the fault happens."""
    recipient: str = ""
    """The address whose mails meet the fault; all of them if empty. Known from RCPT on."""
    share: float = 1
    """The probability with which each occasion meets the fault."""
    greylists: bool = False
    """Whether a recipient meets the fault only at its first mail. Only at RCPT."""
    pause: float = 0.3
    """Seconds before each byte that is dripped."""
    _known: set[str] = field(default_factory=set, init=False)

    def as_json(self) -> dict[str, Any]:
        """Return the arguments that make the same fault."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.init}

    def strikes(self, stage: Stage, recipients: list[str], rng: random.Random) -> bool:
        """Return whether this occasion meets the fault, and count it."""
        is_meant = stage == self.stage and self.times > 0 and (not self.recipient or self.recipient in recipients)
        if not is_meant or (self.greylists and self._is_known(recipients[-1])) or rng.random() >= self.share:
            return False
        self.times -= 1
        return True

    def _is_known(self, recipient: str) -> bool:
        is_known = recipient in self._known
        self._known.add(recipient)
        return is_known
