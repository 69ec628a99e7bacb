"""
Change and reset of passwords: by a page and by the API. Invalid values are in tests/bad_input.
"""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from messaging.models import OutboxMessage
from notifications.mail import Mail
from notifications.models import Notification
from shop.accounts.models import Confirmation, Token
from shop.http import one_time_links
from tests.callers import ask_for_a_token, throttled
from tests.canaries import tables_naming
from tests.factories import PASSWORD, CustomerFactory, api_of, make_signing_key
from tests.operators import page
from tests.outbox import counting_statements
from tests.refusals import problem_of

pytestmark = pytest.mark.django_db

NEW = "four green chairs"
PAGE, FORGOTTEN = "/account/password/", "/account/forgotten-password/"
CHANGE, RESETS, CONFIRM = "/api/v1/account/password/", "/api/v1/password-resets/", "/api/v1/password-resets/confirm/"
PERSON = {"Accept": "text/html"}


def can_log_in(password: str, username: str = "ada") -> bool:
    return Client().login(username=username, password=password)


def request_reset(email: str = "ada@example.com", **headers: str):
    return APIClient().post(RESETS, {"email": email}, format="json", headers=headers)


def confirm(token: str, password: str = NEW):
    return APIClient().post(CONFIRM, {"token": token, "new_password": password}, format="json")


def mailed_link(at: int = -1) -> str:
    """
    Return the path of the link in a mail, which text and HTML have.
    """
    message = mail.outbox[at]
    [path] = set(re.findall(r"(?<=127\.0\.0\.1:8000)/account/[^\s\"]*link_[^\s\"]*", message.body))
    assert f'href="http://127.0.0.1:8000{path}"' in message.alternatives[0].content
    return path


@pytest.fixture
def link(ada, drain) -> str:
    """
    The path of a link by which Ada sets a new password.
    """
    request_reset()
    drain()
    return mailed_link()


@pytest.fixture
def token(link) -> str:
    return link.rstrip("/").rpartition("/")[2]


class TestChange:
    def test_by_the_page_keeps_this_session_and_ends_the_others(self, browser, ada, drain):
        elsewhere = Client(headers=PERSON)
        elsewhere.force_login(ada)
        form = {"current_password": PASSWORD, "new_password": NEW, "repeated": NEW}

        answer = browser.post(PAGE, form, follow=True)

        assert "Your password is changed." in answer.content.decode()
        assert (can_log_in(NEW), can_log_in(PASSWORD)) == (True, False)
        assert browser.get("/api/v1/orders/").status_code == 200
        assert elsewhere.get("/api/v1/orders/").status_code == 401

    def test_by_the_api_revokes_all_tokens_and_keeps_signing_keys(self, ada, api):
        key = make_signing_key(ada)
        api_of("ada")

        answer = api.post(CHANGE, {"current_password": PASSWORD, "new_password": NEW}, format="json")

        assert (answer.status_code, answer.content) == (204, b"")
        assert not Token.objects.filter(user=ada).exists()
        assert api.get("/api/v1/orders/").status_code == 401
        assert [row.pk for row in ada.signing_keys.usable(timezone.now())] == [key.pk]
        assert ask_for_a_token(password=NEW).status_code == 201

    def test_by_the_api_in_a_session_keeps_the_session(self, browser):
        body = {"current_password": PASSWORD, "new_password": NEW}
        answer = browser.post(CHANGE, body, "application/json", headers={"Accept": "application/json"})

        assert answer.status_code == 204
        assert browser.get("/api/v1/orders/").status_code == 200

    def test_tells_the_customer(self, api, drain):
        api.post(CHANGE, {"current_password": PASSWORD, "new_password": NEW}, format="json")
        drain()

        [message] = mail.outbox
        assert (message.to, message.subject) == (["ada@example.com"], "Your password at The Shop was changed")
        assert "The password of your account “ada” was changed on " in message.body
        assert f"http://127.0.0.1:8000{FORGOTTEN}" in message.body

    def test_by_the_admin_ends_access_and_tells_the_customer_too(self, ada, drain):
        olga = CustomerFactory(username="olga", is_staff=True, is_superuser=True)
        api_of("ada")
        admin = Client()
        admin.force_login(olga)

        form = {"usable_password": "true", "password1": NEW, "password2": NEW}
        answer = admin.post(page(get_user_model(), "change", ada.pk).replace("change", "password"), form)
        drain()

        assert (answer.status_code, can_log_in(NEW)) == (302, True)
        assert not Token.objects.filter(user=ada).exists()
        assert [message.to for message in mail.outbox] == [["ada@example.com"]]

    def test_counts_wrong_passwords_as_failed_logins(self, browser, limits):
        limits(failed_logins_per_quarter_hour=2)
        form = {"current_password": "wrong", "new_password": NEW, "repeated": NEW}

        pages = [browser.post(PAGE, form) for _ in range(2)]

        assert ["This is not your present password." in page.content.decode() for page in pages] == [True, True]
        assert throttled(browser.post(PAGE, form | {"current_password": PASSWORD})) == 900
        assert throttled(ask_for_a_token()) == 900

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"repeated": "another one"}, "The two passwords differ."),
            ({"new_password": "short", "repeated": "short"}, "This password is too short."),
            ({"new_password": "password", "repeated": "password"}, "This password is too common."),
            ({"new_password": "", "repeated": ""}, "This field is required."),
        ],
    )
    def test_by_the_page_shows_what_is_wrong(self, browser, fields, says):
        answer = browser.post(PAGE, {"current_password": PASSWORD, "new_password": NEW, "repeated": NEW} | fields)

        assert answer.status_code == 200
        assert says in answer.content.decode()
        assert can_log_in(PASSWORD)

    def test_of_an_anonymous_visitor_begins_with_the_login(self):
        answer = Client(headers=PERSON).get(PAGE)

        assert (answer.status_code, answer.headers["Location"]) == (302, f"/api/auth/login/?next={PAGE}")


