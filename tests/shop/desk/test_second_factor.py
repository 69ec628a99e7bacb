"""
The second factor of the admin, with codes that django-otp computes.
"""

import re
import time
from dataclasses import replace

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.management import CommandError
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests.callers import throttled
from tests.commands import run
from tests.factories import PASSWORD, CustomerFactory
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

HOME, SETUP, CODE = "/admin/", "/admin/second-factor/", "/admin/second-factor/code/"


@pytest.fixture
def required(settings) -> None:
    settings.ACCOUNTS = replace(settings.ACCOUNTS, second_factor_required=True)


@pytest.fixture
def olga(db):
    return CustomerFactory(username="olga", is_staff=True, is_superuser=True)


def log_in(page: str = HOME) -> Client:
    """
    Return a browser in which Olga has entered her name and password.
    """
    browser = Client()
    browser.post(f"/admin/login/?next={page}", {"username": "olga", "password": PASSWORD})
    return browser


def code(device: TOTPDevice, *, steps: int = 0) -> str:
    """
    Return the code that an authenticator shows so many steps of 30 s from now.
    """
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06}"


def set_up(browser: Client) -> list[str]:
    """
    Set up an authenticator with its code of half a minute ago, and return the backup codes.
    """
    browser.get(SETUP)
    page = browser.post(SETUP, {"code": code(TOTPDevice.objects.get(), steps=-1)}).content.decode()
    return re.findall(r"<li><code>(\w+)</code></li>", page)


def is_let_in(browser: Client) -> bool:
    return browser.get(HOME).status_code == 200


class TestSetUp:
    def test_shows_a_qr_code_and_its_key_and_then_backup_codes_once(self, olga):
        browser = log_in()
        page = browser.get(SETUP).content.decode()
        device = TOTPDevice.objects.get()

        codes = set_up(browser)

        assert '<svg width="' in page
        assert "style=" not in page.partition("<svg")[2].partition("</svg>")[0]
        assert re.search(r"key in the app: <code>([A-Z2-7]{4} ){7}[A-Z2-7]{4}</code>", page)
        assert len(set(codes)) == 10
        assert TOTPDevice.objects.get(confirmed=True).key == device.key
        assert codes[0] not in browser.get(SETUP).content.decode()
        assert LogEntry.objects.get().change_message == "Set up a second factor."

    def test_is_reached_from_every_page_of_the_admin(self, olga):
        assert f'<a href="{SETUP}">Second factor</a>' in log_in().get(HOME).text

    def test_follows_the_login_that_it_needs(self, olga):
        login = Client().get(SETUP)

        assert login.url == f"/admin/login/?next={SETUP}"

    def test_needs_a_right_code(self, olga):
        browser = log_in()
        browser.get(SETUP)

        page = browser.post(SETUP, {"code": "000000"}).content.decode()

        assert "The code is wrong" in page
        assert not TOTPDevice.objects.filter(confirmed=True).exists()

    def test_is_required_before_anything_else_where_the_shop_requires_it(self, olga, required):
        browser = log_in()

        opened = browser.get("/admin/orders/order/", follow=True)
        assert opened.redirect_chain[-1][0] == f"{SETUP}?next=%2Fadmin%2Forders%2Forder%2F"
        assert "The admin requires a second factor." in opened.content.decode()
        assert not is_let_in(browser)
        assert len(set_up(browser)) == 10
        assert is_let_in(browser)

    def test_is_optional_otherwise(self, olga):
        assert is_let_in(log_in())

    def test_is_for_staff_only(self, ada):
        customer = Client()
        customer.force_login(ada)

        assert [customer.get(page).status_code for page in (SETUP, CODE)] == [302, 302]
        assert not TOTPDevice.objects.exists()


