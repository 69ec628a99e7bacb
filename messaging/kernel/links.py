"""
Links from one context's pages to another's. A page names what it links to; the composition root registers where that is
(`shop.links`), so no context knows the URLs or tables of another.
"""

from collections.abc import Callable, Mapping

from django.utils.html import format_html

_pages: dict[str, Callable[..., str]] = {}


def register(pages: Mapping[str, Callable[..., str]]) -> None:
    """
    Make these pages known; each function returns the URL of one.
    """
    _pages.update(pages)


def url_of(page: str, *about: object) -> str:
    """
    Return the URL of a page; empty if no installed context has it.

    :param about: what the page shows, such as the id of an order.
    """
    make_url = _pages.get(page)
    return make_url(*about) if make_url else ""


def link_to(page: str, about: object, text: str = "") -> str:
    """
    Return an HTML link to a page, or its text alone if no installed context has the page.

    :param text: of the link; empty for what the page is about.
    """
    url, text = url_of(page, about), text or str(about)
    return format_html('<a href="{}">{}</a>', url, text) if url else text
