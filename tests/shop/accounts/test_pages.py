"""
The language switch of every page, and the login.
"""

import re

import pytest
from django.test import Client

from shop.accounts.models import Account
from tests.callers import log_in
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db

SWITCH = "/language/"
LOGIN = "/api/auth/login/"
PERSON = {"Accept": "text/html"}


def language_of(client: Client, page: str = "/") -> str:
    return re.search(r'<html lang="(\w+)">', client.get(page).content.decode())[1]


class TestLanguageSwitch:
    def test_changes_the_language_and_returns_to_the_page(self):
        visitor = Client(headers=PERSON)
        page = "/api/v1/products/?search=chair&quantity[RED-CHAIR]=2"

        response = visitor.post(SWITCH, {"language": "de", "next": page})

        assert (response.status_code, response.headers["Location"]) == (302, page)
        assert language_of(visitor, page) == "de"

    def test_keeps_the_language_from_scripts_for_a_year(self):
        cookie = Client().post(SWITCH, {"language": "de"}).cookies["django_language"]

        assert (cookie["max-age"], cookie["httponly"], cookie["samesite"]) == (31_536_000, True, "Lax")

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_is_on_every_page_and_names_each_language_in_itself(self, browser, language):
        browser.cookies["django_language"] = language
        for page in ("/", "/problems/", "/api/v1/products/", "/api/v1/orders/", LOGIN):
            switch = browser.get(page).content.decode().partition(f'action="{SWITCH}"')[2]

            assert re.findall(r'value="(\w+)" lang="(\w+)"[^>]*>([^<]+)<', switch) == [
                ("en", "en", "English"),
                ("de", "de", "Deutsch"),
            ]
            assert f'name="next" value="{page}"' in switch

    def test_sets_the_language_of_the_account(self, browser, ada):
        browser.post(SWITCH, {"language": "de"})

        assert Account.objects.get(user=ada).language == "de"

    def test_sets_no_account_of_a_visitor(self):
        Client().post(SWITCH, {"language": "de"})

        assert not Account.objects.exists()

    @pytest.mark.parametrize("language", ["fr", "", "DE", "de-at", "../de", "d" * 5_000])
    def test_rejects_another_language(self, browser, language):
        response = browser.post(SWITCH, {"language": language})

        assert (response.status_code, "invalid_language" in response.content.decode()) == (400, True)
        assert not Account.objects.exists()
        assert "django_language" not in response.cookies

    @pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
    def test_leads_nowhere_else(self, elsewhere):
        response = Client(headers=PERSON).post(SWITCH, {"language": "de", "next": elsewhere})

        assert (response.status_code, response.headers["Location"]) == (302, "/")

    def test_takes_no_form_of_a_foreign_page(self):
        response = Client(enforce_csrf_checks=True, headers=PERSON).post(SWITCH, {"language": "de"})

        assert response.status_code == 403


class TestLogin:
    @pytest.mark.parametrize(("account", "shown"), [("de", "de"), ("en", "en"), ("", "en"), (None, "en")])
    def test_shows_pages_in_the_language_of_the_account(self, ada, account, shown):
        if account is not None:
            Account.objects.create(user=ada, language=account)
        client = Client(headers=PERSON)

        client.post(LOGIN, {"username": "ada", "password": PASSWORD})

        assert language_of(client) == shown

    def test_explains_a_failure_in_the_language_of_the_page(self, ada):
        page = log_in(LOGIN, "wrong", **{"Accept-Language": "de"}).content.decode()

        assert '<html lang="de">' in page
        assert re.search(r'role="alert">Bitte Benutzername und Passwort eingeben', page)
