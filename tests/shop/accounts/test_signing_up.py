"""
Sign-up by a page and by the API. Invalid values are in tests/bad_input.
"""

import re
from dataclasses import replace

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from messaging.contracts import CustomerErased, SignUpRequested
from messaging.models import OutboxMessage
from shop.accounts import signing_up
from shop.accounts.models import Confirmation
from shop.operations import erasure
from tests.callers import throttled
from tests.canaries import tables_naming
from tests.factories import CustomerFactory
from tests.outbox import counting_statements, published
from tests.refusals import problem_of

pytestmark = pytest.mark.django_db

EVE, PASSWORD = "Eve.Quokka@canary.example", "four green chairs"
PAGE, SIGN_UPS, CONFIRM = "/account/sign-up/", "/api/v1/sign-ups/", "/api/v1/sign-ups/confirm/"
PERSON = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def _sign_up(settings):
    settings.ACCOUNTS = replace(settings.ACCOUNTS, sign_up=True)


def sign_up(email: str = EVE, **headers: str):
    return APIClient().post(SIGN_UPS, {"email": email}, format="json", headers=headers)


def confirm(token: str, password: str = PASSWORD):
    return APIClient().post(CONFIRM, {"token": token, "new_password": password}, format="json")


@pytest.fixture
def link(drain) -> str:
    """
    The path of the link by which Eve signs up.
    """
    sign_up()
    drain()
    return re.search(r"(?<=127\.0\.0\.1:8000)/account/sign-up/link_[^/]+/", mail.outbox[-1].body)[0]


@pytest.fixture
def token(link) -> str:
    return link.split("/")[-2]


def test_by_the_page_ends_with_a_login(drain):
    browser = Client(headers=PERSON)
    assert f'href="{PAGE}"' in browser.get("/api/auth/login/").content.decode()

    asked = browser.post(PAGE, {"email": EVE}, follow=True).content.decode()
    drain()
    link = re.search(r"/account/sign-up/link_[^/]+/", mail.outbox[0].body)[0]
    assert "Choose a password" in browser.get(link).content.decode()
    done = browser.post(link, {"new_password": PASSWORD, "repeated": PASSWORD}, follow=True).content.decode()

    assert "We have sent you an e-mail with a link." in asked
    assert "You are signed up. Log in with your e-mail address." in done
    assert browser.login(username="eve.quokka@canary.example", password=PASSWORD)
    assert (mail.outbox[0].to, mail.outbox[0].subject) == ([EVE], "Confirm your e-mail address for The Shop")


def test_by_the_api_creates_an_account_without_rights(token):
    answer = confirm(token)

    assert (answer.status_code, answer.json()) == (201, {"username": "eve.quokka@canary.example", "language": ""})
    user = get_user_model().objects.get()
    assert (user.email, user.is_active, user.is_staff, user.is_superuser) == (EVE, True, False, False)


def test_sends_the_mail_in_the_language_of_the_request(drain):
    sign_up(**{"Accept-Language": "de"})
    drain()

    assert mail.outbox[0].subject == "Bestätigen Sie Ihre E-Mail-Adresse für The Shop"


def test_tells_of_an_account_only_in_the_mail(ada, drain):
    CustomerFactory(username="closed", email="closed@example.com", is_active=False)
    with counting_statements() as for_ada:
        known = sign_up("ADA@example.com")
    with counting_statements() as for_eve:
        unknown = sign_up()
    sign_up("closed@example.com")
    drain()

    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b"")
    assert len(for_ada) == len(for_eve)
    mails = {message.to[0]: message for message in mail.outbox}
    assert {to: message.subject for to, message in mails.items()} == {
        "ada@example.com": "You have an account at The Shop",
        EVE: "Confirm your e-mail address for The Shop",
    }
    assert "which has an account: “ada”" in mails["ada@example.com"].body


def test_works_once_and_for_the_first_of_two_links(token, drain):
    sign_up(EVE.upper())
    drain()
    second = re.search(r"link_[^/]+", mail.outbox[-1].body)[0]

    answers = [confirm(token), confirm(token), confirm(second)]

    assert [answer.status_code for answer in answers] == [201, 404, 404]
    assert problem_of(answers[2])["code"] == "expired_link"


def test_is_not_possible_by_the_link_of_a_reset(ada, drain):
    APIClient().post("/api/v1/password-resets/", {"email": ada.email}, format="json")
    drain()

    assert confirm(re.search(r"link_[^/]+", mail.outbox[0].body)[0]).status_code == 404


def test_keeps_the_link_if_the_password_is_too_weak(token):
    assert problem_of(confirm(token, "eve.quokka"))["code"] == "weak_password"
    assert confirm(token).status_code == 201


def test_is_limited_by_recipient_and_by_address(ada, limits):
    limits(account_mails_per_recipient_per_hour=2, account_mails_per_address_per_hour=5)

    statuses = [sign_up(email).status_code for email in [EVE] * 3 + ["ada@example.com"] * 2 + ["x@y.zz"]]

    assert statuses == [202, 202, 429, 202, 202, 429]
    assert throttled(Client(headers=PERSON).post(PAGE, {"email": "x@y.zz"})) > 0


def test_is_closed_by_default(settings):
    settings.ACCOUNTS = replace(settings.ACCOUNTS, sign_up=False)

    assert (Client(headers=PERSON).get(PAGE).status_code, sign_up().status_code) == (404, 404)
    assert PAGE not in Client(headers=PERSON).get("/api/auth/login/").content.decode()
    assert not OutboxMessage.objects.exists()


def test_stores_no_token(token, drain):
    confirm(token)

    assert tables_naming([token[-43:]]) == set()


def test_is_erased_with_the_account(link):
    user = signing_up.confirm(signing_up.find(link.split("/")[-2], now=timezone.now()), PASSWORD)
    sign_up()
    Confirmation.objects.create(purpose="sign_up", email=EVE, expires_at=timezone.now())

    erasure.erase(user)

    assert tables_naming([EVE, "eve.quokka"]) == set()


def test_is_erased_where_no_notifications_are(link, drain, monkeypatch):
    """
    Their service gets the ids of the requests, and erases what it has of them.
    """
    sign_up()
    drain()
    user = signing_up.confirm(signing_up.find(link.split("/")[-2], now=timezone.now()), PASSWORD)
    requests = {message.key for message in OutboxMessage.objects.filter(type=SignUpRequested.type)}
    monkeypatch.setattr(erasure, "_here", lambda *contexts: [])

    erasure.erase(user)

    assert tables_naming([EVE, "eve.quokka"]) == {"notifications_notification"}
    [erased] = published(CustomerErased)
    assert (len(requests), set(erased.sign_ups)) == (2, requests)
    drain()
    assert tables_naming([EVE, "eve.quokka"]) == set()
