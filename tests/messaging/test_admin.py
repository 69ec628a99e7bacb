import re
from unittest.mock import ANY

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone
from django.utils.timezone import localtime

from messaging.models import Attempt, Delivery, OutboxMessage, ReceiverState, Worker
from tests.messaging.products import added, announce, statuses
from tests.operators import act, open_every_page_of, operator_who_may, page
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db


def keys_listed(client, query: str) -> set[str]:
    return {delivery.key for delivery in client.get(page(Delivery) + query).context["cl"].result_list}


@pytest.fixture
def worker() -> Worker:
    """A worker that was killed while its receiver was connected."""
    worker = Worker.objects.create(host="shop.example", process=4711, started_at=timezone.now())
    ReceiverState.objects.create(worker=worker, status="connected", since=timezone.now(), set_size=17)
    return worker


def test_every_page_opens(admin_client, dead_letters, worker):
    assert open_every_page_of("messaging", admin_client) == {
        "OutboxMessage": 200,
        "Delivery": 200,
        "Attempt": 200,
        "Worker": 200,
        "ReceiverState": 200,
    }


@pytest.mark.parametrize("model", [OutboxMessage, Delivery, Attempt, Worker, ReceiverState])
def test_rows_are_read_only(admin_client, dead_letters, worker, model):
    row = model.objects.order_by("pk")[0]

    responses = [
        admin_client.post(page(model, "add")),
        admin_client.post(page(model, "change", row.pk), {"status": "delivered"}),
        admin_client.post(page(model, "delete", row.pk), {"post": "yes"}),
    ]

    assert [response.status_code for response in responses] == [403, 403, 403]


class TestMessages:
    def test_are_searched_by_key_or_id_and_filtered_by_type(self, admin_client, dead_letters):
        message = OutboxMessage.objects.get(key="RED-CHAIR")

        for query in ("?q=RED-CHAIR", f"?q={message.pk}", "?q=RED-CHAIR&type=orders.product_added"):
            listed = admin_client.get(page(OutboxMessage) + query).content.decode()
            assert re.findall(r'field-key">([^<]+)<', listed) == ["RED-CHAIR"]

    def test_link_to_their_deliveries(self, admin_client, dead_letters):
        message = OutboxMessage.objects.get(key="RED-CHAIR")

        content = admin_client.get(page(OutboxMessage, "change", message.pk)).content.decode()

        assert page(Delivery, "change", dead_letters["RED-CHAIR"]) in content


class TestDeliveries:
    @pytest.mark.parametrize(
        ("query", "keys"),
        [
            ("", {"RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE", "GREEN-CHAIR"}),
            ("?q=RED-CHAIR", {"RED-CHAIR"}),
            ("?q=RED", set()),
            ("?subscriber=tests.call_supplier", {"OLD-TABLE"}),
            ("?status__exact=pending", {"GREEN-CHAIR"}),
        ],
    )
    def test_are_searched_and_filtered(self, admin_client, dead_letters, query, keys):
        announce(added("GREEN-CHAIR"))

        assert keys_listed(admin_client, query) == keys

    def test_show_when_they_are_due_while_they_are_pending(self, admin_client, dead_letters):
        announce(added("GREEN-CHAIR"))
        due_at = localtime(Delivery.objects.get(key="GREEN-CHAIR").due_at)

        listed = admin_client.get(page(Delivery)).content.decode()

        assert re.findall(r'field-due">([^<]+)<', listed) == [f"{due_at:%Y-%m-%d %H:%M:%S}", "-", "-", "-"]

    def test_are_listed_by_a_constant_number_of_statements(self, admin_client, dead_letters):
        admin_client.get(page(Delivery))
        with counting_statements() as for_three:
            admin_client.get(page(Delivery))
        announce(*[added(f"CHAIR-{number}") for number in range(50)])
        with counting_statements() as for_many:
            admin_client.get(page(Delivery))

        assert len(for_many) == len(for_three)

    def test_link_to_their_message_and_show_the_tracebacks(self, admin_client, dead_letters):
        message = OutboxMessage.objects.get(key="RED-CHAIR")

        content = admin_client.get(page(Delivery, "change", dead_letters["RED-CHAIR"])).content.decode()

        assert page(OutboxMessage, "change", message.pk) in content
        assert "<pre>Traceback (most recent call last):" in content
        assert "Permanent: no paint left,\nnone at all" in content


