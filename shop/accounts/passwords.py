"""
Change of passwords, and their reset by a link in a mail. Whatever changes a password, also the admin or a command, ends
the account's sessions and tokens (`EndsAccess`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext

from messaging.contracts import PasswordChanged, PasswordResetRequested
from messaging.outbox import publish, publish_all
from shop.accounts import confirmations
from shop.accounts.confirmations import InvalidLink
from shop.accounts.models import Confirmation, Token
from shop.http.views import language_of

RESET = Confirmation.Purpose.PASSWORD_RESET
MOST_ACCOUNTS = 10
"""So many accounts with one address get a link: the newest."""


class ChangedMeanwhile(Exception):
    """
    Another request changed the password at the same time.
    """


class EndsAccess:
    """
    What Django calls after any change of a password, as all classes in AUTH_PASSWORD_VALIDATORS. Sessions end because
    each has a digest of the password.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """
        Accept every password: the other validators reject.
        """

    def password_changed(self, password: str, user: User) -> None:
        """
        Revoke the user's tokens, which someone with the former password can have issued, and have the user told.
        """
        with transaction.atomic():
            Token.objects.filter(user=user).delete()
            if user.email:
                publish(_changed(user))

    def get_help_text(self) -> str:
        return gettext("A new password ends all other sessions and revokes all API tokens. Signing keys stay.")


def change(user: User, password: str) -> None:
    """
    Change the password of a user, who was authenticated by the former one.

    :raises ValidationError: of Django, if it is too weak.
    :raises ChangedMeanwhile: if it was changed meanwhile.
    """
    former = user.password
    validate_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        if not _lock(user, password=former):
            raise ChangedMeanwhile
        user.save(update_fields=["password"])


@transaction.atomic
def request_reset(email: str, *, now: datetime) -> None:
    """
    Have a link mailed by which the owner of this address can set a new password, for each of the owner's accounts. For
    an unknown address a row is stored too, so that the time of the response does not tell whether there is an account.
    """
    common = {"purpose": RESET, "expires_at": now + timedelta(minutes=settings.ACCOUNTS.password_reset_minutes)}
    resets = [Confirmation(user=user, fingerprint=_fingerprint(user), **common) for user in _users_of(email)]
    Confirmation.objects.bulk_create(resets or [Confirmation(**common)])
    publish_all([_reset_requested(each, each.user) for each in resets if each.user])


def find_reset(token: str, *, now: datetime) -> Confirmation:
    """
    Return the reset that a link is for, with its user.

    :raises InvalidLink: if it cannot be used.
    """
    found = confirmations.find(token, RESET, now=now)
    user = found.user
    if user is None or not user.is_active or found.fingerprint != _fingerprint(user):
        raise InvalidLink
    return found


def reset(confirmation: Confirmation, password: str) -> None:
    """
    Set a new password by a link, which is used up then.

    :raises ValidationError: of Django, if it is too weak.
    :raises InvalidLink: if the link was used, or the password changed, meanwhile.
    """
    user = confirmation.user
    assert user is not None  # noqa: S101  (as found)
    former = user.password
    validate_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        confirmations.use_up(confirmation)
        if not _lock(user, password=former):
            raise InvalidLink
        user.save(update_fields=["password"])


def _users_of(email: str) -> Sequence[User]:
    """
    Return the active users with this address in any case who have a password, by one statement.
    """
    folded = get_user_model().objects.alias(folded=Lower("email")).filter(folded=email.lower(), is_active=True)
    users = folded.exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX).select_related("account")
    return list(users.order_by("-pk")[:MOST_ACCOUNTS])


def _fingerprint(user: User) -> str:
    """
    Return a digest of what makes a link invalid when it changes.
    """
    return sha256(f"{user.password}\n{user.email}".encode()).hexdigest()


def _lock(user: User, *, password: str) -> bool:
    """
    Lock a user until the transaction ends, and return whether the user has this hash of a password.
    """
    same = get_user_model().objects.filter(pk=user.pk, password=password)
    return bool(same.select_for_update(no_key=True).values_list("pk"))


def _reset_requested(confirmation: Confirmation, user: User) -> PasswordResetRequested:
    return PasswordResetRequested(
        request_id=str(confirmation.pk),
        customer_id=str(user.pk),
        email=user.email,
        username=user.get_username(),
        language=language_of(user),
        expires_at=confirmation.expires_at.isoformat(),
    )


def _changed(user: User) -> PasswordChanged:
    return PasswordChanged(
        customer_id=str(user.pk),
        email=user.email,
        username=user.get_username(),
        language=language_of(user),
        changed_at=timezone.now().isoformat(),
    )