class TestReset:
    def test_sets_a_new_password_by_the_page_of_the_link(self, ada, link, drain):
        browser, program = Client(headers=PERSON), api_of("ada")
        session = Client(headers=PERSON)
        session.force_login(ada)

        assert "Set a new password" in browser.get(link).content.decode()
        answer = browser.post(link, {"new_password": NEW, "repeated": NEW}, follow=True)
        drain()

        assert "Your new password is set. Log in with it." in answer.content.decode()
        assert (can_log_in(NEW), can_log_in(PASSWORD)) == (True, False)
        assert [client.get("/api/v1/orders/").status_code for client in (session, program)] == [401, 401]
        assert mail.outbox[-1].subject == "Your password at The Shop was changed"

    def test_sets_a_new_password_by_the_api(self, token):
        assert confirm(token).status_code == 204
        assert can_log_in(NEW)

    def test_is_requested_by_a_page(self, ada, drain):
        answer = Client(headers=PERSON).post(FORGOTTEN, {"email": " ADA@example.com "}, follow=True)
        drain()

        assert "If an account has this address, we have sent a link to it." in answer.content.decode()
        assert mail.outbox[0].to == ["ada@example.com"]
        assert mail.outbox[0].subject == "Set a new password at The Shop"

    def test_is_explained_in_the_language_of_the_account(self, api, drain):
        api.patch("/api/v1/account/", {"language": "de"}, format="json")

        request_reset(**{"Accept-Language": "en"})
        drain()

        assert mail.outbox[0].subject == "Neues Passwort bei The Shop festlegen"

    def test_works_once(self, token):
        confirm(token)

        assert problem_of(confirm(token, "five blue chairs"))["code"] == "expired_link"
        assert can_log_in(NEW)

    def test_works_until_it_expires(self, token, monkeypatch):
        later = timezone.now() + timedelta(minutes=60, seconds=1)
        monkeypatch.setattr(timezone, "now", lambda: later)

        assert problem_of(confirm(token))["code"] == "expired_link"
        assert can_log_in(PASSWORD)

    @pytest.mark.parametrize(
        "changes", [{"password": "!"}, {"email": "other@example.com"}, {"is_active": False}], ids=str
    )
    def test_ends_when_the_account_changes(self, ada, token, changes):
        get_user_model().objects.filter(pk=ada.pk).update(**changes)

        assert problem_of(confirm(token))["code"] == "expired_link"

    def test_keeps_the_link_if_the_password_is_too_weak(self, token):
        problem = problem_of(confirm(token, "short"))

        assert (problem["code"], problem["errors"][0]["pointer"]) == ("weak_password", "#/new_password")
        assert confirm(token).status_code == 204

    def test_of_several_accounts_with_one_address_sends_a_link_for_each(self, ada, drain):
        CustomerFactory(username="ada-at-work", email="Ada@Example.com")
        CustomerFactory(username="closed", email="ada@example.com", is_active=False)

        request_reset()
        drain()

        assert sorted(re.findall("account “(.+)”", "".join(message.body for message in mail.outbox))) == [
            "ada",
            "ada-at-work",
        ]

    def test_is_not_changed_by_opening_the_link(self, link):
        for _ in range(2):
            assert Client(headers=PERSON).get(link).status_code == 200

    @pytest.mark.parametrize("path", ["link_" + 75 * "0", "x", "%00", "link_"])
    def test_has_no_page_for_another_link(self, path):
        answer = Client(headers=PERSON).get(f"/account/password-reset/{path}/")

        assert (answer.status_code, "expired_link" in answer.content.decode()) == (404, True)

    def test_counts_guessed_links_as_failures_of_the_address(self, token, limits):
        limits(failures_per_minute=2)

        assert [confirm(f"{token[:-1]}{end}").status_code for end in "*+"] == [404, 404]
        assert throttled(confirm(token)) == 60


