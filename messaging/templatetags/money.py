from django import template

from messaging.kernel.money import money

register = template.Library()
register.filter("money", money)
