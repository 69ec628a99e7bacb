"""
Authentication in a service whose accounts are in another one: the same tokens, signatures and sessions count, by
introspection (`shop.http.introspection`).

Users are instances of `User` that are not in this service's database, with the ids that they have where their accounts
are. The service's own accounts are those of its admin, and only count there.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from shop.http.authentication import ByToken, InvalidToken, ThrottledModelBackend
from shop.http.introspection import SESSION, TOKEN, Introspection, introspect, introspect_signed
from shop.http.signatures import REJECTIONS, SignedMessage


@dataclass(frozen=True)
class AccountElsewhere:
    """
    What other services know of an account.
    """

    language: str


class TokenIntrospection(ByToken):
    """
    Authenticate by a token and, if there is one, a signature, which the service with the accounts verifies.
    """

    def verify(self, token: str, message: SignedMessage | None) -> tuple[User, Introspection]:
        answer = introspect_signed(token, message) if message else introspect(token, TOKEN)
        if not answer.active:
            raise REJECTIONS.get(answer.code, InvalidToken)
        return _user(answer), answer


class SessionIntrospectionMiddleware(AuthenticationMiddleware):
    """
    Set the user of a request: by the session of the accounts' service, except in the admin, which has its own.
    """

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        if not request.path.startswith(reverse("admin:index")):
            request.user = SimpleLazyObject(lambda: _user_of_session(request))  # type: ignore[assignment]


class PermissionsByUsername(ThrottledModelBackend):
    """
    Authenticate the service's own accounts by password. Staff has the permissions of the own account of the same name,
    also if the account is elsewhere; without such an account, none.
    """

    def read_permissions(self, user: Any) -> set[str]:
        return self.get_user_permissions(user) | self.get_group_permissions(user)

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return super().get_user_permissions(_own_account(user_obj), obj)

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return super().get_group_permissions(_own_account(user_obj), obj)


def _user_of_session(request: HttpRequest) -> User | AnonymousUser:
    session = request.COOKIES.get(settings.ACCOUNTS_SESSION_COOKIE_NAME, "")
    answer = introspect(session, SESSION) if session else Introspection(active=False)
    return _user(answer) if answer.active else AnonymousUser()


def _user(answer: Introspection) -> User:
    user = User(
        pk=int(answer.sub),
        username=answer.username,
        is_staff=answer.is_staff,
        is_superuser=answer.is_superuser,
    )
    user.account = AccountElsewhere(answer.language)  # type: ignore[assignment]  # the model is not installed here
    return user


def _own_account(user: AbstractBaseUser | AnonymousUser) -> User | AnonymousUser:
    # By name, never by id: the ids of the two services have nothing to do with each other.
    return User.objects.filter(username=user.get_username(), is_staff=True).first() or AnonymousUser()
