"""
The demo: its published logins, and the scenes of its tour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.translation import gettext_lazy as _


class Login(NamedTuple):
    name: str
    password: str


CUSTOMER = Login("ada", "ada-counts-chairs")
OPERATOR = Login("olga", "olga-runs-the-shop")
"""The logins of the demo, which are published."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """
    An order that a visitor places, and what goes wrong meanwhile.
    """

    title: Any
    story: Any
    """What happens, and what to look for."""
    token: str = "tok_visa"  # noqa: S105
    """The payment method, by which the payment simulator chooses its fault."""
    kills_workers: bool = False

    @property
    def teaser(self) -> str:
        """
        Return the first sentence of the story.
        """
        return f"{str(self.story).partition('. ')[0].removesuffix('.')}."


SCENES: Mapping[str, Scene] = {
    "order": Scene(
        title=_("Place an order"),
        story=_("Nothing goes wrong: stock is reserved, the payment is taken, and the customer gets a mail."),
    ),
    "worker": Scene(
        title=_("Kill the workers now"),
        story=_(
            "All workers are killed while they handle the order, as by a crash of the machine. Others start, take over"
            " what was claimed, and confirm the order once: one charge, one mail."
        ),
        kills_workers=True,
    ),
    "answer": Scene(
        title=_("Lose the gateway's answer"),
        story=_(
            "The payment provider takes the money, and its answer is lost. The payment counts as unknown until the"
            " provider says what became of it; the customer is not charged again."
        ),
        token="tok_answer_lost_charged",  # noqa: S106
    ),
    "twice": Scene(
        title=_("Call back twenty times"),
        story=_(
            "The payment provider sends the same webhook twenty times at once. All are acknowledged, one has an effect."
        ),
        token="tok_callback_twenty",  # noqa: S106
    ),
    "forged": Scene(
        title=_("Forge a webhook"),
        story=_(
            "The only webhook about the payment has an invalid signature. It is rejected, and the order waits until an"
            " operator asks the payment provider; when the payment is due, the shop asks by itself."
        ),
        token="tok_bad_signature",  # noqa: S106
    ),
    "late": Scene(
        title=_("Pay late"),
        story=_(
            "The customer pays although the order is cancelled. Cancel it now: the payment comes fifteen seconds after"
            " the order, and is refunded."
        ),
        token="tok_late",  # noqa: S106
    ),
}


def is_offered() -> bool:
    """
    Return whether this is the demo of a whole shop, whose database tells all of an order.
    """
    return settings.SHOP.demo and settings.SERVICE.is_whole_shop
