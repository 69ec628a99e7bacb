"""
Tags and filters that the pages of every context use.
"""

import re

from django import template
from django.conf import settings
from django.utils.dateparse import parse_datetime
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from payments.gateway.checkout import Checkout
from payments.gateway.protocol import current
from shop.http import links

register = template.Library()
register.filter("moment", parse_datetime)
register.simple_tag(links.url_of)


@register.simple_tag
def shop_name() -> str:
    return settings.SHOP.name


@register.simple_tag
def checkout() -> Checkout:
    """
    Return what the gateway in use offers at checkout.
    """
    return current().checkout


@register.filter
def prose(text: str) -> SafeString:
    """
    Return the text as HTML, with what stands between backticks as code.
    """
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))  # noqa: S308  (the text is escaped)
