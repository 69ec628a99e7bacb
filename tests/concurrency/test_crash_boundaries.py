"""
Every commit, every external call and every capture by the gateway is a boundary. Each journey of an order runs
once without a crash, and then with a crash before the first boundary and after each; it must always end the same.
Until the charge most journeys are alike: there only one of them crashes, and with `make torture` all of them.

A crash loses the memory of a process: its relay, its connection, its `on_commit` hooks. What the database committed
stays, and so do the gateway's ledger and the mails that were sent. The caller of the crashed process calls again.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from inventory.models import Reservation, StockItem, StockMovement
from messaging import relay
from messaging.claims import lease
from messaging.models import Delivery
from notifications.models import Notification
from orders import placing, services
from orders.models import Order
from payments.models import PaymentIntent, Refund
from payments.webhooks import inbox
from shop.operations import audit
from tests.concurrency.boundaries import Boundaries, Crash, watched
from tests.factories import BASE_URL, make_draft, make_stock
from tests.gateways import RecordingGateway
from tests.journeys.orders import all_mail_kinds

MOMENTS = [timedelta(), timedelta(minutes=1), timedelta(minutes=12), timedelta(hours=1)]
"""When the relay runs: at once, when a lost answer is queried, when the reminder is due, after the expiry."""


def cancel_by_customer(charge_key: str) -> None:
    """Cancel the order during its charge, in the customer's own process."""
    intent = PaymentIntent.objects.get(pk=charge_key)
    try:
        with suppress(services.CannotCancel):
            services.cancel_order(str(intent.order_id), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True)
class JourneyEnd:
    """The state after a journey, when everything is delivered."""

    steps: list[str]
    reason: str = ""
    stock: tuple[int, int]
    """On hand, and reserved."""
    reservation: str | None
    shipped: list[int] = field(default_factory=list)
    payment: str | None
    captured: list[int] = field(default_factory=list)
    refunded: list[int] = field(default_factory=list)
    refunds: list[str] = field(default_factory=list)
    notifications: list[tuple[str, str]]
    mails: list[str]
    undelivered: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Journey:
    """Ada orders two red chairs."""

    payment_method: str = "tok_visa"
    on_hand: int = 10
    during_charge: Callable[[str], None] | None = None
    paid_after: timedelta | None = None
    """After which of the moments the gateway captures the money and calls back."""
    end: JourneyEnd


PAID = JourneyEnd(
    steps=["placed", "awaiting_payment", "confirmed"],
    stock=(8, 0),
    reservation="committed",
    shipped=[-2],
    payment="succeeded",
    captured=[9_000],
    notifications=[("order_confirmed", "accepted"), ("order_received", "accepted"), ("payment_due_soon", "suppressed")],
    mails=["order_confirmed", "order_received"],
)
DECLINED = JourneyEnd(
    steps=["placed", "awaiting_payment", "cancelled"],
    reason="payment_failed",
    stock=(10, 0),
    reservation="released",
    payment="failed",
    notifications=[("order_received", "accepted"), ("payment_due_soon", "suppressed"), ("payment_failed", "accepted")],
    mails=["order_received", "payment_failed"],
)
EXPIRED = replace(
    DECLINED,
    reason="expired",
    payment="cancelled",
    notifications=[("order_expired", "accepted"), ("order_received", "accepted"), ("payment_due_soon", "accepted")],
    mails=["order_expired", "order_received", "payment_due_soon"],
)
LATE_KINDS = ("order_expired", "order_received", "payment_anomaly", "payment_due_soon", "payment_refunded")
SENT_BACK = {"captured": [9_000], "refunded": [9_000], "refunds": ["succeeded"]}

JOURNEYS = {
    "happy": Journey(on_hand=2, end=replace(PAID, stock=(0, 0))),
    "answer lost": Journey(payment_method="tok_timeout", end=PAID),
    "declined": Journey(payment_method="tok_declined", end=DECLINED),
    "expired": Journey(payment_method="tok_pending", end=EXPIRED),
    "out of stock": Journey(
        on_hand=1,
        end=JourneyEnd(
            steps=["placed", "cancelled"],
            reason="out_of_stock",
            stock=(1, 0),
            reservation="released",
            payment=None,
            notifications=[("order_received", "accepted"), ("out_of_stock", "accepted")],
            mails=["order_received", "out_of_stock"],
        ),
    ),
    "cancelled while paying": Journey(
        during_charge=cancel_by_customer,
        end=replace(
            DECLINED,
            reason="by_customer",
            payment="succeeded",
            notifications=[
                ("order_cancelled", "accepted"),
                ("order_received", "accepted"),
                ("payment_due_soon", "suppressed"),
                ("payment_refunded", "accepted"),
            ],
            mails=["order_cancelled", "order_received", "payment_refunded"],
            **SENT_BACK,
        ),
    ),
    "called back": Journey(
        payment_method="tok_pending",
        paid_after=MOMENTS[1],
        end=PAID,
    ),
    "paid late": Journey(
        payment_method="tok_pending",
        paid_after=MOMENTS[-1],
        end=replace(
            EXPIRED,
            notifications=[(kind, "accepted") for kind in LATE_KINDS],
            mails=["order_expired", "order_received", "payment_anomaly", "payment_due_soon", "payment_refunded"],
            **SENT_BACK,
        ),
    ),
}


