"""The admin pages for dead letters, and for the pause of a subscriber."""

import re
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone

from messaging.contracts import OrderConfirmed, ProductAdded
from messaging.kernel.links import link_to
from messaging.models import DeadLetterGroup, Delivery, OperatorPause, Resolution
from messaging.pauses import pause
from messaging.subscribers import Permanent
from tests.messaging.products import added, announce, statuses
from tests.operators import operator_who_may, page
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

GROUPS = "/admin/messaging/delivery/groups/"
REPLAY, DISCARD = "/admin/messaging/delivery/replay/", "/admin/messaging/delivery/discard/"
PAUSE = "/admin/messaging/delivery/pause/"
ORDER_ID = "0d5fd0f4-4c3b-4b5e-9a53-0b6f0ad6a4b7"


def group_of(key: str) -> dict[str, str]:
    """Return the group of a dead letter, as in the query of a page."""
    letter = Delivery.objects.get(key=key)
    return {"subscriber": letter.subscriber, "error": letter.error_class, "fingerprint": letter.fingerprint}


def group_page(key: str) -> str:
    return f"{GROUPS}group/?{urlencode(group_of(key))}"


def exact(key: str) -> dict[str, str]:
    return {**group_of(key), "exact": "on"}


def links_in(content: str, text: str) -> list[str]:
    """Return where the links with this text lead."""
    return [url.replace("&amp;", "&") for url in re.findall(rf'<a [^>]*?href="([^"]+)"[^>]*>{text}<', content)]


def numbers_in(content: str) -> dict[str, str]:
    """Return the rows of a result."""
    return dict(re.findall(r'<tr><th scope="row">([^<]+)</th><td>(.*?)</td></tr>', content))


@pytest.fixture
def client():
    return operator_who_may("messaging.view_delivery", "messaging.change_delivery")


@pytest.fixture
def viewer():
    return operator_who_may("messaging.view_delivery")


class TestStory:
    def test_a_group_is_replayed_and_seen_delivered_in_three_clicks(self, admin_client, subscribe, relay):
        paint: list[str] = []

        @subscribe(ProductAdded)
        def painter(events):
            if not paint:
                raise Permanent("no paint left")

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.drain()
        paint.append("red")

        index = admin_client.get("/admin/").content.decode()
        letters, *_ = links_in(index, "Dead letters")
        [rehearsal] = links_in(admin_client.get(letters).content.decode(), "Replay…")  # 1
        content = admin_client.get(rehearsal).content.decode()  # 2
        assert ">Replay 2 dead letters</button>" in content
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', content))
        result = admin_client.post(REPLAY, form, follow=True)  # 3

        assert numbers_in(result.content.decode())["Still waiting"] == "2"
        assert '<meta http-equiv="refresh" content="2">' in result.content.decode()
        assert "No worker runs" in result.content.decode()
        relay.drain()
        refreshed = admin_client.get(result.redirect_chain[-1][0]).content.decode()
        assert numbers_in(refreshed) == {"Replayed": "2", "Delivered": "2", "Died again": "0", "Still waiting": "0"}
        assert "http-equiv" not in refreshed


class TestGroups:
    def test_are_listed_with_count_times_and_assignee(self, viewer, dead_letters):
        olga = get_user_model().objects.get(username="olga")
        letter = Delivery.objects.get(key="RED-CHAIR")
        about = {"subscriber": letter.subscriber, "error_class": "Permanent", "fingerprint": letter.fingerprint}
        DeadLetterGroup.objects.create(**about, assignee=olga)

        content = viewer.get(GROUPS).content.decode()

        rows = re.findall(r'scope="row"><a [^>]*>([^<]+)</a></th>(.*?)</tr>', content, re.DOTALL)
        cells = {name: re.findall("<td>(.*?)</td>", row) for name, row in rows}
        assert cells["tests.paint: Permanent"][0] == "2"
        assert cells["tests.paint: Permanent"][3] == "olga"
        assert cells["tests.call_supplier: ZeroDivisionError"][0] == "1"
        assert "Replay…" not in content

    def test_say_that_there_are_none(self, client):
        assert "There are no dead letters." in client.get(GROUPS).content.decode()

    def test_take_a_constant_number_of_statements(self, client, dead_letters):
        client.get(GROUPS)
        with counting_statements() as for_two:
            client.get(GROUPS)
        for number in range(30):
            Delivery.objects.filter(key="RED-CHAIR").update(fingerprint=f"{number}")
            announce(added(f"CHAIR-{number}"))
            Delivery.objects.filter(key=f"CHAIR-{number}").update(status="dead", error_class=f"Error{number}")
        with counting_statements() as for_many:
            client.get(GROUPS)

        assert len(for_many) == len(for_two) <= 20

    def test_need_the_permission_to_view_deliveries(self):
        client = operator_who_may("messaging.view_worker")

        assert [client.get(url).status_code for url in (GROUPS, f"{GROUPS}group/", REPLAY, DISCARD)] == [403] * 4


