import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from django.conf import settings as shop_settings

from messaging.contracts import ConfirmedLine
from notifications.facts import Facts, facts_of, kind_of
from notifications.models import Notification
from notifications.rendering import Email, render_email, render_sms
from notifications.samples import LINK_ID, OF_ACCOUNTS, OF_ORDERS, SAMPLES
from notifications.sms.segments import is_gsm7, segments
from tests.notifications.events import ORDER, cancelled, confirmed, due_soon, refunded

LANGUAGES = ("en", "de")
URL = f"https://chairs.example/api/v1/orders/{ORDER}/"
PREFERENCES = "https://chairs.example/api/v1/notification-preferences/"

INTERNAL_WORDS = re.compile(
    r"by_|operator|customer|late\b|surplus|capture|intent|gateway|webhook|refund_|None|True|False|"
    r"\bon (its|the) way to you|shipped|dispatched|unterwegs|versandt|versendet",
)
LEFTOVERS = re.compile(r"[{}%$]|&(amp|lt|quot|#)")


@pytest.fixture(autouse=True)
def _address(settings):
    settings.SHOP = replace(settings.SHOP, url="https://chairs.example", time_zone="Europe/London")


def email_about(event, language: str = "en") -> Email:
    return render_email(kind_of(event), facts_of(event), language)


def sms_about(event, language: str = "en") -> str:
    return render_sms(kind_of(event), facts_of(event), language)


