"""
The account of the caller. Invalid languages are in tests/bad_input.
"""

import pytest

from shop.accounts.models import Account

pytestmark = pytest.mark.django_db

ACCOUNT = "/api/v1/account/"


def test_has_no_language_at_first(api, browser):
    assert api.get(ACCOUNT).json() == {"username": "ada", "language": ""}
    assert browser.get(ACCOUNT, headers={"Accept": "application/json"}).json() == {"username": "ada", "language": ""}


@pytest.mark.parametrize("language", ["de", "en", ""])
def test_takes_a_language_and_keeps_it(api, language):
    response = api.patch(ACCOUNT, {"language": language}, format="json")

    assert (response.status_code, response.json()) == (200, {"username": "ada", "language": language})
    assert api.get(ACCOUNT).json() == {"username": "ada", "language": language}


def test_changes_nothing_else(api, ada):
    Account.objects.create(user=ada, must_sign=False, language="de")

    api.patch(ACCOUNT, {}, format="json")

    assert Account.objects.values_list("user", "must_sign", "language").get() == (ada.pk, False, "de")


def test_is_changed_by_a_browser_too(browser):
    response = browser.patch(ACCOUNT, {"language": "de"}, "application/json", headers={"Accept": "application/json"})

    assert response.json() == {"username": "ada", "language": "de"}