class TestGroup:
    def test_shows_an_example_its_traceback_and_advice(self, client, dead_letters):
        content = client.get(group_page("RED-CHAIR")).content.decode()

        assert "Dead letters: 2." in content
        assert "&quot;sku&quot;: &quot;RED-CHAIR&quot;" in content
        assert "Permanent: no paint left" in content
        assert "docs/how-to/operations.md" in content
        assert page(Delivery, "change", dead_letters["BLUE-CHAIR"]) in content

    def test_links_to_the_orders_and_hides_contact_data(self, viewer, subscribe, relay):
        @subscribe(OrderConfirmed)
        def send(events):
            raise Permanent("no mail")

        announce(
            OrderConfirmed(
                order_id=ORDER_ID, number="K7Q4-M2X0", total=1, currency="GBP", email="ada@example.com", lines=()
            )
        )
        relay.drain()

        content = viewer.get(group_page(ORDER_ID)).content.decode()

        assert link_to("admin: order", ORDER_ID, "K7Q4-M2X0") in content
        assert "ada@example.com" not in content
        assert "(hidden)" in content
        seer = get_user_model().objects.create_superuser("sue")
        viewer.force_login(seer)
        assert "ada@example.com" in viewer.get(group_page(ORDER_ID)).content.decode()

    def test_keeps_notes_and_an_assignee(self, client, dead_letters):
        olga = get_user_model().objects.get(username="olga")
        url = group_page("RED-CHAIR")

        client.post(url, {"action": "note", "note": "Ordered paint; ada@example.com knows."})
        client.post(url, {"action": "assign", "assignee": olga.pk})
        content = client.get(url).content.decode()

        assert "Note: Ordered paint; (address) knows." in content
        assert "Assigned to: olga." in content
        assert list(LogEntry.objects.order_by("pk").values_list("user__username", "change_message")) == [
            ("olga", "Note: Ordered paint; (address) knows."),
            ("olga", "Assigned to olga."),
        ]
        client.post(url, {"action": "assign", "assignee": ""})
        assert DeadLetterGroup.objects.get().assignee is None

    @pytest.mark.parametrize(
        "form",
        [{"action": "note", "note": " "}, {"action": "note", "note": "\0"}, {"action": "assign", "assignee": "x"}, {}],
    )
    def test_rejects_an_invalid_form(self, client, dead_letters, form):
        assert client.post(group_page("RED-CHAIR"), form).status_code == 200
        assert not LogEntry.objects.exists()

    def test_needs_the_permission_to_change_for_notes(self, viewer, dead_letters):
        url = group_page("RED-CHAIR")

        assert viewer.post(url, {"action": "note", "note": "Ordered paint."}).status_code == 403
        assert "Add note" not in viewer.get(url).content.decode()

    @pytest.mark.parametrize("query", ["", "?subscriber=x", "?subscriber=%00", f"?subscriber={'x' * 101}"])
    def test_is_not_found_if_there_is_none(self, client, dead_letters, query):
        assert client.get(f"{GROUPS}group/{query}").status_code == 404
        assert client.post(f"{GROUPS}group/{query}", {"action": "note", "note": "x"}).status_code == 404

    def test_stays_when_its_dead_letters_are_replayed(self, client, dead_letters):
        url = group_page("RED-CHAIR")

        client.post(REPLAY, exact("RED-CHAIR") | {"reason": "paint came"})
        content = client.get(url).content.decode()

        assert "No dead letter of this error is left." in content
        assert "Replayed 2 dead letters: paint came" in content

    def test_takes_few_statements(self, client, dead_letters):
        url = group_page("RED-CHAIR")
        client.get(url)

        with counting_statements() as statements:
            client.get(url)

        assert len(statements) <= 20