class JourneyRun:
    """One run of a journey, with a sku and a gateway of its own, and at most one crash."""

    def __init__(self, journey: Journey, boundaries: Boundaries, number: int) -> None:
        self.journey, self.boundaries, self.sku = journey, boundaries, f"RED-CHAIR-{number}"
        self.gateway = RecordingGateway()
        self.gateway.crossing = self._call
        self.down_for = timedelta()

    def run(self) -> JourneyEnd:
        mail.outbox.clear()
        make_stock(self.journey.on_hand, sku=self.sku)
        draft = make_draft({self.sku: 2}, idempotency_key=self.sku, payment_method=self.journey.payment_method)
        relay.drain()
        with watched(self.boundaries, self.gateway):
            self._retry_after_crash(lambda: placing.place_order(draft, now=timezone.now(), base_url=BASE_URL))
            for moment in MOMENTS:
                self._retry_after_crash(lambda moment=moment: self._deliver(moment))
                if moment == self.journey.paid_after:
                    self._retry_after_crash(self._call_back)
                    self._retry_after_crash(lambda moment=moment: self._deliver(moment))
            self._retry_after_crash(lambda: self._deliver(MOMENTS[-1]))
        return self._end()

    def _retry_after_crash(self, step: Callable[[], object]) -> None:
        """Take the step; if the process crashes, take it again in a new one, when the lease of the old one is over."""
        try:
            step()
        except Crash:
            connection.run_on_commit.clear()
            connection.close()
            self.down_for = lease() + timedelta(seconds=1)
            step()

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        with self.boundaries.crossing(name):
            yield
            if name == "charge" and self.journey.during_charge:
                self.journey.during_charge([*self.gateway.charges][-1])

    def _call_back(self) -> None:
        """Capture the money, and call back until the callback is acknowledged."""
        [key] = self.gateway.charges
        if key not in self.gateway.captured:
            with self.boundaries.crossing("approve"):
                self.gateway.approve(key)
        [*_, webhook] = self.gateway.webhooks.values()
        inbox.receive(webhook.detail["body"].encode(), {"webhook-id": webhook.key}, now=timezone.now())

    def _deliver(self, moment: timedelta) -> None:
        relay.drain(clock=lambda: timezone.now() + moment + self.down_for)

    def _end(self) -> JourneyEnd:
        (order,) = Order.objects.filter(idempotency_key=self.sku)
        item = StockItem.objects.get(sku=self.sku)
        of_order = {"order_id": order.pk}
        return JourneyEnd(
            steps=list(order.history.order_by("id").values_list("status", flat=True)),
            reason=order.cancel_reason,
            stock=(item.on_hand, item.reserved),
            reservation=Reservation.objects.filter(**of_order).values_list("status", flat=True).first(),
            shipped=list(StockMovement.objects.filter(**of_order).values_list("quantity", flat=True)),
            payment=PaymentIntent.objects.filter(**of_order).values_list("status", flat=True).first(),
            captured=[charge.amount for charge in self.gateway.captured.values()],
            refunded=[refund.amount for refund in self.gateway.refunded.values()],
            refunds=list(Refund.objects.filter(capture__intent__order_id=order.pk).values_list("status", flat=True)),
            notifications=sorted(Notification.objects.filter(**of_order).values_list("kind", "status")),
            mails=self._mails(),
            undelivered=Counter(Delivery.objects.exclude(status="delivered").values_list("subscriber", flat=True)),
        )

    def _mails(self) -> list[str]:
        kinds = all_mail_kinds()
        return sorted(set(kinds) if self.boundaries.crashed_after_mail() else kinds)


ALIKE_UNTIL_CHARGED = JOURNEYS.keys() - {"happy", "out of stock"}
"""These journeys are the happy one until its charge."""


@pytest.mark.django_db(transaction=True)
class TestJourney:
    @pytest.fixture(autouse=True)
    def one_mail_at_a_time(self, settings):
        """Each run crosses the same boundaries: mails over several connections share commits by chance."""
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, email_connections=1)

    @pytest.mark.parametrize("name", JOURNEYS)
    def test_ends_the_same_after_a_crash_at_any_boundary(self, name, summarize):
        self.crash(name, summarize, since="charge" if name in ALIKE_UNTIL_CHARGED else "")

    @pytest.mark.torture
    @pytest.mark.parametrize("name", sorted(ALIKE_UNTIL_CHARGED))
    def test_ends_the_same_after_a_crash_before_its_charge_too(self, name, summarize):
        self.crash(name, summarize)

    @staticmethod
    def crash(name: str, summarize: Callable[[str], None], *, since: str = "") -> None:
        journey, boundaries = JOURNEYS[name], Boundaries()
        without_crash = JourneyRun(journey, boundaries, 0).run()
        crashes = boundaries.distinct_moments(since=since)

        ends = {
            (boundaries.crossed[place], place, moment): JourneyRun(journey, Boundaries((place, moment)), number).run()
            for number, (place, moment) in enumerate(crashes, start=1)
        }

        report = audit.run(now=timezone.now() + MOMENTS[-1])
        summarize(f"{name}: {len(crashes)} crashes around {dict(Counter(boundaries.crossed))}")
        assert without_crash == journey.end
        assert {crash: end for crash, end in ends.items() if end != journey.end} == {}
        assert report.violated == []
