"""
In which format to answer.
"""

from collections.abc import Sequence

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer


class Negotiation(DefaultContentNegotiation):
    """
    Choose by `Accept` or by the query's `format`, and refuse what nobody writes alike, whichever asked for it.
    """

    def filter_renderers(self, renderers: Sequence[BaseRenderer], wanted: str) -> list[BaseRenderer]:
        if found := [renderer for renderer in renderers if renderer.format == wanted]:
            return found
        known = ", ".join(sorted({renderer.format for renderer in renderers}))
        raise NotAcceptable(f"Nobody writes this `format` here. There are {known}.", available_renderers=renderers)
