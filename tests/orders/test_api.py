from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from messaging.models import Delivery, OutboxMessage
from orders import placing, services
from orders.drafts import Draft, DraftLine
from orders.models import HistoryEntry, Order, OrderLine, Product, StoredResponse
from tests.factories import api_of, make_customer, make_product, place_order
from tests.outbox import announced, counting_statements

pytestmark = pytest.mark.django_db

ORDERS = "/api/v1/orders/"
STORED = (Order, OrderLine, HistoryEntry, StoredResponse, OutboxMessage, Delivery)


@pytest.fixture(autouse=True)
def _offered():
    make_product(sku="RED-CHAIR", price=4_500)


def wish(**changes: object) -> dict[str, object]:
    lines = [{"sku": "RED-CHAIR", "quantity": 2}]
    return {"lines": lines, "payment_method": "tok_visa", "expected_total": 9_000} | changes


def post(api: APIClient, wish: dict[str, object], *, key: str = "basket-1", **headers: str) -> Any:
    return api.post(ORDERS, wish, format="json", headers={"Idempotency-Key": key} | headers)


def problem_of(answer: Any) -> tuple[str, list[dict[str, str]]]:
    """
    Read an error's code and the fields at fault.
    """
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json()["code"], answer.json().get("errors", [])


def nothing_happened() -> bool:
    return not any(model.objects.exists() for model in STORED)


class TestPlace:
    def test_takes_an_order(self, api):
        answer = post(api, wish(phone="+441134960000", note="Ring twice"))

        order = Order.objects.get()
        placed_at = order.placed_at.isoformat().replace("+00:00", "Z")
        assert answer.status_code == 201
        assert answer.json() == {
            "url": f"http://testserver{ORDERS}{order.pk}/",
            "id": str(order.pk),
            "status": "placed",
            "is_open": True,
            "cancel_reason": "",
            "currency": "GBP",
            "total": 9_000,
            "refunded": 0,
            "email": "ada@example.com",
            "phone": "+441134960000",
            "note": "Ring twice",
            "placed_at": placed_at,
            "lines": [{"sku": "RED-CHAIR", "name": "Red chair", "quantity": 2, "unit_price": 4_500}],
            "history": [{"status": "placed", "at": placed_at}],
        }
        assert answer.headers["Location"] == answer.json()["url"]
        assert api.get(answer.headers["Location"]).json() == answer.json()
        assert announced() == {"orders.order_placed": 1}

    @pytest.mark.parametrize(
        ("told", "written_to"),
        [({}, "ada@example.com"), ({"email": ""}, "ada@example.com"), ({"email": "o@example.com"}, "o@example.com")],
    )
    def test_writes_to_the_accounts_address_unless_told_another(self, api, told, written_to):
        post(api, wish(**told))

        assert Order.objects.get().email == written_to

    def test_keeps_the_trace_of_the_request(self, api):
        traceparent = f"00-{'a' * 32}-{'b' * 16}-01"

        post(api, wish(), traceparent=traceparent)

        assert OutboxMessage.objects.get().traceparent == traceparent

    def test_refuses_a_price_that_has_changed(self, api):
        Product.objects.update(price=4_600)

        answer = post(api, wish())

        assert answer.status_code == 409
        assert problem_of(answer) == (
            "price_changed",
            [
                {
                    "code": "price_changed",
                    "detail": "The order costs 9200, not 9000: look at the prices and order again.",
                    "pointer": "#/expected_total",
                }
            ],
        )
        assert nothing_happened()

    def test_takes_no_more_than_so_many_open_orders(self, api, settings):
        settings.ORDERS = replace(settings.ORDERS, max_open_orders=2)
        first, second, third = (post(api, wish(), key=f"basket-{number}") for number in range(3))
        assert (first.status_code, second.status_code, third.status_code) == (201, 201, 409)
        assert problem_of(third) == ("too_many_open_orders", [])
        assert Order.objects.count() == 2

        api.post(first.json()["url"] + "cancel/")

        assert post(api, wish(), key="basket-2").status_code == 201


