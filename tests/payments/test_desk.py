"""What the home page of the admin shows of payments."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from messaging.kernel.ids import lowest_id
from payments.gateway.protocol import Money
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from tests.operators import concerns_of, figures_of, listed_at, operator_who_may
from tests.payments.scenes import collect, deliver, payload_of, unopened_intent

pytestmark = pytest.mark.django_db

UNKNOWN = "Payments whose result is unknown"
REJECTED = "Refunds that the gateway rejected"
DISPUTED = "Webhooks of two weeks that claim another amount than their order costs"
PARKED = "Webhooks about no payment of this shop yet"


@pytest.fixture
def capture(ledger) -> Capture:
    return Capture.objects.get(intent=collect())


def refund(capture: Capture, status: str, amount: int = 4_500) -> Refund:
    """Store a refund with this status."""
    now = timezone.now()
    settled = {} if status == "pending" else {"settled_at": now}
    return Refund.objects.create(capture=capture, amount=amount, status=status, requested_at=now, **settled)


def webhook(status: str, *, ago: timedelta = timedelta()) -> WebhookEvent:
    """Store a webhook with this status, received so long ago."""
    received_at = timezone.now() - ago
    return WebhookEvent.objects.create(
        id=UUID(int=lowest_id(received_at).int + uuid4().int % 2**64),
        event_id=f"evt_{uuid4()}",
        body=b"{}",
        charge_key="",
        outcome="succeeded",
        amount=4_500,
        currency="GBP",
        status=status,
        received_at=received_at,
    )


def test_payments_whose_result_is_unknown_need_a_person(admin_client):
    unknown = unopened_intent(status="unknown")
    PaymentIntent.objects.bulk_create([unknown, unopened_intent(status="processing")])

    concern = concerns_of(admin_client)[UNKNOWN]

    assert (concern.count, concern.is_urgent) == (1, False)
    assert listed_at(admin_client, concern.url) == {unknown.pk}


def test_a_disputed_webhook_is_counted_once_for_those_who_see_its_dead_letter(admin_client, ledger, drain):
    intent = collect("tok_pending")
    deliver(payload_of(intent, claimed=Money(intent.amount + 1, intent.currency)), now=timezone.now())
    drain()

    titles = list(concerns_of(admin_client))

    assert "Dead letters of payments.settle_webhook: WebhookDisputed" in titles
    assert DISPUTED not in titles
    assert DISPUTED in concerns_of(operator_who_may("payments.view_webhookevent"))


def test_webhooks_that_are_disputed_or_parked_need_a_person(admin_client):
    disputed, parked = webhook("disputed"), webhook("parked")
    webhook("settled")
    webhook("disputed", ago=timedelta(days=15))
    webhook("parked", ago=timedelta(hours=1, minutes=1))

    concerns = concerns_of(admin_client)

    assert [(concerns[title].count, concerns[title].is_urgent) for title in (DISPUTED, PARKED)] == [
        (1, True),
        (1, False),
    ]
    assert listed_at(admin_client, concerns[DISPUTED].url) == {disputed.pk}
    assert listed_at(admin_client, concerns[PARKED].url) == {parked.pk}


class TestRefunds:
    def test_that_failed_need_a_person(self, admin_client, capture):
        failed = refund(capture, "failed")

        concern = concerns_of(admin_client)[REJECTED]

        assert concern.count == 1
        assert listed_at(admin_client, concern.url) == {failed.pk}

    @pytest.mark.parametrize("status", ["pending", "succeeded"])
    def test_that_were_repeated_need_none(self, admin_client, capture, status):
        refund(capture, "failed")
        refund(capture, status)

        assert REJECTED not in concerns_of(admin_client)

    def test_that_failed_again_count_once(self, admin_client, capture):
        refund(capture, "failed")
        again = refund(capture, "failed")

        assert listed_at(admin_client, concerns_of(admin_client)[REJECTED].url) == {again.pk}

    def test_of_more_money_than_was_given_back_since_need_a_person(self, admin_client, capture):
        failed = refund(capture, "failed", 3_000)
        refund(capture, "succeeded", 1_000)

        assert listed_at(admin_client, concerns_of(admin_client)[REJECTED].url) == {failed.pk}


class TestMoney:
    def test_is_summed_by_day(self, admin_client, capture):
        refund(capture, "succeeded", 1_500)
        refund(capture, "pending", 500)

        drawn = figures_of(admin_client)["Money in two weeks, GBP"]

        captured, refunded = drawn.chart.series
        assert (captured.values[-1], refunded.values[-1]) == (4_500, 1_500)
        assert [total for _, total in drawn.totals] == ["45.00 GBP", "15.00 GBP"]

    def test_of_each_currency_has_a_chart(self, admin_client, capture):
        Capture.objects.create(
            intent=capture.intent, reference="b", amount=100, currency="EUR", surplus=True, captured_at=timezone.now()
        )

        titles = [title for title in figures_of(admin_client) if title.startswith("Money")]

        assert titles == ["Money in two weeks, EUR", "Money in two weeks, GBP"]

    def test_is_not_shown_to_those_who_may_see_payments_only(self, capture):
        assert figures_of(operator_who_may("payments.view_paymentintent")) == {}