class TestUnknownAddress:
    def test_gets_the_same_response_by_as_many_statements(self, ada):
        with counting_statements() as for_ada:
            known = request_reset()
        with counting_statements() as for_nobody:
            unknown = request_reset("nobody@example.com")

        different = {"X-Request-Id"}
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b"")
        assert {*known.headers.items()} ^ {*unknown.headers.items()} == {
            (name, answer.headers[name]) for name in different for answer in (known, unknown)
        }
        assert len(for_ada) - len(for_nobody) == 2  # the message and its delivery

    def test_is_sent_nothing_and_not_stored(self, ada, drain):
        request_reset("zyx.quokka@canary.example")
        drain()

        assert mail.outbox == []
        assert tables_naming(["zyx.quokka@canary.example"]) == set()

    def test_is_limited_as_a_known_one(self, ada, limits):
        limits(account_mails_per_recipient_per_hour=2)

        statuses = [[request_reset(email).status_code for _ in range(3)] for email in ("ada@example.com", "x@y.zz")]

        assert statuses == [[202, 202, 429]] * 2
        assert request_reset("ADA@example.com").status_code == 429

    def test_is_limited_by_the_address_of_the_client(self, limits):
        limits(account_mails_per_address_per_hour=2)

        assert [request_reset(f"{name}@example.com").status_code for name in "abc"] == [202, 202, 429]


class TestToken:
    def test_is_in_no_table_no_log_and_not_shown_to_operators(self, token, drain, log, settings):
        settings.MESSAGING = replace(settings.MESSAGING, max_attempts=1)
        settings.DEBUG = False
        operator = Client()
        operator.force_login(CustomerFactory(username="olga", is_staff=True, is_superuser=True))
        secret = token[-43:]

        pages = [
            operator.get(page(model, "change", model.objects.latest("pk").pk)).content.decode()
            for model in (Notification, OutboxMessage)
        ]
        Client(headers=PERSON).get(f"/account/password-reset/{token}/nothing/")
        confirm(token)
        Client(headers=PERSON).get(f"/account/password-reset/{token}/")
        drain()

        assert tables_naming([secret]) == set()
        assert [content for content in pages if secret in content] == []
        assert [line for line in log if secret in line] == []
        assert any("link_(secret)" in line for line in log)

    def test_is_the_same_in_each_attempt_to_send_the_mail(self, token):
        notification = Notification.objects.get()

        assert Mail(notification).message().as_bytes() == Mail(notification).message().as_bytes()
        assert token in Mail(notification).body

    def test_is_valid_while_the_former_secret_key_is_a_fallback(self, token, settings):
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "k" * 50, [settings.SECRET_KEY]

        assert confirm(token).status_code == 204

    def test_of_another_shop_is_invalid(self, token, settings):
        settings.SECRET_KEY = "k" * 50

        assert problem_of(confirm(token))["code"] == "expired_link"

    def test_names_nothing_but_its_row(self, token):
        assert one_time_links.read(token) == Confirmation.objects.get().pk
