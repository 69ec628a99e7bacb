import re

import pytest
from django.contrib.admin.models import LogEntry
from django.utils.timezone import localtime

from messaging.models import Attempt, Delivery, OutboxMessage
from tests.messaging.scenes import added, announce, statuses
from tests.operators import act, open_every_page_of, operator_who_may, page
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db


def keys_listed(client, question: str) -> set[str]:
    return {delivery.key for delivery in client.get(page(Delivery) + question).context["cl"].result_list}


def test_every_page_opens(admin_client, letters):
    assert open_every_page_of("messaging", admin_client) == {"OutboxMessage": 200, "Delivery": 200, "Attempt": 200}


@pytest.mark.parametrize("model", [OutboxMessage, Delivery, Attempt])
def test_nobody_edits_by_hand(admin_client, letters, model):
    row = model.objects.order_by("pk")[0]

    answers = [
        admin_client.post(page(model, "add")),
        admin_client.post(page(model, "change", row.pk), {"status": "delivered"}),
        admin_client.post(page(model, "delete", row.pk), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


class TestMessages:
    def test_are_found_by_their_key_or_id_and_narrowed_by_type(self, admin_client, letters):
        message = OutboxMessage.objects.get(key="RED-CHAIR")

        for question in ("?q=RED-CHAIR", f"?q={message.pk}", "?q=RED-CHAIR&type=orders.product_added"):
            listed = admin_client.get(page(OutboxMessage) + question).content.decode()
            assert re.findall(r'field-key">([^<]+)<', listed) == ["RED-CHAIR"]

    def test_show_what_became_of_their_deliveries(self, admin_client, letters):
        message = OutboxMessage.objects.get(key="RED-CHAIR")

        shown = admin_client.get(page(OutboxMessage, "change", message.pk)).content.decode()

        assert page(Delivery, "change", letters["RED-CHAIR"]) in shown


class TestDeliveries:
    @pytest.mark.parametrize(
        ("question", "found"),
        [
            ("", {"RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE", "GREEN-CHAIR"}),
            ("?q=RED-CHAIR", {"RED-CHAIR"}),
            ("?q=RED", set()),
            ("?subscriber=tests.call_supplier", {"OLD-TABLE"}),
            ("?status__exact=pending", {"GREEN-CHAIR"}),
        ],
    )
    def test_are_found_by_whole_key_subscriber_and_status(self, admin_client, letters, question, found):
        announce(added("GREEN-CHAIR"))

        assert keys_listed(admin_client, question) == found

    def test_are_due_only_while_they_wait(self, admin_client, letters):
        announce(added("GREEN-CHAIR"))
        due_at = localtime(Delivery.objects.get(key="GREEN-CHAIR").due_at)

        listed = admin_client.get(page(Delivery)).content.decode()

        assert re.findall(r'field-due">([^<]+)<', listed) == [f"{due_at:%Y-%m-%d %H:%M:%S}", "-", "-", "-"]

    def test_cost_as_many_statements_to_list_however_many_they_are(self, admin_client, letters):
        admin_client.get(page(Delivery))
        with counting_statements() as for_three:
            admin_client.get(page(Delivery))
        announce(*[added(f"CHAIR-{number}") for number in range(50)])
        with counting_statements() as for_many:
            admin_client.get(page(Delivery))

        assert len(for_many) == len(for_three)

    def test_lead_to_their_message_and_show_why_they_failed(self, admin_client, letters):
        message = OutboxMessage.objects.get(key="RED-CHAIR")

        shown = admin_client.get(page(Delivery, "change", letters["RED-CHAIR"])).content.decode()

        assert page(OutboxMessage, "change", message.pk) in shown
        assert "<pre>Traceback (most recent call last):" in shown
        assert "Permanent: no paint left,\nnone at all" in shown


class TestDeadLetters:
    def test_are_replayed_and_it_is_recorded_who_did(self, letters):
        client = operator_who_may("messaging.view_delivery", "messaging.change_delivery")
        red = Delivery.objects.get(key="RED-CHAIR")

        answer = act(client, "replay", red)

        assert "Replayed 1 dead letter." in answer
        assert statuses() == {"RED-CHAIR": "pending", "BLUE-CHAIR": "dead", "OLD-TABLE": "dead"}
        assert list(LogEntry.objects.values_list("user__username", "object_id", "change_message")) == [
            ("olga", str(red.pk), "Replayed as a dead letter.")
        ]

    def test_are_discarded_for_good(self, letters):
        client = operator_who_may("messaging.view_delivery", "messaging.change_delivery")

        answer = act(client, "discard", *Delivery.objects.filter(key__endswith="CHAIR"))

        assert "Discarded 2 dead letters." in answer
        assert statuses() == {"RED-CHAIR": "discarded", "BLUE-CHAIR": "discarded", "OLD-TABLE": "dead"}
        assert LogEntry.objects.count() == 2

    def test_leave_what_is_not_dead_as_it_is(self, letters):
        client = operator_who_may("messaging.view_delivery", "messaging.change_delivery")
        announce(added("GREEN-CHAIR"))

        answer = act(client, "discard", *Delivery.objects.filter(key__in=["GREEN-CHAIR", "RED-CHAIR"]))

        assert "Discarded 1 dead letter." in answer
        assert "Left unchanged, since they are not dead letters: 1." in answer
        assert (statuses()["GREEN-CHAIR"], statuses()["RED-CHAIR"]) == ("pending", "discarded")
        assert LogEntry.objects.count() == 1

    def test_are_not_claimed_to_be_settled_when_none_was_chosen(self, letters):
        client = operator_who_may("messaging.view_delivery", "messaging.change_delivery")
        announce(added("GREEN-CHAIR"))

        answer = act(client, "replay", Delivery.objects.get(key="GREEN-CHAIR"))

        assert "Left unchanged, since they are not dead letters: 1." in answer
        assert "Replayed" not in answer

    @pytest.mark.parametrize("action", ["replay", "discard"])
    def test_are_not_for_those_who_may_only_look(self, letters, action):
        client = operator_who_may("messaging.view_delivery")

        act(client, action, Delivery.objects.get(key="RED-CHAIR"))

        assert statuses()["RED-CHAIR"] == "dead"
