from base64 import b64encode
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from rest_framework.test import APIClient

from messaging.models import Delivery, OutboxMessage
from orders.models import HistoryEntry, Order, OrderLine, Product
from tests.factories import CustomerFactory, ProductFactory, api_of, place_order
from tests.outbox import announced, counting_statements

pytestmark = pytest.mark.django_db

ORDERS = "/api/v1/orders/"


@pytest.fixture(autouse=True)
def _offered():
    ProductFactory(sku="RED-CHAIR", price=4_500)


def wish(**changes: object) -> dict[str, object]:
    lines = [{"sku": "RED-CHAIR", "quantity": 2}]
    return {"lines": lines, "payment_method": "tok_visa", "expected_total": 9_000} | changes


def nothing_happened() -> bool:
    return not any(model.objects.exists() for model in (Order, OrderLine, HistoryEntry, OutboxMessage, Delivery))


class TestPlace:
    def test_takes_an_order(self, api):
        answer = api.post(ORDERS, wish(), format="json")

        order = Order.objects.get()
        placed_at = order.placed_at.isoformat().replace("+00:00", "Z")
        assert answer.status_code == 201
        assert answer.json() == {
            "url": f"http://testserver{ORDERS}{order.pk}/",
            "id": str(order.pk),
            "status": "placed",
            "cancel_reason": "",
            "currency": "GBP",
            "total": 9_000,
            "refunded": 0,
            "placed_at": placed_at,
            "lines": [{"sku": "RED-CHAIR", "name": "Red chair", "quantity": 2, "unit_price": 4_500}],
            "history": [{"status": "placed", "at": placed_at}],
        }
        assert announced() == {"orders.order_placed": 1}

    @pytest.mark.parametrize(
        ("told", "written_to"),
        [({}, "ada@example.com"), ({"email": ""}, "ada@example.com"), ({"email": "o@example.com"}, "o@example.com")],
    )
    def test_writes_to_the_accounts_address_unless_told_another(self, api, told, written_to):
        api.post(ORDERS, wish(**told), format="json")

        assert Order.objects.get().email == written_to

    def test_keeps_the_trace_of_the_request(self, api):
        traceparent = f"00-{'a' * 32}-{'b' * 16}-01"

        api.post(ORDERS, wish(), format="json", headers={"traceparent": traceparent})

        assert OutboxMessage.objects.get().traceparent == traceparent

    def test_answers_a_repeated_request_with_the_same_order(self, api):
        once = api.post(ORDERS, wish(), format="json", headers={"Idempotency-Key": "basket-1"})

        again = api.post(ORDERS, wish(), format="json", headers={"Idempotency-Key": "basket-1"})

        assert (once.status_code, again.status_code) == (201, 200)
        assert again.content == once.content
        assert Order.objects.count() == 1

    def test_refuses_a_used_key_for_another_order(self, api):
        api.post(ORDERS, wish(), format="json", headers={"Idempotency-Key": "basket-1"})

        other = wish(lines=[{"sku": "RED-CHAIR", "quantity": 1}], expected_total=4_500)
        answer = api.post(ORDERS, other, format="json", headers={"Idempotency-Key": "basket-1"})

        assert answer.status_code == 422
        assert answer.json() == {"detail": "This idempotency key was used for a different order: send a new key."}
        assert Order.objects.get().total == 9_000

    @pytest.mark.parametrize("key", ["", "k" * 256, "zwölf", "two words", "\x00", "tab\t"])
    def test_refuses_a_key_that_is(self, api, key):
        answer = api.post(ORDERS, wish(), format="json", headers={"Idempotency-Key": key})

        assert answer.status_code == 400
        assert answer.json() == {"Idempotency-Key": ["Send 1 to 255 visible ASCII characters, or no key."]}
        assert nothing_happened()

    def test_refuses_a_price_that_has_changed(self, api):
        Product.objects.update(price=4_600)

        answer = api.post(ORDERS, wish(), format="json")

        assert answer.status_code == 409
        assert answer.json()["problems"] == [
            {
                "code": "price_changed",
                "field": "expected_total",
                "detail": "The order costs 9200, not 9000: look at the prices and order again.",
            }
        ]
        assert nothing_happened()


