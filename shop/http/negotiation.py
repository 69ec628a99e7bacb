"""
Content negotiation.
"""

from collections.abc import Iterable

from django.utils.translation import gettext
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer


class Negotiation(DefaultContentNegotiation):
    """
    Choose the format by `Accept` or by the query parameter `format`; an unknown one is the same 406 by either.
    """

    def filter_renderers(self, renderers: Iterable[BaseRenderer], wanted: str) -> list[BaseRenderer]:
        if matching := [renderer for renderer in renderers if renderer.format == wanted]:
            return matching
        formats = ", ".join(sorted({renderer.format for renderer in renderers}))
        detail = gettext("Unknown `format`. Known formats: %(formats)s.") % {"formats": formats}
        raise NotAcceptable(detail, available_renderers=list(renderers))