class TestReplay:
    def test_is_rehearsed_without_a_change(self, client, dead_letters):
        content = client.get(f"{REPLAY}?{urlencode(exact('RED-CHAIR'))}").content.decode()

        assert ">Replay 2 dead letters</button>" in content
        assert "no paint left" in content
        assert Delivery.objects.dead().count() == 3

    def test_of_a_group_leaves_others_and_logs_who_and_why(self, client, dead_letters):
        client.post(REPLAY, exact("RED-CHAIR") | {"reason": "paint came"})

        assert statuses() == {"RED-CHAIR": "pending", "BLUE-CHAIR": "pending", "OLD-TABLE": "dead"}
        assert sorted(LogEntry.objects.values_list("user__username", "change_message")) == [
            ("olga", "Replayed 2 dead letters: paint came"),
            ("olga", "Replayed as a dead letter: paint came"),
            ("olga", "Replayed as a dead letter: paint came"),
        ]
        resolution = Resolution.objects.get()
        assert (resolution.resolved_by, resolution.reason) == ("olga", "paint came")

    def test_of_a_group_without_an_error_leaves_others(self, client, dead_letters):
        Delivery.objects.filter(key="RED-CHAIR").update(error_class="", fingerprint="")

        client.post(REPLAY, exact("RED-CHAIR"))

        assert statuses() == {"RED-CHAIR": "pending", "BLUE-CHAIR": "dead", "OLD-TABLE": "dead"}

    def test_of_one_is_linked_from_its_page(self, client, dead_letters):
        content = client.get(page(Delivery, "change", dead_letters["RED-CHAIR"])).content.decode()
        [rehearsal] = links_in(content, "Replay…")

        assert ">Replay 1 dead letter</button>" in client.get(rehearsal).content.decode()
        client.post(REPLAY, {"id": dead_letters["RED-CHAIR"]})

        assert statuses()["RED-CHAIR"] == "pending"
        assert (
            links_in(client.get(page(Delivery, "change", dead_letters["RED-CHAIR"])).content.decode(), "Replay…") == []
        )

    @pytest.mark.parametrize(
        ("filters", "number"),
        [
            ({"subscriber": "tests.call_supplier"}, 1),
            ({"event_type": "orders.product_added"}, 2),
            ({"event_type": "undecodable"}, 0),
            ({"error": "Permanent"}, 2),
            ({"since": "2020-02-29T18:30"}, 3),
            ({"since": "2999-12-31"}, 0),
            ({}, 3),
        ],
    )
    def test_takes_a_filter(self, client, dead_letters, filters, number):
        assert client.get(REPLAY, filters).context["count"] == number
        client.post(REPLAY, filters)

        assert Delivery.objects.dead().count() == 3 - number

    def test_takes_a_rate(self, client, dead_letters):
        client.post(REPLAY, exact("RED-CHAIR") | {"rate": 1})

        red, blue = Delivery.objects.filter(status="pending").order_by("pk")
        assert (blue.due_at - red.due_at).total_seconds() == 1

    @pytest.mark.parametrize(
        "form",
        [
            {"subscriber": "\0"},
            {"id": "x"},
            {"id": 10**30},
            {"since": "yesterday"},
            {"since": "0000-00-00"},
            {"since": "99999999-01-01"},
            {"rate": 0},
            {"rate": "x"},
            {"reason": "\0"},
            {"reason": "x" * 501},
            {"event_type": "orders.of_a_former_version"},
        ],
    )
    def test_changes_nothing_for_an_invalid_form(self, client, dead_letters, form):
        assert re.search('class="error(list|note)"', client.post(REPLAY, form).content.decode())
        assert client.get(REPLAY, form).status_code == 200
        assert Delivery.objects.dead().count() == 3

    @pytest.mark.parametrize("since", ["0001-01-01", "9999-12-31T23:59:59"])
    def test_takes_absurd_dates(self, client, dead_letters, since):
        assert client.get(REPLAY, {"since": since}).status_code == 200

    def test_says_that_none_is_dead_any_more(self, client, dead_letters):
        client.post(REPLAY, exact("RED-CHAIR"))
        content = client.post(REPLAY, exact("RED-CHAIR"), follow=True).content.decode()

        assert "Nothing was changed: these are no dead letters any more." in content
        assert Resolution.objects.count() == 1

    def test_lists_the_first_hundred_of_more_than_a_thousand(self, client, dead_letters):
        announce(*[added(f"CHAIR-{number}") for number in range(1_001)])
        Delivery.objects.filter(key__startswith="CHAIR-").update(status="dead", error_class="Permanent")

        with counting_statements() as statements:
            content = client.get(REPLAY).content.decode()

        assert ">Replay 1000+ dead letters</button>" in content
        assert "The first 100" in content
        assert content.count('<th scope="row"><a') == 100
        assert len(statements) <= 20

    def test_needs_the_permission_to_change(self, viewer, dead_letters):
        assert viewer.get(REPLAY).status_code == 403
        assert viewer.post(REPLAY).status_code == 403
        assert Delivery.objects.dead().count() == 3


