"""
Links from one context's pages to another's: see `messaging.kernel.links`, whose pages link too.
"""

from messaging.kernel.links import link_to, register, url_of

__all__ = ["link_to", "register", "url_of"]
