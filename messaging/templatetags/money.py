from django import template

from messaging.money import money

register = template.Library()
register.filter("money", money)
