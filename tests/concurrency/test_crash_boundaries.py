"""
Every commit and every call to the outside is a boundary. Each journey of an order is told once undisturbed, and then
again and again with a crash before and after each of its boundaries; it must always end the same.

A crash throws away all that a process has in mind: its relay, its connection, the wake-ups that it owed. What the
database committed stays, and so does the outside world: the gateway's ledger, and the mails that went out. Whoever
waited for an answer asks again.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
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
from payments.gateway.protocol import ChargeRequest
from payments.models import PaymentIntent, Refund
from payments.webhooks import inbox
from shop.operations import audit
from tests.concurrency.boundaries import Boundaries, Crash, Gateway, watched
from tests.factories import make_draft, make_stock, told

MOMENTS = [timedelta(), timedelta(minutes=1), timedelta(minutes=12), timedelta(hours=1)]
"""When the relay runs: at once, when a lost answer is asked for again, when the reminder is due, after the expiry."""


def cancel_by_customer(charge: ChargeRequest) -> None:
    """
    Cancel the order while its money moves, in the customer's own process.
    """
    intent = PaymentIntent.objects.get(pk=charge.idempotency_key)
    try:
        with suppress(services.CannotCancel):
            services.cancel_order(str(intent.order_id), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True)
class End:
    """
    All that is left of a journey when everything is delivered.
    """

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
    told: list[tuple[str, str]]
    mails: list[str]
    undelivered: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Journey:
    """
    Ada orders two red chairs.
    """

    payment_method: str = "tok_visa"
    on_hand: int = 10
    meanwhile: Callable[[ChargeRequest], None] | None = None
    paid_after: timedelta | None = None
    """After which of the moments the money comes, and the gateway calls back."""
    end: End


JOURNEYS = {
    "happy": Journey(
        on_hand=2,
        end=End(
            steps=["placed", "awaiting_payment", "confirmed"],
            stock=(0, 0),
            reservation="committed",
            shipped=[-2],
            payment="succeeded",
            captured=[9_000],
            told=[("order_confirmed", "accepted"), ("payment_due_soon", "suppressed")],
            mails=["Your order # is confirmed"],
        ),
    ),
    "out of stock": Journey(
        on_hand=1,
        end=End(
            steps=["placed", "cancelled"],
            reason="out_of_stock",
            stock=(1, 0),
            reservation="released",
            payment=None,
            told=[("order_cancelled", "accepted")],
            mails=["Your order # is cancelled"],
        ),
    ),
    "declined": Journey(
        payment_method="tok_declined",
        end=End(
            steps=["placed", "awaiting_payment", "cancelled"],
            reason="payment_failed",
            stock=(10, 0),
            reservation="released",
            payment="failed",
            told=[("order_cancelled", "accepted"), ("payment_due_soon", "suppressed")],
            mails=["Your order # is cancelled"],
        ),
    ),
    "expired": Journey(
        payment_method="tok_pending",
        end=End(
            steps=["placed", "awaiting_payment", "cancelled"],
            reason="expired",
            stock=(10, 0),
            reservation="released",
            payment="cancelled",
            told=[("order_cancelled", "accepted"), ("payment_due_soon", "accepted")],
            mails=["Your order # is cancelled", "Your order # still awaits its payment"],
        ),
    ),
    "cancelled while paying": Journey(
        meanwhile=cancel_by_customer,
        end=End(
            steps=["placed", "awaiting_payment", "cancelled"],
            reason="by_customer",
            stock=(10, 0),
            reservation="released",
            payment="succeeded",
            captured=[9_000],
            refunded=[9_000],
            refunds=["succeeded"],
            told=[
                ("order_cancelled", "accepted"),
                ("payment_due_soon", "suppressed"),
                ("payment_refunded", "accepted"),
            ],
            mails=["A refund for your order #", "Your order # is cancelled"],
        ),
    ),
    "called back": Journey(
        payment_method="tok_pending",
        paid_after=MOMENTS[1],
        end=End(
            steps=["placed", "awaiting_payment", "confirmed"],
            stock=(8, 0),
            reservation="committed",
            shipped=[-2],
            payment="succeeded",
            captured=[9_000],
            told=[("order_confirmed", "accepted"), ("payment_due_soon", "accepted")],
            mails=["Your order # is confirmed", "Your order # still awaits its payment"],
        ),
    ),
    "paid late": Journey(
        payment_method="tok_pending",
        paid_after=MOMENTS[-1],
        end=End(
            steps=["placed", "awaiting_payment", "cancelled"],
            reason="expired",
            stock=(10, 0),
            reservation="released",
            payment="cancelled",
            captured=[9_000],
            refunded=[9_000],
            refunds=["succeeded"],
            told=[
                ("order_cancelled", "accepted"),
                ("payment_anomaly", "accepted"),
                ("payment_due_soon", "accepted"),
                ("payment_refunded", "accepted"),
            ],
            mails=[
                "A refund for your order #",
                "Money came for an order that was over: #",
                "Your order # is cancelled",
                "Your order # still awaits its payment",
            ],
        ),
    ),
    "answer lost": Journey(
        payment_method="tok_timeout",
        end=End(
            steps=["placed", "awaiting_payment", "confirmed"],
            stock=(8, 0),
            reservation="committed",
            shipped=[-2],
            payment="succeeded",
            captured=[9_000],
            told=[("order_confirmed", "accepted"), ("payment_due_soon", "suppressed")],
            mails=["Your order # is confirmed"],
        ),
    ),
}


class Telling:
    """
    One telling of a journey, with a sku and a gateway of its own, and at most one crash.
    """

    def __init__(self, journey: Journey, boundaries: Boundaries, number: int) -> None:
        self.journey, self.boundaries, self.sku = journey, boundaries, f"RED-CHAIR-{number}"
        self.gateway = Gateway(boundaries, journey.meanwhile)
        self.down_for = timedelta()

    def tell(self) -> End:
        mail.outbox.clear()
        make_stock(self.journey.on_hand, sku=self.sku)
        draft = make_draft({self.sku: 2}, idempotency_key=self.sku, payment_method=self.journey.payment_method)
        relay.drain()
        with watched(self.boundaries, self.gateway):
            self._insist_on(lambda: placing.place_order(draft, now=timezone.now(), answer=told))
            for moment in MOMENTS:
                self._insist_on(lambda moment=moment: self._deliver(moment))
                if moment == self.journey.paid_after:
                    self._insist_on(self._call_back)
            self._insist_on(lambda: self._deliver(MOMENTS[-1]))
        return self._end()

    def _insist_on(self, step: Callable[[], object]) -> None:
        """
        Take the step; if the process dies of it, take it again in a new one, when the old one's lease is over.
        """
        try:
            step()
        except Crash:
            connection.run_on_commit.clear()
            connection.close()
            self.down_for = lease() + timedelta(seconds=1)
            step()

    def _call_back(self) -> None:
        """
        Capture the money, and call back about it until that is acknowledged.
        """
        [key] = self.gateway.charges
        self.gateway.approve(key)
        inbox.receive(key.encode(), {}, now=timezone.now())

    def _deliver(self, moment: timedelta) -> None:
        relay.drain(clock=lambda: timezone.now() + moment + self.down_for)

    def _end(self) -> End:
        (order,) = Order.objects.filter(idempotency_key=self.sku)
        item = StockItem.objects.get(sku=self.sku)
        about = {"order_id": order.pk}
        return End(
            steps=list(order.history.order_by("id").values_list("status", flat=True)),
            reason=order.cancel_reason,
            stock=(item.on_hand, item.reserved),
            reservation=Reservation.objects.filter(**about).values_list("status", flat=True).first(),
            shipped=list(StockMovement.objects.filter(**about).values_list("quantity", flat=True)),
            payment=PaymentIntent.objects.filter(**about).values_list("status", flat=True).first(),
            captured=[charge.amount for charge in self.gateway.captured.values()],
            refunded=[refund.amount for refund in self.gateway.refunded.values()],
            refunds=list(Refund.objects.filter(capture__intent__order_id=order.pk).values_list("status", flat=True)),
            told=sorted(Notification.objects.filter(**about).values_list("kind", "status")),
            mails=self._mails(order),
            undelivered=Counter(Delivery.objects.exclude(status="delivered").values_list("subscriber", flat=True)),
        )

    def _mails(self, order: Order) -> list[str]:
        subjects = [message.subject.replace(str(order.pk), "#") for message in mail.outbox]
        return sorted(set(subjects) if self.boundaries.excuses_a_second_mail() else subjects)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", JOURNEYS)
class TestJourney:
    def test_ends_the_same_wherever_a_process_crashes(self, name, tell):
        journey, boundaries = JOURNEYS[name], Boundaries()
        undisturbed = Telling(journey, boundaries, 0).tell()
        crashes = [(place, moment) for place in range(len(boundaries.crossed)) for moment in ("before", "after")]

        ends = {
            (boundaries.crossed[place], place, moment): Telling(journey, Boundaries((place, moment)), number).tell()
            for number, (place, moment) in enumerate(crashes, start=1)
        }

        report = audit.run(now=timezone.now() + MOMENTS[-1])
        tell(f"{name}: {len(crashes)} crashes around {dict(Counter(boundaries.crossed))}")
        assert undisturbed == journey.end
        assert {crash: end for crash, end in ends.items() if end != journey.end} == {}
        assert report.violated == []
