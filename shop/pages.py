"""
The API's pages for people.
"""

from typing import Any

from django.conf import settings
from rest_framework.renderers import BrowsableAPIRenderer


class ShopPages(BrowsableAPIRenderer):
    """
    Show the API to a browser under the shop's own name.
    """

    template = "shop/api.html"

    def get_context(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        return super().get_context(*arguments, **options) | {"shop_name": settings.SHOP_NAME}
