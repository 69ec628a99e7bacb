import pytest

from tests.browser.demo_shop import LOGIN

OPERATOR = {"name": "olga", "password": "olga-runs-the-shop"}

pytestmark = pytest.mark.browser


def test_a_german_customer_orders_and_sees_the_confirmation(visit):
    browser = visit(language="de")

    browser.open("/api/v1/products/")
    browser.fill("Nach Name oder Nummer suchen", "red chair")
    browser.press("Suchen")
    browser.fill("Menge von Red chair", "2")
    browser.press("Bestellung prüfen")
    browser.fill("Name", LOGIN["name"])
    browser.fill("Passwort", LOGIN["password"])
    browser.press("Anmelden")
    total = browser.text
    browser.choose("Eine Karte, deren Bank langsam antwortet und sie akzeptiert")
    browser.press("Zahlungspflichtig bestellen")
    browser.wait_for_headline("Ihre Bestellung ist bestätigt")

    assert "90,00 £" in total.replace("\xa0", " ")
    assert "Zahlung eingegangen, Bestellung bestätigt" in browser.text


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_a_visitor_switches_the_language_by_keyboard_and_stays_on_the_page(visit, javascript):
    browser = visit(javascript=javascript)
    browser.open("/api/v1/products/?search=red&quantity[OAK-TABLE]=1")
    before = browser.headline, browser.address

    browser.press_by_keyboard("Deutsch")

    assert (before[0], browser.headline, browser.address) == ("Products", "Produkte", before[1])


def test_pages_are_in_the_language_of_the_account_on_another_device(visit):
    first, second = visit(), visit()
    first.log_in(**OPERATOR)
    first.press("Deutsch")

    second.log_in(**OPERATOR)
    headline = second.headline
    second.press("English")

    assert (headline, second.headline) == ("Willkommen bei The Shop", "Welcome to The Shop")
