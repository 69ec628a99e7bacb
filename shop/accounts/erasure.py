"""
What identifies a user, and its erasure. The row of the user stays, because orders refer to it.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX, make_password
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q, QuerySet

from .models import Account, Confirmation, SigningKey, Token


def erased_name(user: User) -> str:
    """
    Return the username of a user whose data is erased.
    """
    return f"erased-{user.pk}"


def personal_data(user: User) -> Mapping[str, Collection[Any]]:
    """
    Return the rows that identify a user or act for one, by what they are.
    """
    return {
        "user": get_user_model().objects.filter(pk=user.pk).exclude(username=erased_name(user)),
        "account": Account.objects.filter(user=user),
        "tokens": Token.objects.filter(user=user),
        "signing keys": SigningKey.objects.filter(owner=user),
        "confirmations": _confirmations_of(user),
        "sessions": _sessions_of(user),
    }


def sign_ups_of(user: User) -> list[UUID]:
    """
    Return the ids of the requests to sign up with the address of a user: the one that led to the account, if any, and
    those that were not confirmed yet. Other contexts know them as the `request_id` of `SignUpRequested`.
    """
    led_here = [account.sign_up for account in Account.objects.filter(user=user) if account.sign_up]
    waiting = _confirmations_of(user).filter(purpose=Confirmation.Purpose.SIGN_UP).values_list("pk", flat=True)
    return sorted({*led_here, *waiting})


@transaction.atomic
def close(user: User) -> None:
    """
    Deactivate a user, and end sessions, tokens and signing keys, so that no order is placed any more.
    """
    open_ = Q(is_active=True) | ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    get_user_model().objects.filter(open_, pk=user.pk).update(is_active=False, password=make_password(None))
    Token.objects.filter(user=user).delete()
    SigningKey.objects.filter(owner=user).delete()
    _confirmations_of(user).delete()
    Session.objects.filter(pk__in=[session.pk for session in _sessions_of(user)]).delete()


@transaction.atomic
def erase(user: User) -> None:
    """
    Replace name and address of a user, also where the admin's log names the user.
    """
    Account.objects.filter(user=user).delete()
    named = Q(content_type__app_label="auth", object_id=str(user.pk))
    named |= Q(content_type__app_label="shop", object_repr__endswith=f" of {user.username}")
    LogEntry.objects.filter(named).update(object_repr=erased_name(user))
    get_user_model().objects.filter(pk=user.pk).update(
        username=erased_name(user), email="", first_name="", last_name="", last_login=None
    )


def _confirmations_of(user: User) -> QuerySet[Confirmation]:
    return Confirmation.objects.filter(Q(user=user) | (Q(email__iexact=user.email) & ~Q(email="")))


def _sessions_of(user: User) -> list[Session]:
    sessions = Session.objects.iterator(chunk_size=1_000)
    return [session for session in sessions if session.get_decoded().get(SESSION_KEY) == str(user.pk)]
