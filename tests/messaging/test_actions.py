"""Actions on many rows of a list, which ask for confirmation."""

import pytest

from messaging.models import Delivery
from tests.messaging.products import added, announce

pytestmark = pytest.mark.django_db

LIST = "/admin/messaging/delivery/"


@pytest.fixture
def letters(paint) -> list[Delivery]:
    announce(*[added(f"CHAIR-{number}") for number in range(3)])
    Delivery.objects.update(status="dead")
    return list(Delivery.objects.order_by("pk"))


def choose(client, letters, **form):
    return client.post(LIST, {"_selected_action": [letter.pk for letter in letters]} | form, follow=True)


class TestConfirmation:
    def test_says_what_happens_and_to_how_many_and_changes_nothing(self, admin_client, letters):
        page = choose(admin_client, letters[:2], action="replay").content.decode()

        assert "Dead letters that are delivered again, each to its own subscriber with all its attempts: 2." in page
        assert "Chosen: 2" in page
        assert Delivery.objects.dead().count() == 3

    def test_performs_what_it_said_with_the_form_above_the_list(self, admin_client, letters):
        asked = choose(admin_client, letters[:2], action="discard", reason="a test")
        form = dict(asked.context["fields"]) | {"_selected_action": [letter.pk for letter in letters[:2]]}

        admin_client.post(LIST, form | {"confirmed": "yes"})

        assert Delivery.objects.dead().get() == letters[2]

    def test_of_all_rows_beyond_the_page_counts_them(self, admin_client, letters):
        page = choose(admin_client, letters[:1], action="replay", select_across="1")

        assert page.context["count"] == 3
        assert ("select_across", "1") in page.context["fields"]

    def test_is_not_asked_for_an_incomplete_form(self, admin_client, letters):
        page = choose(admin_client, letters, action="discard").content.decode()

        assert "Reason: say why they are discarded." in page
        assert "confirmed" not in page
