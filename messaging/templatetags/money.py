"""
The template filter `money`: `{{ order.total|money:order.currency }}` is "12.50 GBP".
"""

from django import template

from messaging.kernel.money import money

register = template.Library()
register.filter("money", money)
