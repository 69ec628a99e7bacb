from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from shop.accounts import services
from shop.accounts.models import Nonce, SigningKey, Token
from shop.accounts.services import LimitReached
from tests.factories import CustomerFactory
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_nonce_is_used_once():
    now = timezone.now()
    key, _ = services.create_key(owner=CustomerFactory(), name="till", algorithm="hmac-sha256", now=now)

    answers = at_once(*[partial(Nonce.objects.consume, key=key, nonce="n", now=now)] * 20)

    assert sorted(answers) == [False] * 19 + [True]
    assert Nonce.objects.count() == 1


def test_a_key_is_rotated_once():
    now = timezone.now()
    key, _ = services.create_key(owner=CustomerFactory(), name="till", algorithm="hmac-sha256", now=now)

    answers = at_once(*[partial(services.rotate_key, key, now=now)] * 10)

    assert sum(isinstance(answer, services.AlreadyRotated) for answer in answers) == 9
    assert SigningKey.objects.count() == 2


def test_the_limit_of_tokens_holds(settings):
    settings.ACCOUNTS = replace(settings.ACCOUNTS, tokens_per_user=3)
    issue = partial(
        services.issue_token, user=CustomerFactory(), name="till", expires_in=timedelta(1), now=timezone.now()
    )

    answers = at_once(*[issue] * 10)

    assert sum(isinstance(answer, LimitReached) for answer in answers) == 7
    assert Token.objects.count() == 3