class TestRepeat:
    def test_is_answered_what_the_first_request_was_byte_for_byte(self, api):
        once = post(api, wish())
        Order.objects.update(status="confirmed")
        Product.objects.update(price=1, active=False)
        get_user_model().objects.update(email="moved@example.com")

        again = post(api, wish())

        assert (once.status_code, again.status_code) == (201, 201)
        assert again.content == once.content
        assert (once.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
        assert again.headers["Location"] == once.headers["Location"]
        assert Order.objects.count() == 1

    def test_may_write_the_key_as_a_structured_field(self, api):
        once, again = post(api, wish(), key="basket-1"), post(api, wish(), key='"basket-1"')

        assert again.content == once.content

    def test_is_refused_with_another_body(self, api):
        post(api, wish())

        other = wish(lines=[{"sku": "RED-CHAIR", "quantity": 1}], expected_total=4_500)
        answer = post(api, other)

        assert answer.status_code == 422
        assert problem_of(answer) == ("idempotency_key_reused", [])
        assert Order.objects.get().total == 9_000

    def test_is_a_new_request_when_the_first_was_refused(self, api):
        assert post(api, wish(expected_total=1)).status_code == 409

        assert post(api, wish()).status_code == 201

    def test_of_an_order_that_came_by_a_feed_is_answered_with_it(self, api):
        draft = Draft(
            customer_id=make_customer().pk,
            lines=[DraftLine(sku="RED-CHAIR", quantity=2)],
            payment_method="tok_visa",
            expected_total=9_000,
            idempotency_key="basket-1",
        )
        ((placement),) = placing.place_orders([draft], now=timezone.now())

        assert post(api, wish()).json()["id"] == str(placement.order.pk)

    @pytest.mark.parametrize("key", ["", '""', "k" * 256, "zwölf", "two words", "\x00", "tab\t", "two,keys", 'a"b'])
    def test_needs_a_key_and_not(self, api, key):
        answer = post(api, wish(), key=key)

        assert answer.status_code == 400
        (fault,) = answer.json()["errors"]
        assert (fault["code"], fault["header"]) == ("idempotency_key_invalid", "Idempotency-Key")
        assert nothing_happened()

    def test_needs_a_key(self, api):
        answer = api.post(ORDERS, wish(), format="json")

        assert answer.status_code == 400
        assert problem_of(answer)[0] == "idempotency_key_missing"
        assert nothing_happened()


class TestWhoAsks:
    @pytest.mark.parametrize(
        "authorization", [None, "Token", "Token wrong", "Token a b", "Token \xe9", "Token \0", "Bearer x"]
    )
    def test_must_send_a_token(self, authorization):
        stranger = APIClient(raise_request_exception=False)
        headers = {"Authorization": authorization} if authorization else {}

        answer = stranger.post(ORDERS, wish(), format="json", headers=headers | {"Idempotency-Key": "basket-1"})

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Token"
        assert nothing_happened()

    def test_must_send_a_csrf_token_with_a_session(self):
        browser = APIClient(enforce_csrf_checks=True)
        browser.force_login(make_customer())

        refused = post(browser, wish())
        browser.cookies[django_settings.CSRF_COOKIE_NAME] = "c" * 32
        taken = post(browser, wish(), **{"X-CSRFToken": "c" * 32})

        assert (refused.status_code, taken.status_code) == (403, 201)
        assert problem_of(refused) == ("csrf_failed", [])

    def test_sees_own_orders_only(self, api):
        of_ada = place_order()
        of_bob = place_order(customer_id=make_customer(username="bob").pk)

        listed = [order["id"] for order in api.get(ORDERS).json()["results"]]

        assert listed == [str(of_ada.pk)]
        assert api.get(f"{ORDERS}{of_bob.pk}/").status_code == 404

    @pytest.mark.parametrize(
        "name", ["{other}", "{unknown}", "1", "null", "%00", "..%2f", "9" * 20, "{other}x", "' OR 1=1"]
    )
    @pytest.mark.parametrize("door", ["{name}/", "{name}/cancel/"])
    def test_finds_nothing_under_another_name(self, api, name, door):
        of_bob = place_order(customer_id=make_customer(username="bob").pk)
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

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status=cancelled", ["cancelled"]),
            ("status=placed", ["placed"]),
            ("placed_after=2026-11-24T00:00:00Z", []),
            ("placed_after=2026-11-23T13:00:00%2B01:00", ["cancelled", "placed"]),
            ("placed_before=2026-11-23T12:00:00Z", []),
            ("placed_before=2026-11-24T00:00:00-23:59", ["cancelled", "placed"]),
        ],
    )
    def test_is_filtered(self, api, query, found):
        place_order()
        services.cancel_order(str(place_order().pk), reason="by_customer", now=timezone.now())
        Order.objects.update(placed_at=datetime(2026, 11, 23, 12, tzinfo=UTC))

        assert [order["status"] for order in api.get(f"{ORDERS}?{query}").json()["results"]] == found

    @pytest.mark.parametrize(
        "query",
        [
            "status=lost",
            "placed_after=yesterday",
            "placed_after=0001-01-01T00:00:00%2B14:00",
            "placed_before=9999-12-31T23:59:59-14:00",
            "placed_before=%00",
        ],
    )
    def test_is_not_filtered_by(self, api, query):
        answer = api.get(f"{ORDERS}?{query}")

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]

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
        answer = api.get(f"{ORDERS}?cursor={cursor}")

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["parameter"] == "cursor"

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
        assert problem_of(answer) == ("invalid_state", [])
        assert answer.json()["detail"] == "Nothing was cancelled: this order is already confirmed."

    def test_may_be_asked_twice(self, api):
        order = place_order()

        once, again = (api.post(f"{ORDERS}{order.pk}/cancel/") for _ in range(2))

        assert (once.status_code, again.status_code) == (200, 200)
        assert again.json() == once.json()
        assert announced()["orders.order_cancelled"] == 1

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


