"""
Money as the published language writes it, integer minor units with an ISO 4217 code, for people to read.
"""

from decimal import Decimal

from babel.numbers import get_currency_precision


def money(minor_units: int, currency: str) -> str:
    """
    Write an amount for people: 1250 minor units of GBP as "12.50 GBP".
    """
    precision = get_currency_precision(currency)
    return f"{Decimal(minor_units).scaleb(-precision):,.{precision}f} {currency}"