class TestDiscard:
    def test_needs_a_reason(self, client, dead_letters):
        response = client.post(DISCARD, exact("RED-CHAIR") | {"reason": " "})

        assert "This field is required." in response.content.decode()
        assert Delivery.objects.dead().count() == 3

    def test_discards_and_shows_who_and_why(self, client, dead_letters):
        content = client.post(DISCARD, exact("RED-CHAIR") | {"reason": "painted by hand"}, follow=True).content.decode()

        assert statuses() == {"RED-CHAIR": "discarded", "BLUE-CHAIR": "discarded", "OLD-TABLE": "dead"}
        assert "Discarded: 2. They are never delivered." in content
        assert "Reason: painted by hand" in content
        delivery = client.get(page(Delivery, "change", dead_letters["RED-CHAIR"])).content.decode()
        assert "Discard of 2 by olga</a> painted by hand" in delivery
        assert "painted by hand" in client.get(GROUPS).content.decode()

    def test_needs_the_permission_to_change(self, viewer, dead_letters):
        assert viewer.post(DISCARD, {"reason": "late"}).status_code == 403
        assert Delivery.objects.dead().count() == 3


class TestResult:
    def test_tells_how_many_died_again_and_of_what(self, client, dead_letters, relay):
        content = client.post(REPLAY, exact("RED-CHAIR"), follow=True)
        relay.drain()

        content = client.get(content.redirect_chain[-1][0]).content.decode()

        assert numbers_in(content)["Died again"] == "2 (Permanent 2)"
        assert "<h2>Died again</h2>" in content

    def test_says_that_the_subscriber_is_paused(self, client, dead_letters):
        pause("tests.paint", reason="no paint", by="olga", now=timezone.now())

        content = client.post(REPLAY, exact("RED-CHAIR"), follow=True).content.decode()

        assert "tests.paint is paused by olga: no paint" in content

    def test_is_not_found_if_there_is_none(self, client):
        assert client.get(reverse("admin:messaging_resolution", args=[ORDER_ID])).status_code == 404


class TestPause:
    @pytest.fixture
    def client(self):
        rights = ("view_delivery", "add_operatorpause", "delete_operatorpause")
        return operator_who_may(*(f"messaging.{right}" for right in rights))

    def test_pauses_and_resumes_and_logs_who_and_why(self, client, paint):
        url = f"{PAUSE}?subscriber=tests.paint"
        backlog = client.get(page(Delivery) + "backlog/").content.decode()
        assert links_in(backlog, "Pause…") == [url]

        content = client.post(url, {"action": "pause", "reason": "no paint"}, follow=True).content.decode()
        assert "Paused tests.paint: no paint" in content
        assert links_in(content, "Resume…") == [url]
        assert "by olga: no paint" in content
        client.post(url, {"action": "resume"})

        assert not OperatorPause.objects.exists()
        assert list(LogEntry.objects.order_by("pk").values_list("user__username", "object_id", "change_message")) == [
            ("olga", "tests.paint", "Paused tests.paint: no paint"),
            ("olga", "tests.paint", "Resumed tests.paint."),
        ]

    def test_changes_nothing_twice(self, client, paint):
        url = f"{PAUSE}?subscriber=tests.paint"

        assert "another operator was faster" in client.post(url, {"action": "resume"}, follow=True).content.decode()
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize("form", [{"action": "pause", "reason": ""}, {"action": "pause", "reason": "\0"}, {}])
    def test_rejects_an_invalid_form(self, client, paint, form):
        assert client.post(f"{PAUSE}?subscriber=tests.paint", form).status_code == 200
        assert not OperatorPause.objects.exists()

    @pytest.mark.parametrize("query", ["", "?subscriber=painter", "?subscriber=%00"])
    def test_is_not_found_for_an_unknown_subscriber(self, client, paint, query):
        assert client.get(PAUSE + query).status_code == 404
        assert client.post(PAUSE + query, {"action": "resume"}).status_code == 404

    def test_needs_the_permission(self, viewer, paint):
        url = f"{PAUSE}?subscriber=tests.paint"

        assert viewer.post(url, {"action": "pause", "reason": "no paint"}).status_code == 403
        assert "submit-row" not in viewer.get(url).content.decode()