class TestProducts:
    @pytest.fixture(autouse=True)
    def _more_products(self):
        make_product(sku="OAK-TABLE", price=24_900, sold_out=False)
        make_product(sku="LAMP-1.5", name="Reading lamp", price=3_250, sold_out=False)
        make_product(sku="OLD-STOOL", active=False)

    def test_are_shown_to_everybody(self):
        answer = APIClient().get("/api/v1/products/")

        assert answer.status_code == 200
        assert [product["sku"] for product in answer.json()["results"]] == ["LAMP-1.5", "OAK-TABLE", "RED-CHAIR"]
        assert answer.json()["results"][0] == {
            "url": "http://testserver/api/v1/products/LAMP-1.5/",
            "sku": "LAMP-1.5",
            "name": "Reading lamp",
            "price": 3_250,
            "currency": "GBP",
            "sold_out": False,
        }

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("search=lamp", ["LAMP-1.5"]),
            ("search=oak", ["OAK-TABLE"]),
            ("search=%25", []),
            ("sold_out=true", ["RED-CHAIR"]),
            ("sold_out=false", ["LAMP-1.5", "OAK-TABLE"]),
            ("sold_out=false&search=table", ["OAK-TABLE"]),
        ],
    )
    def test_are_found(self, api, query, found):
        results = api.get(f"/api/v1/products/?{query}").json()["results"]

        assert [product["sku"] for product in results] == found

    @pytest.mark.parametrize("query", ["sold_out=maybe", "search=" + "x" * 101, "search=%00"])
    def test_are_not_looked_for_by(self, api, query):
        answer = api.get(f"/api/v1/products/?{query}")

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]

    def test_lead_to_each_one(self, api):
        for product in api.get("/api/v1/products/").json()["results"]:
            assert api.get(product["url"]).json() == product

    @pytest.mark.parametrize("sku", ["OLD-STOOL", "GREEN-CHAIR", "red-chair"])
    def test_are_not_to_be_seen_when_not_offered(self, api, sku):
        assert api.get(f"/api/v1/products/{sku}/").status_code == 404

    def test_withdrawn_are_not_sold(self, api):
        answer = post(api, wish(lines=[{"sku": "OLD-STOOL", "quantity": 1}]))

        assert answer.status_code == 400
        assert problem_of(answer)[1] == [
            {"code": "sku_not_available", "detail": "'OLD-STOOL' is no longer sold.", "pointer": "#/lines/0/sku"}
        ]


