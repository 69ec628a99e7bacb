"""
What a gateway offers to customers on the checkout page. The texts are English, marked for translation.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PaymentChoice:
    """
    A payment method that customers can choose at checkout.
    """

    payment_method: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """
    What the checkout page says about payment.
    """

    notice: str
    choices: Sequence[PaymentChoice] = ()
    """Without any, the customer enters the id of a payment method."""
