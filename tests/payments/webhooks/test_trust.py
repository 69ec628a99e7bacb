"""Webhooks that are taken as the gateway's answer, and those that still cause a query."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.contracts import PaymentAnomalyFound, PaymentSucceeded
from payments import reconciliation
from payments.charges import services
from payments.gateway.protocol import Outcome, TimedOut
from payments.models import PaymentIntent, Reconciliation, WebhookEvent
from payments.webhooks import inbox, processing
from tests.gateways import INSTANT, RecordingGateway
from tests.outbox import allowed_for_a_hundredfold, counting_statements, published
from tests.payments.books import CaptureRow, capture_rows, webhook_statuses
from tests.payments.scenes import collect, deliver, dues_of, payload_of

pytestmark = pytest.mark.django_db

KEPT = CaptureRow(4_500)


@pytest.fixture
def reconciled(ledger) -> None:
    """Our books agree with the gateway's."""
    reconciliation.reconcile_lately()
    ledger.calls.clear()


@pytest.fixture
def waiting(ledger, reconciled) -> PaymentIntent:
    """A payment that waits for its customer."""
    return collect("tok_pending", now=timezone.now())


def process(*, after: timedelta = timedelta()) -> None:
    ids = [str(pk) for pk in WebhookEvent.objects.order_by("pk").values_list("pk", flat=True)]
    processing.process(ids, now=timezone.now() + after)


class TestWebhookThatClaimsWhatItsPaymentWaitsFor:
    def test_is_taken_as_the_answer_without_a_query(self, ledger, waiting):
        ledger.approve(str(waiting.pk))
        deliver(payload_of(waiting), payload_of(waiting, Outcome.PROCESSING), payload_of(waiting))

        process()

        waiting.refresh_from_db()
        assert (waiting.status, waiting.provider_reference) == ("succeeded", f"instant-{waiting.pk}")
        assert (capture_rows(), webhook_statuses()) == ([KEPT], ["settled"] * 3)
        assert waiting.captures.get().reference == waiting.provider_reference
        assert len(published(PaymentSucceeded)) == 1
        assert ledger.calls == {"charge": 1, "look_up": 1}  # about the charge that is processing

    def test_needs_no_gateway(self, ledger, waiting):
        deliver(payload_of(waiting))
        ledger.script.append(TimedOut())

        process()

        waiting.refresh_from_db()
        assert (waiting.status, ledger.calls) == ("succeeded", {"charge": 1})

    def test_records_the_capture_that_the_statement_has(self, ledger, waiting):
        ledger.approve(str(waiting.pk))
        deliver(payload_of(waiting))
        process()

        report = reconciliation.reconcile(since=None, now=timezone.now())

        assert (report.repaired, report.left) == ([], [])

    def test_takes_as_many_statements_for_two_hundred_as_for_two(self, ledger, reconciled):
        counts = []
        for size in (2, 200):
            WebhookEvent.objects.all().delete()
            deliver(*[payload_of(collect("tok_pending")) for _ in range(size)])
            with counting_statements() as statements:
                process()
            counts.append(len(statements))

        assert counts[1] <= allowed_for_a_hundredfold(counts[0])
        assert (ledger.calls, capture_rows()) == ({"charge": 202}, [KEPT] * 202)


class TestQuery:
    """The claim is false in each of these cases, so the payment stays as the gateway answers."""

    def assert_queried(self, ledger: RecordingGateway, intent: PaymentIntent, **calls: int) -> None:
        intent.refresh_from_db()
        assert (intent.status, capture_rows()) == ("processing", [])
        assert ledger.calls == {"charge": 1} | (calls or {"look_up": 1})

    @pytest.mark.parametrize("reference", ["", "instant-other"])
    def test_is_made_for_a_charge_that_the_gateway_has_not_confirmed(self, ledger, waiting, reference):
        PaymentIntent.objects.update(provider_reference=reference)
        deliver(payload_of(waiting))

        process()

        self.assert_queried(ledger, waiting)

    def test_is_made_when_a_claim_names_no_reference(self, ledger, waiting):
        PaymentIntent.objects.update(provider_reference="")
        deliver(payload_of(waiting, reference=""))

        process()

        self.assert_queried(ledger, waiting)

    @pytest.mark.parametrize("other", [{"outcome": Outcome.DECLINED}, {"reference": "instant-other"}])
    def test_is_made_when_another_webhook_contradicts(self, ledger, waiting, other):
        deliver(payload_of(waiting, **other))
        WebhookEvent.objects.update(status="settled")
        deliver(payload_of(waiting))

        process()

        self.assert_queried(ledger, waiting)

    def test_is_made_when_its_id_was_used_for_another_claim(self, ledger, waiting):
        deliver(payload_of(waiting, event_id="evt_1"))
        with pytest.raises(inbox.EventIdReused):
            deliver(payload_of(waiting, Outcome.DECLINED, event_id="evt_1", fingerprint="declined"))

        process()

        self.assert_queried(ledger, waiting)

    def test_is_made_at_the_gateway_that_opened_the_payment(self, ledger, waiting, settings):
        PaymentIntent.objects.update(gateway="payments.gateway.adapters.in_process.InProcessGateway")
        deliver(payload_of(waiting))

        process()

        waiting.refresh_from_db()
        assert (waiting.status, settings.PAYMENTS.gateway) == ("processing", INSTANT)

    def test_withdraws_a_payment_that_its_order_no_longer_wants(self, ledger, waiting):
        services.stop(dues_of(waiting), now=timezone.now())
        deliver(payload_of(waiting))

        process()

        waiting.refresh_from_db()
        assert (waiting.status, ledger.calls) == ("cancelled", {"charge": 1, "cancel": 1})

    @pytest.mark.parametrize(
        "distrust",
        [
            lambda: Reconciliation.objects.all().delete(),
            lambda: Reconciliation.objects.update(unconfirmed=1),
            lambda: Reconciliation.objects.update(began_at=timezone.now() - timedelta(hours=2)),
            lambda: Reconciliation.objects.update(gateway="the.former.Gateway"),
        ],
        ids=["never reconciled", "a capture is unconfirmed", "not reconciled lately", "of another gateway"],
    )
    def test_is_made_while_the_statement_does_not_confirm_our_books(
        self, ledger, waiting, distrust: Callable[[], object]
    ):
        distrust()
        deliver(payload_of(waiting))

        process()

        self.assert_queried(ledger, waiting)


class TestForgedWebhook:
    def test_is_reported_by_the_next_reconciliation_which_ends_the_trust(self, ledger, waiting):
        later = collect("tok_pending", now=timezone.now())
        deliver(payload_of(waiting))
        process()

        reconciliation.reconcile_lately()
        deliver(payload_of(later))
        process()

        statuses = [PaymentIntent.objects.get(pk=intent.pk).status for intent in (waiting, later)]
        assert statuses == ["succeeded", "processing"]
        assert published(PaymentAnomalyFound) == [
            PaymentAnomalyFound(
                order_id=str(waiting.order_id),
                anomaly="unconfirmed_capture",
                amount=4_500,
                currency="GBP",
                detail=f"instant-{waiting.pk}",
                number="K7Q4-M2X0",
            )
        ]
