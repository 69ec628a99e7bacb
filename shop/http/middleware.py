"""
Addresses without their last slash.
"""

from django.http import HttpRequest
from django.middleware.common import CommonMiddleware


class SlashForReaders(CommonMiddleware):
    """
    Lead readers to the address with the slash that they left out. Whoever came to change something would arrive there
    as a reader, and is told that there is nothing instead.
    """

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return request.method in {"GET", "HEAD"} and super().should_redirect_with_slash(request)
