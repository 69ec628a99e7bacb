"""
What the pages of this house say of themselves.
"""

import re

from django import template
from django.conf import settings
from django.utils.dateparse import parse_datetime
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
register.filter("moment", parse_datetime)


@register.simple_tag
def shop_name() -> str:
    return settings.SHOP.name


@register.filter
def prose(text: str) -> SafeString:
    """
    Set in code's letters what a text has between backticks.
    """
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))  # noqa: S308  (what it has is escaped)