class TestWhoAsks:
    @pytest.mark.parametrize(
        "authorization", [None, "Token", "Token wrong", "Token a b", "Token \xe9", "Token \0", "Bearer x"]
    )
    def test_must_send_a_token(self, authorization):
        stranger = APIClient(raise_request_exception=False)
        headers = {"Authorization": authorization} if authorization else {}

        answer = stranger.post(ORDERS, wish(), format="json", headers=headers)

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Token"
        assert nothing_happened()

    def test_must_send_a_csrf_token_with_a_session(self):
        browser = APIClient(enforce_csrf_checks=True)
        browser.force_login(CustomerFactory())

        refused = browser.post(ORDERS, wish(), format="json")
        browser.cookies[django_settings.CSRF_COOKIE_NAME] = "c" * 32
        taken = browser.post(ORDERS, wish(), format="json", headers={"X-CSRFToken": "c" * 32})

        assert (refused.status_code, taken.status_code) == (403, 201)

    def test_sees_own_orders_only(self, api):
        of_ada = place_order()
        of_bob = place_order(customer_id=CustomerFactory(username="bob").pk)

        listed = [order["id"] for order in api.get(ORDERS).json()["results"]]

        assert listed == [str(of_ada.pk)]
        assert api.get(f"{ORDERS}{of_bob.pk}/").status_code == 404

    @pytest.mark.parametrize(
        "name", ["{other}", "{unknown}", "1", "null", "%00", "..%2f", "9" * 20, "{other}x", "' OR 1=1"]
    )
    @pytest.mark.parametrize("door", ["{name}/", "{name}/cancel/"])
    def test_finds_nothing_under_another_name(self, api, name, door):
        of_bob = place_order(customer_id=CustomerFactory(username="bob").pk)
        address = ORDERS + door.format(name=name.format(other=of_bob.pk, unknown=uuid4()))

        answer = api.post(address) if "cancel" in door else api.get(address)

        assert answer.status_code == 404
        assert Order.objects.get().status == "placed"


class TestList:
    def test_pages_from_the_newest_without_counting(self, api):
        orders = [str(place_order().pk) for _ in range(53)]

        with counting_statements() as statements:
            first = api.get(ORDERS).json()
        second = api.get(first["next"]).json()

        assert [order["id"] for order in first["results"] + second["results"]] == orders[::-1]
        assert (first["previous"], second["next"]) == (None, None)
        assert api.get(second["previous"]).json()["results"] == first["results"]
        assert not any("COUNT" in statement["sql"] for statement in statements)

    def test_costs_as_many_statements_for_fifty_orders_as_for_one(self, api):
        place_order()
        with counting_statements() as for_one:
            api.get(ORDERS)
        for _ in range(49):
            place_order()

        with counting_statements() as for_fifty:
            api.get(ORDERS)

        assert len(for_fifty) == len(for_one)

    def test_leads_to_each_order(self, api):
        order = place_order()

        (listed,) = api.get(ORDERS).json()["results"]

        assert api.get(listed["url"]).json()["id"] == str(order.pk)

    @pytest.mark.parametrize(
        "cursor", ["x", "é", b64encode(b"p=1").decode(), b64encode(b"p=\x00").decode(), b64encode(b"o=-1").decode()]
    )
    def test_knows_no_page_that_it_did_not_name(self, api, cursor):
        assert api.get(f"{ORDERS}?cursor={cursor}").status_code == 404

    @pytest.mark.parametrize("method", ["put", "patch", "delete"])
    def test_is_not_to_be_written(self, api, method):
        assert getattr(api, method)(ORDERS).status_code == 405


class TestCancel:
    def test_cancels_an_order_that_is_not_final(self, api):
        order = place_order()

        answer = api.post(f"{ORDERS}{order.pk}/cancel/")

        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["cancel_reason"]) == ("cancelled", "by_customer")
        assert [step["status"] for step in answer.json()["history"]] == ["placed", "cancelled"]

    def test_refuses_when_the_order_is_final(self, api):
        order = place_order()
        Order.objects.update(status="confirmed")

        answer = api.post(f"{ORDERS}{order.pk}/cancel/")

        assert answer.status_code == 409
        assert answer.json() == {"detail": "Nothing was cancelled: this order is already confirmed."}

    def test_asks_people_for_nothing(self, api):
        order = place_order()

        page = api.get(f"{ORDERS}{order.pk}/cancel/", headers={"Accept": "text/html"}).content.decode()

        assert 'name="status"' not in page
        assert "cancel_reason" not in page

    def test_is_no_link_to_follow(self, api):
        order = place_order()

        assert api.get(f"{ORDERS}{order.pk}/cancel/").status_code == 405
        assert Order.objects.get().status == "placed"

    def test_leaves_the_orders_of_others_alone(self):
        order = place_order()

        assert api_of("bob").post(f"{ORDERS}{order.pk}/cancel/").status_code == 404
        assert Order.objects.get().status == "placed"
