"""
Sign-up with an e-mail address, which is the username of the account, where `SIGN_UP` allows it.

Neither a response nor its time tells whether an address has an account. Only the mail to the address does, and only its
link leads to the choice of a password.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.utils.translation import get_language

from messaging.contracts import SignUpRepeated, SignUpRequested
from messaging.outbox import publish
from shop.accounts import confirmations
from shop.accounts.confirmations import InvalidLink
from shop.accounts.models import Account, Confirmation
from shop.http.views import language_of

SIGN_UP = Confirmation.Purpose.SIGN_UP
MOST_CHARACTERS = 150
"""Of an address, as of a username."""


@transaction.atomic
def request(email: str, *, now: datetime) -> None:
    """
    Have a link mailed by which the owner of this address signs up; or, if there is an account, a reminder of it.
    """
    expires_at = now + timedelta(hours=settings.ACCOUNTS.sign_up_hours)
    user = _accounts_of(email).select_related("account").order_by("-is_active", "-pk").first()
    confirmation = Confirmation.objects.create(
        purpose=SIGN_UP, user=user, email="" if user else email, expires_at=expires_at
    )
    if user is None:
        publish(_requested(confirmation))
    elif user.is_active and user.email:
        publish(_repeated(user))


def find(token: str, *, now: datetime) -> Confirmation:
    """
    Return the sign-up that a link is for.

    :raises InvalidLink: if it cannot be used.
    """
    return confirmations.find(token, SIGN_UP, now=now)


def confirm(confirmation: Confirmation, password: str) -> User:
    """
    Create the account and return it.

    :raises ValidationError: of Django, if the password is too weak.
    :raises InvalidLink: if the link was used, or the address got an account, meanwhile.
    """
    email = confirmation.email
    user = get_user_model()(username=email.lower(), email=email)
    validate_password(password, user)
    user.password = make_password(password)  # unlike `set_password`, it tells the customer of no change
    try:
        with transaction.atomic():
            confirmations.use_up(confirmation)
            if _accounts_of(email).exists():
                raise InvalidLink
            user.save(force_insert=True)
            Account.objects.create(user=user, sign_up=confirmation.pk)
    except IntegrityError:
        raise InvalidLink from None
    return user


def _accounts_of(email: str) -> QuerySet[User]:
    """
    Return the accounts with this address, or with this username.
    """
    folded = get_user_model().objects.alias(folded=Lower("email"))
    return folded.filter(Q(folded=email.lower()) | Q(username=email.lower()))


def _requested(confirmation: Confirmation) -> SignUpRequested:
    return SignUpRequested(
        request_id=str(confirmation.pk),
        email=confirmation.email,
        expires_at=confirmation.expires_at.isoformat(),
        language=get_language() or "",
    )


def _repeated(user: User) -> SignUpRepeated:
    return SignUpRepeated(
        email=user.email, username=user.get_username(), customer_id=str(user.pk), language=language_of(user)
    )