class TestDeadLetters:
    @pytest.fixture
    def client(self):
        return operator_who_may("messaging.view_delivery", "messaging.change_delivery")

    def test_are_replayed_and_the_operator_is_logged(self, client, dead_letters):
        red = Delivery.objects.get(key="RED-CHAIR")

        content = act(client, "replay", red)

        assert "Replayed 1 dead letter." in content
        assert statuses() == {"RED-CHAIR": "pending", "BLUE-CHAIR": "dead", "OLD-TABLE": "dead"}
        assert list(LogEntry.objects.values_list("user__username", "object_id", "change_message")) == [
            ("olga", str(red.pk), "Replayed as a dead letter.")
        ]

    def test_actions_leave_other_deliveries_unchanged(self, client, dead_letters):
        announce(added("GREEN-CHAIR"))

        assert "Replayed" not in act(client, "replay", Delivery.objects.get(key="GREEN-CHAIR"))

        chosen = Delivery.objects.filter(key__in=["GREEN-CHAIR", "RED-CHAIR"])
        assert "Reason: say why they are discarded." in act(client, "discard", *chosen)
        assert statuses()["RED-CHAIR"] == "dead"

        content = act(client, "discard", *chosen, reason="painted by hand")

        assert "Discarded 1 dead letter." in content
        assert "Left unchanged, since they are not dead letters: 1." in content
        assert (statuses()["GREEN-CHAIR"], statuses()["RED-CHAIR"]) == ("pending", "discarded")
        assert LogEntry.objects.get().change_message == "Discarded as a dead letter: painted by hand"

    @pytest.mark.parametrize("action", ["replay", "discard"])
    def test_actions_need_the_permission_to_change(self, dead_letters, action):
        client = operator_who_may("messaging.view_delivery")

        act(client, action, Delivery.objects.get(key="RED-CHAIR"), reason="painted by hand")

        assert statuses()["RED-CHAIR"] == "dead"


class TestBacklog:
    URL = "/admin/messaging/delivery/backlog/"

    def test_shows_the_deliveries_of_each_subscriber_by_state(self, admin_client, dead_letters):
        announce(added("GREEN-CHAIR"))

        content = admin_client.get(self.URL).content.decode()

        shown = re.findall(r'scope="row"><a [^>]*>([^<]+)(.*?)</tr>', content, re.DOTALL)
        rows = {name: re.findall("<td>(.*?)</td>", row) for name, row in shown}
        paint = f'<a href="{page(Delivery)}?subscriber=tests.paint&amp;status__exact=dead">2</a>'
        pause = ' <a href="/admin/messaging/delivery/pause/?subscriber=tests.paint">Pause…</a>'
        assert rows["tests.paint"] == ["1", ANY, "0", "0", "0", paint, "0", pause]
        assert re.fullmatch(r"\d+ s", rows["tests.paint"][1])
        assert len(rows) == 2

    def test_is_linked_from_the_list_of_deliveries(self, admin_client):
        assert f'href="{self.URL}"' in admin_client.get(page(Delivery)).content.decode()

    def test_needs_the_permission_to_view_deliveries(self):
        assert operator_who_may("messaging.view_worker").get(self.URL).status_code == 403


class TestReceivers:
    def test_are_shown_as_dead_if_their_process_was_killed(self, admin_client, worker):
        listed = admin_client.get(page(ReceiverState)).content.decode()
        alone = admin_client.get(page(ReceiverState, "change", worker.pk)).content.decode()

        assert '<td class="field-state">dead</td>' in listed
        assert re.findall(r'<div class="readonly">(.*?)</div>', alone)[1] == "dead"

    def test_say_that_there_is_no_broker(self, admin_client):
        assert "<h2>There is no broker.</h2>" in admin_client.get(page(ReceiverState)).content.decode()

    def test_are_listed_by_a_constant_number_of_statements(self, admin_client, worker):
        admin_client.get(page(ReceiverState))
        with counting_statements() as for_one:
            admin_client.get(page(ReceiverState))
        for process in range(20):
            other = Worker.objects.create(host="shop.example", process=process, started_at=timezone.now())
            ReceiverState.objects.create(worker=other, status="connected", since=timezone.now())
        with counting_statements() as for_many:
            admin_client.get(page(ReceiverState))

        assert len(for_many) == len(for_one)
