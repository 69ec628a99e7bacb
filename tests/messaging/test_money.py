import re
from decimal import Decimal

import pytest
from babel.core import get_global
from babel.numbers import get_currency_precision, parse_decimal
from hypothesis import given
from hypothesis import strategies as st

from messaging.kernel.money import (
    MINOR_UNIT_DIGITS,
    UnknownCurrency,
    format_money,
    major_units,
    minor_unit_digits,
    minor_units,
    money,
)

DIFFERENT_IN_CLDR = dict.fromkeys(
    ["AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"], 2
) | {"IQD": 3}
WITHDRAWN_SINCE = {"BGN"}
"""Bulgaria has had the euro since 2026, which this CLDR does not know yet."""


class TestMinorUnitDigits:
    """CLDR is an independent source: each difference from it is listed."""

    def test_are_those_of_cldr_except_for_thirteen_currencies(self):
        different = {
            code: digits for code, digits in MINOR_UNIT_DIGITS.items() if digits != get_currency_precision(code)
        }

        assert different == DIFFERENT_IN_CLDR

    def test_know_every_currency_that_is_tender_somewhere(self):
        tender = {
            code
            for currencies in get_global("territory_currencies").values()
            for code, _, withdrawn, is_tender in currencies
            if is_tender and not withdrawn
        }

        assert tender - MINOR_UNIT_DIGITS.keys() - WITHDRAWN_SINCE == set()

    def test_number_those_of_list_one(self):
        digits = list(MINOR_UNIT_DIGITS.values())

        assert {count: digits.count(count) for count in digits} == {0: 17, 2: 139, 3: 7, 4: 2}

    @pytest.mark.parametrize("code", ["XAU", "XAG", "XDR", "XTS", "XXX", "DEM", "BGN", "gbp", ""])
    def test_reject_what_is_no_current_currency_with_minor_units(self, code):
        with pytest.raises(UnknownCurrency, match=f"'{code}' is no currency with minor units in ISO 4217"):
            minor_unit_digits(code)


class TestMinorUnits:
    @given(st.integers(-(2**53), 2**53), st.sampled_from(sorted(MINOR_UNIT_DIGITS)))
    def test_read_back_what_major_units_wrote(self, minor, currency):
        assert minor_units(major_units(minor, currency), currency) == minor

    @pytest.mark.parametrize(("amount", "currency"), [("12.505", "GBP"), ("0.1", "JPY"), ("1.0001", "KWD")])
    def test_reject_more_decimals_than_the_currency_has(self, amount, currency):
        with pytest.raises(ValueError, match=f"{amount} {currency} has more decimals than {currency}"):
            minor_units(Decimal(amount), currency)


class TestMoney:
    @pytest.mark.parametrize(
        ("minor", "currency", "text"),
        [
            (123_450, "GBP", "1,234.50 GBP"),
            (-5, "EUR", "-0.05 EUR"),
            (1_250, "JPY", "1,250 JPY"),
            (1_250, "RSD", "12.50 RSD"),
            (1_250, "IQD", "1.250 IQD"),
            (12_500, "UYW", "1.2500 UYW"),
            (1_250, "XAU", "1,250 minor units of XAU"),
        ],
    )
    def test_is_written_with_the_decimals_of_its_currency(self, minor, currency, text):
        assert money(minor, currency) == text


class TestFormatMoney:
    @pytest.mark.parametrize(
        ("minor", "currency", "english", "german"),
        [
            (1_250, "GBP", "£12.50", "12,50 £"),
            (123_450, "EUR", "€1,234.50", "1.234,50 €"),
            (-5, "EUR", "-€0.05", "-0,05 €"),
            (1_250, "JPY", "¥1,250", "1.250 ¥"),
            (1_250, "CHF", "CHF 12.50", "12,50 CHF"),
            (1_250, "XCG", "Cg. 12.50", "12,50 Cg."),
            (1_250, "RSD", "RSD 12.50", "12,50 RSD"),
            (1_250, "IQD", "IQD 1.250", "1,250 IQD"),
            (12_500, "UYW", "UYW 1.2500", "1,2500 UYW"),
            (1_250, "XAU", "1,250 minor units of XAU", "1,250 minor units of XAU"),
        ],
    )
    def test_is_written_as_the_language_does_with_the_decimals_of_iso_4217(self, minor, currency, english, german):
        written = [format_money(minor, currency, language).replace("\xa0", " ") for language in ("en", "de")]

        assert written == [english, german]

    def test_never_breaks_a_line_within_an_amount(self):
        assert " " not in format_money(1_250, "GBP", "de") + format_money(1_250, "CHF", "en")

    @given(st.integers(-(2**53), 2**53), st.sampled_from(sorted(MINOR_UNIT_DIGITS)), st.sampled_from(["en", "de"]))
    def test_shows_every_minor_unit(self, minor, currency, language):
        written = format_money(minor, currency, language)
        (number,) = re.findall(r"\d[\d,.]*\d|\d", written)

        assert minor_units(parse_decimal(number, locale=language), currency) == abs(minor)
        assert written.startswith("-") == (minor < 0)
