from html import unescape

import pytest

from notifications.models import Notification
from notifications.samples import SAMPLES
from tests.operators import operator_who_may, page

pytestmark = pytest.mark.django_db

PREVIEWS = "/admin/notifications/notification/previews/"


@pytest.fixture
def operator():
    return operator_who_may("notifications.view_notification")


def test_are_linked_from_the_list_of_notifications(operator):
    assert f'href="{PREVIEWS}"' in operator.get(page(Notification)).content.decode()


def test_list_every_message_in_each_language(operator):
    listed = operator.get(PREVIEWS).content.decode()

    for name in SAMPLES:
        assert f'<a href="{PREVIEWS}{name}/en/">English</a> · <a href="{PREVIEWS}{name}/de/">Deutsch</a>' in listed


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", SAMPLES)
def test_show_mail_and_sms_of_every_message(operator, name, language):
    response = operator.get(f"{PREVIEWS}{name}/{language}/")

    assert response.status_code == 200
    assert response.content.decode().count(f'<iframe sandbox src="{PREVIEWS}{name}/{language}/mail/"') == 2
    assert "frame-src 'self'" in response.headers["Content-Security-Policy"]


def test_show_what_is_sent(operator):
    shown = unescape(operator.get(f"{PREVIEWS}payment-due-soon/de/").content.decode())

    assert "<h2>Bitte bezahlen Sie Ihre Bestellung K7Q4-M2X0</h2>" in shown
    assert "So lange ist die Ware für Sie reserviert." in shown
    assert "Ada's Chairs: Bitte bezahlen Sie 157,50 £ für Ihre Bestellung K7Q4-M2X0" in shown
    assert "2 segments" in shown


def test_allow_a_mail_only_inline_styles_in_a_frame_of_the_shop(operator):
    response = operator.get(f"{PREVIEWS}order-confirmed/en/mail/")

    assert "Your order K7Q4-M2X0 is confirmed" in response.content.decode()
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert response.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "sandbox"
    )


@pytest.mark.parametrize("path", ["order-confirmed/fr/", "nothing/en/", "nothing/en/mail/"])
def test_answer_404_for_an_unknown_message_or_language(operator, path):
    assert operator.get(f"{PREVIEWS}{path}").status_code == 404


def test_need_the_permission_to_view_notifications():
    operator = operator_who_may("orders.view_order")

    assert {
        operator.get(f"{PREVIEWS}{path}").status_code
        for path in ("", "order-confirmed/en/", "order-confirmed/en/mail/")
    } == {403}
