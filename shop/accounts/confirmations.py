"""
What is confirmed by links in mails, once.
"""

from datetime import datetime

from shop.accounts.models import Confirmation
from shop.http import one_time_links


class InvalidLink(Exception):
    """
    The link was used, has expired, is older than the password, or was never sent.
    """


def find(token: str, purpose: Confirmation.Purpose, *, now: datetime) -> Confirmation:
    """
    Return what a link confirms, with its user.

    :raises InvalidLink: if it was used, has expired, or was never sent.
    """
    try:
        id_ = one_time_links.read(token)
        return Confirmation.objects.select_related("user").get(pk=id_, purpose=purpose, expires_at__gt=now)
    except (one_time_links.InvalidToken, Confirmation.DoesNotExist):
        raise InvalidLink from None


def use_up(confirmation: Confirmation) -> None:
    """
    Delete a confirmation, in the transaction of what it confirms.

    :raises InvalidLink: if another request was faster.
    """
    deleted, _ = Confirmation.objects.filter(pk=confirmation.pk).delete()
    if not deleted:
        raise InvalidLink