class TestLogin:
    def test_asks_for_a_code_after_the_password_and_goes_on(self, olga):
        set_up(log_in())
        browser = log_in()
        asked = browser.get("/admin/orders/order/", follow=True)

        answer = browser.post(asked.redirect_chain[-1][0], {"code": code(TOTPDevice.objects.get())})

        assert asked.redirect_chain[-1][0] == f"{CODE}?next=%2Fadmin%2Forders%2Forder%2F"
        assert answer.headers["Location"] == "/admin/orders/order/"
        assert is_let_in(browser)

    def test_takes_each_code_once(self, olga):
        set_up(log_in())
        first, second, now = log_in(), log_in(), code(TOTPDevice.objects.get())

        for browser in (first, second):
            browser.post(CODE, {"code": f"{now[:3]} {now[3:]}"})

        assert [is_let_in(first), is_let_in(second)] == [True, False]

    def test_takes_each_backup_code_once(self, olga):
        codes = set_up(log_in())
        first, second = log_in(), log_in()

        for browser in (first, second):
            browser.post(CODE, {"code": codes[0].upper()})

        assert [is_let_in(first), is_let_in(second)] == [True, False]
        assert StaticToken.objects.count() == 9

    def test_does_not_take_the_code_of_another_user(self, olga):
        set_up(log_in())
        carl = CustomerFactory(username="carl", is_staff=True)
        other = TOTPDevice.objects.create(user=carl, name="his")
        browser = log_in()

        browser.post(CODE, {"code": code(other)})

        assert not is_let_in(browser)

    def test_counts_wrong_codes_as_failed_logins(self, olga, limits):
        set_up(log_in())
        browser = log_in()
        limits(failed_logins_per_quarter_hour=2)

        for _ in range(2):
            browser.post(CODE, {"code": "000000"})

        assert throttled(browser.post(CODE, {"code": code(TOTPDevice.objects.get())})) == 900
        assert not is_let_in(browser)

    @pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
    def test_goes_to_no_other_site(self, olga, wanted):
        set_up(log_in())

        answer = log_in().post(f"{CODE}?next={wanted}", {"code": code(TOTPDevice.objects.get())})

        assert answer.headers["Location"] == HOME

    def test_costs_few_statements(self, olga):
        browser = log_in()
        set_up(browser)

        with counting_statements() as statements:
            browser.get("/admin/jsi18n/")

        assert len(statements) <= 4  # session, user, device


class TestEveryPage:
    def test_is_closed_by_session_and_password_alone(self, olga):
        set_up(log_in())
        browser = log_in()
        pages = [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry]

        answers = [browser.get(page) for page in [HOME, "/admin/jsi18n/", "/admin/password_change/", *pages]]

        assert {(answer.status_code, answer.headers["Location"].partition("?")[0]) for answer in answers} == {
            (302, "/admin/login/")
        }

    def test_of_the_admin_shows_no_keys(self, olga):
        assert {TOTPDevice, StaticToken} & admin.site._registry.keys() == set()


class TestRemoval:
    def test_by_the_owner(self, olga):
        browser = log_in()
        set_up(browser)

        browser.post(SETUP, {"action": "remove"})

        assert not TOTPDevice.objects.exists()
        assert is_let_in(log_in())

    def test_is_refused_where_the_shop_requires_it(self, olga, required):
        browser = log_in()
        set_up(browser)

        browser.post(SETUP, {"action": "remove"})

        assert TOTPDevice.objects.filter(confirmed=True).exists()

    def test_needs_the_second_factor(self, olga):
        set_up(log_in())

        answer = log_in().post(SETUP, {"action": "remove"})

        assert answer.headers["Location"] == CODE
        assert TOTPDevice.objects.exists()

    def test_by_an_operator_who_knows_who_asks(self, olga, required):
        browser = log_in()
        set_up(browser)

        assert run("reset_second_factor", "olga") == "The second factor is removed.\n"

        assert not StaticToken.objects.exists()
        assert not is_let_in(browser)
        assert run("reset_second_factor", "olga") == "The user had no second factor.\n"
        with pytest.raises(CommandError, match="There is no user 'eve'"):
            run("reset_second_factor", "eve")

    def test_of_backup_codes_makes_the_former_ones_invalid(self, olga):
        browser = log_in()
        former = set_up(browser)

        page = browser.post(SETUP, {"action": "codes"}).content.decode()

        assert set(re.findall(r"<li><code>(\w+)</code></li>", page)) & set(former) == set()
        assert StaticToken.objects.count() == 10


def test_a_reset_of_the_password_leaves_the_second_factor(olga):
    set_up(log_in())
    user = get_user_model().objects.get(username="olga")
    user.set_password("four green chairs")
    user.save()

    assert TOTPDevice.objects.filter(confirmed=True).exists()
