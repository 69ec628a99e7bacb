"""
Money as the published language has it: integer minor units with an ISO 4217 code.

The digits of minor units are those of list one of ISO 4217, as SIX, its maintenance agency, published it on 2026-01-01.
CLDR, and so babel, differs for 13 currencies: its digits say how prices are displayed, not what a minor unit is.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, partial
from unicodedata import category

from babel import Locale
from babel.numbers import get_currency_symbol, parse_pattern

_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY
        COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
        INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
        MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP
        STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_UNIT_DIGITS: Mapping[str, int] = {code: digits for digits, codes in _CODES.items() for code in codes.split()}
"""By currency. Codes without minor units, such as XAU, and withdrawn currencies are left out."""


class UnknownCurrency(ValueError):
    """
    ISO 4217 lists no current currency with minor units by this code.
    """


def minor_unit_digits(currency: str) -> int:
    """
    Return how many decimals the minor unit of a currency is: 2 for GBP.

    :raises UnknownCurrency: if it has none.
    """
    try:
        return MINOR_UNIT_DIGITS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is no currency with minor units in ISO 4217.") from None


def minor_units(amount: Decimal, currency: str) -> int:
    """
    Return an amount in minor units: 1250 for 12.50 GBP.

    :raises ValueError: if it has more decimals than the currency, or the currency is unknown.
    """
    scaled = amount.scaleb(minor_unit_digits(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} {currency} has more decimals than {currency}.")
    return int(scaled)


def major_units(minor: int, currency: str) -> Decimal:
    """
    Return an amount in major units: 12.50 for 1250 minor units of GBP.

    :raises UnknownCurrency: if the currency has no minor units.
    """
    return Decimal(minor).scaleb(-minor_unit_digits(currency))


def money(minor: int, currency: str) -> str:
    """
    Return an amount as text: "12.50 GBP" for 1250 minor units of GBP, "1,250 minor units of XAU" if it is unknown.
    """
    if currency not in MINOR_UNIT_DIGITS:
        return f"{minor:,} minor units of {currency}"
    return f"{major_units(minor, currency):,.{minor_unit_digits(currency)}f} {currency}"


def format_money(minor: int, currency: str, language: str) -> str:
    """
    Return an amount as people write it: "£12.50" in "en", "12,50 £" in "de" for 1250 minor units of GBP. An unknown
    currency is written as `money` does.

    :param language: such as "de".
    :raises babel.UnknownLocaleError: if CLDR does not know the language.
    """
    if currency not in MINOR_UNIT_DIGITS:
        return money(minor, currency)
    return _formatter(currency, language)(major_units(minor, currency))


@cache
def _formatter(currency: str, language: str) -> Callable[[Decimal], str]:
    """
    Return a function that writes amounts by CLDR's pattern, but with the digits of ISO 4217, and with the space between
    letters and a number that CLDR asks for and babel leaves out: "CHF 12.50".
    """
    locale = Locale.parse(language)
    digits, symbol = minor_unit_digits(currency), get_currency_symbol(currency, locale)
    pattern = locale.currency_formats["standard"].pattern.replace("0.00", f"0.{'0' * digits}" if digits else "0")
    if not category(symbol[-1]).startswith("S"):
        pattern = pattern.replace("¤#", "¤\xa0#")
    apply = partial(parse_pattern(pattern).apply, locale=locale, currency_digits=False)
    # If babel placed the symbol, it would look up the name of the currency too, which takes longer than all the rest.
    return lambda amount: str(apply(amount)).replace("¤", symbol)
