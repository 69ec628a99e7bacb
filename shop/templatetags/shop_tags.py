"""
Tags and filters that the pages of every context use.
"""

import re
from datetime import datetime

from django import template
from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from messaging.kernel.moments import format_moment
from payments.gateway.checkout import Checkout
from payments.gateway.protocol import current
from shop.http import links

ORDER_NUMBER = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}\b", re.ASCII)

register = template.Library()
register.simple_tag(links.url_of)


@register.simple_tag
def shop_name() -> str:
    return settings.SHOP.name


@register.filter
def moment(at: str | datetime, precision: str = "minutes") -> str:
    """
    Return a time, which may be in ISO 8601, as people write it, in the shop's time zone.

    :param precision: "minutes" or "seconds".
    """
    return format_moment(
        datetime.fromisoformat(at) if isinstance(at, str) else at,
        get_language() or settings.LANGUAGE_CODE,
        time_zone=settings.SHOP.time_zone,
        with_seconds=precision == "seconds",
    )


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


@register.filter
def order_numbers(text: str) -> SafeString:
    """
    Return the text as HTML, with order numbers that no line breaks at their hyphen.
    """
    return mark_safe(ORDER_NUMBER.sub(r'<span class="whole">\g<0></span>', escape(text)))  # noqa: S308
