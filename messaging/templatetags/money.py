"""
Template filters: `{{ order.total|money:order.currency }}` is "12.50 GBP", and
`{{ line.unit_price|times:line.quantity }}` the amount of a line, in minor units.
"""

from django import template

from messaging.kernel.money import money

register = template.Library()
register.filter("money", money)


@register.filter
def times(price: int, quantity: int) -> int:
    return price * quantity
