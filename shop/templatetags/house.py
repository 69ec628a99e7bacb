"""
What the pages of this house say of themselves.
"""

from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def shop_name() -> str:
    return settings.SHOP_NAME
