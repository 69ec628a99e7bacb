"""
Template filters: `{{ order.total|money:order.currency }}` is "£12.50" or "12,50 £", as the current language writes it;
with `plain_money`, for operators, it is "12.50 GBP" in every language. `{{ line.unit_price|times:line.quantity }}` is
the amount of a line, in minor units.
"""

from django import template
from django.conf import settings
from django.utils.translation import get_language

from messaging.kernel.money import format_money
from messaging.kernel.money import money as plain_money

register = template.Library()
register.filter("plain_money", plain_money)


@register.filter
def money(minor: int, currency: str) -> str:
    return format_money(minor, currency, get_language() or settings.LANGUAGE_CODE)


@register.filter
def times(price: int, quantity: int) -> int:
    return price * quantity
