"""
Money as the published language writes it, integer minor units with an ISO 4217 code, for people to read.
"""

from decimal import Decimal

from babel.numbers import get_currency_precision


def minor_units(amount: Decimal, currency: str) -> int:
    """
    Read an amount that people wrote: 12.50 of GBP as 1250.

    :raises ValueError: if it has more decimals than the currency.
    """
    scaled = amount.scaleb(get_currency_precision(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} {currency} has more decimals than {currency}.")
    return int(scaled)


def major_units(minor: int, currency: str) -> Decimal:
    """
    Write an amount as a number of people's units: 1250 minor units of GBP as 12.50.
    """
    return Decimal(minor).scaleb(-get_currency_precision(currency))


def money(minor: int, currency: str) -> str:
    """
    Write an amount for people: 1250 minor units of GBP as "12.50 GBP".
    """
    return f"{major_units(minor, currency):,.{get_currency_precision(currency)}f} {currency}"