def shown(html: str) -> str:
    """
    Return the text that an HTML document shows after its preview, with single spaces.
    """
    body = html.split("</head>")[1].split("</div>", 1)[1]
    text = re.sub(r"<!--.*?-->|<[^>]*>", " ", body, flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", unescape(text)).strip()


each_sample = pytest.mark.parametrize("event", OF_ORDERS.values(), ids=OF_ORDERS)
each_language = pytest.mark.parametrize("language", LANGUAGES)


class TestEmail:
    def test_confirms_an_order_in_english(self):
        mail = email_about(SAMPLES["order-confirmed"])

        assert mail.subject == "Your order K7Q4-M2X0 is confirmed"
        assert mail.text == (
            "Hello,\n"
            "\n"
            "Thank you. We have received your payment of £157.50. Your order is confirmed and is being prepared.\n"
            "\n"
            "  2 × Red chair: £90.00\n"
            "  1 × Six tea cups, hand-painted, with saucers: £32.50\n"
            "  10 × Mug “Salt & Pepper”: £35.00\n"
            "  Total: £157.50\n"
            "\n"
            f"Your order: {URL}\n"
            "\n"
            "Ada's Chairs\n"
            "https://chairs.example\n"
            "\n"
            "You receive this message because of your order K7Q4-M2X0 at Ada's Chairs.\n"
        )
        assert shown(mail.html) == (
            "Ada's Chairs Your order K7Q4-M2X0 is confirmed Hello, "
            "Thank you. We have received your payment of £157.50. Your order is confirmed and is being prepared. "
            "What you ordered Amount 2 × Red chair £90.00 1 × Six tea cups, hand-painted, with saucers £32.50 "
            "10 × Mug “Salt & Pepper” £35.00 Total £157.50 See your order "
            "Ada's Chairs You receive this message because of your order K7Q4-M2X0 at Ada's Chairs."
        )

    def test_reminds_in_german_with_the_deadline_in_the_time_zone_of_the_shop(self, settings):
        settings.SHOP = replace(settings.SHOP, time_zone="Europe/Berlin")

        mail = email_about(SAMPLES["payment-due-soon"], "de")

        assert mail.subject == "Bitte bezahlen Sie Ihre Bestellung K7Q4-M2X0"
        assert mail.text == (
            "Guten Tag,\n"
            "\n"
            "Bitte bezahlen Sie 157,50\u00a0£ bis 1. Juni 2030, 14:35 MESZ. So lange ist die Ware für Sie reserviert. "
            "Wird eine Bestellung nicht rechtzeitig bezahlt, stornieren wir sie.\n"
            "\n"
            "So bezahlen Sie: Öffnen Sie Ihre Bestellung; von dort gelangen Sie zur Zahlung. Wenn Sie gerade bezahlt "
            "haben, brauchen Sie nichts zu tun.\n"
            "\n"
            "  2 × Red chair: 90,00\u00a0£\n"
            "  1 × Six tea cups, hand-painted, with saucers: 32,50\u00a0£\n"
            "  10 × Mug “Salt & Pepper”: 35,00\u00a0£\n"
            "  Summe: 157,50\u00a0£\n"
            "\n"
            f"Ihre Bestellung: {URL}\n"
            "\n"
            "Ada's Chairs\n"
            "https://chairs.example\n"
            "\n"
            "Sie erhalten diese Nachricht zu Ihrer Bestellung K7Q4-M2X0 bei Ada's Chairs.\n"
            f"Benachrichtigungen auswählen: {PREFERENCES}\n"
        )

    @pytest.mark.parametrize(
        ("sample", "explanation"),
        [
            ("refunded-in-full", "This is the full amount of your order."),
            ("refunded-in-part", "So far, we have refunded £45.00 of the £157.50 of your order."),
            ("refunded-for-a-reason", "The reason: One chair was scratched. We are sorry."),
            ("refunded-the-rest", "The full amount of your order, £157.50, is now refunded."),
            ("refunded-a-double-payment", "The reason: your order was paid twice."),
            ("refunded-a-late-payment", "The reason: your payment arrived after your order had ended."),
            ("refunded-a-wrong-amount", "The reason: the payment was not the amount of your order."),
        ],
    )
    def test_says_how_much_is_refunded_and_why(self, sample, explanation):
        assert explanation in email_about(SAMPLES[sample]).text

    @pytest.mark.parametrize("reason", ["out_of_stock", "by_customer", "by_operator"])
    @pytest.mark.parametrize("payment_requested", [False, True])
    def test_says_that_nothing_was_charged_only_if_no_payment_was_requested(self, reason, payment_requested):
        never_requested = not payment_requested or reason == "out_of_stock"

        text = email_about(cancelled(reason, payment_requested=payment_requested)).text

        assert ("You have not been charged." in text) == never_requested
        assert ("your money is refunded automatically." in text) == (not never_requested)

    def test_reads_well_about_an_event_of_an_earlier_release(self):
        mail = email_about(refunded(reason="not what the order costs"))

        assert mail.subject == "Refund of €0.50 for your order"
        assert mail.text.startswith(
            "Hello,\n\nWe have refunded €0.50 the way you paid.\n\nYour bank may take a few days to show it.\n\n"
            f"Your order: {URL}\n"
        )
        assert "You receive this message because of your order at Ada's Chairs." in mail.text

    def test_knows_no_deadline_of_a_reminder_of_an_earlier_release(self):
        assert (
            "Please pay ¥9,000 soon. Until the payment is due we hold the goods for you."
            in email_about(due_soon()).text
        )

    @pytest.mark.parametrize("language", ["", "fr", "../de"])
    def test_falls_back_to_the_language_of_the_shop(self, settings, language):
        settings.SHOP = replace(settings.SHOP, language="de")

        assert email_about(SAMPLES["order-confirmed"], language) == email_about(SAMPLES["order-confirmed"], "de")


@each_language
@each_sample
class TestEveryEmail:
    def test_has_no_leftovers_and_no_internal_words(self, event, language):
        mail = email_about(event, language)

        prose = mail.text.replace(URL, "").replace("Salt & Pepper", "")
        assert LEFTOVERS.findall(mail.subject + prose + shown(mail.html).replace("Salt & Pepper", "")) == []
        assert INTERNAL_WORDS.findall(mail.subject + prose) == []
        assert mail.subject == mail.subject.strip()
        assert ORDER not in mail.subject
        assert len(mail.subject) <= 78

    def test_says_the_same_as_text_and_as_html(self, event, language):
        mail = email_about(event, language)

        html = shown(mail.html)
        lines = [line for line in mail.text.splitlines() if "https://" not in line]
        facts = [fact for line in lines for fact in line.rsplit(": ", 1 if line.startswith("  ") else 0)]
        assert [fact for fact in facts if fact.strip() not in html] == []
        assert mail.html.count(f'href="{URL}"') == 1
        assert mail.subject in html

    def test_breaks_no_line_of_html_at_the_hyphen_of_the_number(self, event, language):
        mail = email_about(event, language)
        body = mail.html.split("</head>")[1].split("</div>", 1)[1]

        numbers = body.count("K7Q4-M2X0")

        assert body.count('<span style="white-space: nowrap">K7Q4-M2X0</span>') == numbers >= 2
        assert f"<title>{mail.subject}</title>" in mail.html

    def test_needs_no_other_file_and_tracks_nobody(self, event, language):
        html = email_about(event, language).html

        assert f'<html lang="{language}">' in html
        assert set(re.findall(r'https?://[^"\s<]+', html)) - {PREFERENCES} == {URL, "https://chairs.example"}
        assert re.findall(r"<(img|script|link|iframe|form)\b|url\(|@import", html) == []
        assert '<meta name="color-scheme" content="light dark">' in html
        assert "@media (prefers-color-scheme: dark)" in html


@each_language
@each_sample
class TestEverySms:
    def test_takes_at_most_two_segments_of_the_gsm_alphabet(self, event, language):
        text = sms_about(event, language)

        assert (is_gsm7(text), segments(text) <= 2) == (True, True)
        assert text.startswith("Ada's Chairs: ")
        assert text.endswith(f" {URL}")
        assert "K7Q4-M2X0" in text
        assert LEFTOVERS.findall(text) == INTERNAL_WORDS.findall(text) == []


@each_language
class TestEmailAboutAnAccount:
    @pytest.mark.parametrize("event", OF_ACCOUNTS.values(), ids=OF_ACCOUNTS)
    def test_says_the_same_as_text_and_as_html(self, event, language):
        mail = email_about(event, language)

        prose = re.sub(r"https://\S+", "", mail.text)
        html = shown(mail.html)
        assert [line for line in prose.splitlines() if line.rstrip(": ") not in html] == []
        assert LEFTOVERS.findall(mail.subject + prose + html) == []
        assert ("ada" in prose) == (event != OF_ACCOUNTS["sign-up"])
        assert "order" not in prose.lower().replace("fordert", "")

    def test_leads_to_the_page_of_the_link_whose_token_is_added_later(self, language):
        mail = email_about(OF_ACCOUNTS["password-reset"], language)

        path = f"https://chairs.example/account/password-reset/{LINK_ID}/"
        assert (mail.text.count(path), mail.html.count(f'href="{path}"')) == (1, 1)


class TestSms:
    def test_reminds_of_a_payment(self):
        assert sms_about(SAMPLES["payment-due-soon"]) == (
            "Ada's Chairs: Please pay £157.50 for your order K7Q4-M2X0 by 1 June 2030, 13:35 BST, or it is cancelled. "
            + URL
        )

    @pytest.mark.parametrize(
        ("name", "sender"),
        [
            ("Ada’s Chairs – since 1843", "Ada's Chairs - since 1843: "),
            ("Chairs " * 30, "Chairs Chairs Chairs: "),
            ("Мебельный магазин Ады", "chairs.example: "),
            ("🪑" * 200, "chairs.example: "),
        ],
    )
    def test_shortens_or_replaces_the_name_of_the_shop(self, settings, name, sender):
        settings.SHOP = replace(settings.SHOP, name=name)

        text = sms_about(SAMPLES["payment-failed"])

        assert text.startswith(sender)
        assert text.endswith(URL)
        assert segments(text) == 2

    @each_sample
    @pytest.mark.parametrize("number", ["K7Q4-M2X0", "9" * 400, "Ж" * 200, "🪑" * 200])
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_never_exceeds_two_segments(self, settings, event, number, language):
        settings.SHOP = replace(settings.SHOP, name="Ж" * 200, url=f"https://{'chairs.' * 40}example")
        facts = replace(facts_of(event), number=number, currency="PLN")

        text = render_sms(kind_of(event), facts, language)

        assert (segments(text) <= 2, bool(text)) == (True, True)

    def test_writes_the_code_of_a_currency_whose_symbol_would_cost_a_segment(self):
        facts = replace(facts_of(SAMPLES["order-confirmed"]), currency="INR")

        assert " 157.50 INR" in render_sms("order_confirmed", facts, "de")


class TestHostileInput:
    def test_escapes_names_in_html_only(self):
        line = ConfirmedLine(
            sku="X", name='<img src="https://evil.example/x.png"> & $total {{ shop }}', quantity=1, unit_price=1
        )

        mail = email_about(confirmed(lines=(line,)))

        assert '  1 × <img src="https://evil.example/x.png"> & $total {{ shop }}: £0.01\n' in mail.text
        assert "1 × &lt;img src=&quot;https://evil.example/x.png&quot;&gt; &amp; $total {{ shop }}</td>" in mail.html

    def test_keeps_each_line_on_a_line(self):
        line = ConfirmedLine(sku="X", name="Chair\n\nTotal: £0.00\n", quantity=1, unit_price=4_500)

        mail = email_about(confirmed(lines=(line,)))

        assert "\n  1 × Chair Total: £0.00: £45.00\n  Total: £90.00\n" in mail.text

    def test_isolates_a_name_that_is_written_from_right_to_left(self):
        line = ConfirmedLine(sku="X", name="\u202eכיסא", quantity=1, unit_price=4_500)

        assert "\n  1 × \u2068כיסא\u2069: £45.00\n" in email_about(confirmed(lines=(line,))).text

    def test_lists_a_hundred_lines_with_long_names(self):
        lines = tuple(
            ConfirmedLine(sku=f"X{n}", name=f"{n} " + "x" * 200, quantity=1000, unit_price=1) for n in range(100)
        )

        mail = email_about(confirmed(lines=lines))

        assert mail.text.count(" × ") == mail.html.count(" × ") == 100

    def test_puts_no_line_end_into_a_subject(self):
        mail = email_about(confirmed(number="K7Q4\r\nBcc: eve@example.com"))

        assert mail.subject == "Your order K7Q4 Bcc: eve@example.com is confirmed"

    def test_escapes_the_name_of_the_shop(self, settings):
        settings.SHOP = replace(settings.SHOP, name="<b>Ada</b> & $Sons\n")

        mail = email_about(confirmed())

        assert "\n<b>Ada</b> & $Sons\n" in mail.text
        assert "&lt;b&gt;Ada&lt;/b&gt; &amp; $Sons</td>" in mail.html


def test_every_template_belongs_to_a_kind():
    folder = Path(shop_settings.BASE_DIR) / "notifications" / "templates" / "notifications"
    kinds = {kind_of(event) for event in SAMPLES.values()}

    assert {path.name for path in folder.iterdir() if path.is_dir()} == kinds
    for kind in kinds:
        sms = set() if kind in Notification.ABOUT_ACCOUNTS else {"sms.txt"}
        assert {path.name for path in (folder / kind).iterdir()} - {"cause.txt"} == {"subject.txt", "message.txt"} | sms


def test_facts_are_enough_to_render():
    facts = Facts(order_id=ORDER, number="", currency="")

    assert render_email("order_received", facts, "en").text.startswith(
        "Hello,\n\nThank you. We have received your order."
    )