class TestQuote:
    def test_tells_what_a_basket_costs(self, api):
        make_product(sku="OAK-TABLE", price=24_900)

        answer = api.get("/api/v1/quote/?quantity[RED-CHAIR]=2&quantity[OAK-TABLE]=1&quantity[LAMP]=")

        assert answer.status_code == 200
        assert answer.json() == {
            "lines": [
                {"sku": "RED-CHAIR", "name": "Red chair", "quantity": 2, "unit_price": 4_500},
                {"sku": "OAK-TABLE", "name": "Oak table", "quantity": 1, "unit_price": 24_900},
            ],
            "total": 33_900,
            "currency": "GBP",
        }
        assert nothing_happened()

    @pytest.mark.parametrize(
        ("query", "code", "parameter"),
        [
            ("", "empty_order", "quantity"),
            ("quantity[RED-CHAIR]=", "empty_order", "quantity"),
            ("quantity[RED-CHAIR]=two", "invalid_quantity", "quantity[RED-CHAIR]"),
            ("quantity[RED-CHAIR]=-1", "invalid_quantity", "quantity[RED-CHAIR]"),
            ("quantity[RED-CHAIR]=1.0", "invalid_quantity", "quantity[RED-CHAIR]"),
            ("quantity[RED-CHAIR]=1001", "quantity_too_large", "quantity[RED-CHAIR]"),
            ("quantity[GREEN-CHAIR]=1", "unknown_sku", "quantity[GREEN-CHAIR]"),
            ("quantity[%00]=1", "invalid_sku", "quantity[\x00]"),
        ],
    )
    def test_refuses(self, api, query, code, parameter):
        answer = api.get(f"/api/v1/quote/?{query}")

        assert answer.status_code == 400
        (fault,) = answer.json()["errors"]
        assert (fault["code"], fault["parameter"]) == (code, parameter)


def submit(caller: Client, address: str, form: dict[str, str]) -> Any:
    return caller.post(address, urlencode(form), content_type="application/x-www-form-urlencoded")


class TestForm:
    """
    A browser's form, from the page of a quote.
    """

    FORM: ClassVar = {
        "quantity[RED-CHAIR]": "2",
        "expected_total": "9000",
        "payment_method": "tok_visa",
        "email": "",
        "phone": "",
        "note": "",
        "idempotency_key": "basket-1",
    }

    @pytest.fixture
    def browser(self) -> Client:
        browser = Client(headers={"Accept": "text/html"})
        browser.force_login(make_customer())
        return browser

    def test_places_an_order_and_leads_to_it(self, browser):
        answer = submit(browser, ORDERS, self.FORM)

        order = Order.objects.get()
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"http://testserver{ORDERS}{order.pk}/"
        assert list(order.lines.values_list("sku", "quantity")) == [("RED-CHAIR", 2)]
        assert order.email == "ada@example.com"

    def test_sent_twice_places_one_order(self, browser):
        once, again = (submit(browser, ORDERS, self.FORM) for _ in range(2))

        assert again.headers["Location"] == once.headers["Location"]
        assert Order.objects.count() == 1

    def test_is_read_from_nobody_but_a_person(self, api):
        answer = submit(api, ORDERS, self.FORM)

        assert answer.status_code == 415
        assert nothing_happened()

    def test_cancels_and_leads_back(self, browser):
        order = place_order()

        answer = submit(browser, f"{ORDERS}{order.pk}/cancel/", {"csrfmiddlewaretoken": "any"})

        assert answer.status_code == 303, answer.content.decode()
        assert answer.headers["Location"] == f"http://testserver{ORDERS}{order.pk}/"
        assert Order.objects.get().cancel_reason == "by_customer"
