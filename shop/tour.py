"""
The demo: its logins, and a tour of orders that are placed at the press of a button, each with a fault, with the
page that follows one over all contexts. It exists in the demo only, whose logins are published anyway.
"""

import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from messaging.models import Worker
from messaging.status import live_workers
from orders import placing, services
from orders.drafts import Draft, DraftLine
from orders.models import Order
from shop.operations.trace import OrderTrace, trace_order

View = Callable[..., HttpResponse]

SKU = "RED-CHAIR"
PREFIX = "tour"
"""Begins the idempotency keys of its orders, which name their scenes."""

LIVE = timedelta(seconds=45)
"""The page of an order reloads itself for so long, and as long as the order is open."""


class Login(NamedTuple):
    name: str
    password: str


CUSTOMER = Login("ada", "ada-counts-chairs")
OPERATOR = Login("olga", "olga-runs-the-shop")
"""The logins of the demo, which are published."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """
    An order that somebody places, and what goes wrong meanwhile.
    """

    title: Any
    story: Any
    """What happens, and what to look for."""
    token: str = "tok_visa"  # noqa: S105
    """The payment method, by which the payment simulator chooses its fault."""
    kills_workers: bool = False


SCENES: Mapping[str, Scene] = {
    "order": Scene(
        title=_("Place an order"),
        story=_("Nothing goes wrong: stock is reserved, the payment is taken, and the customer gets a mail."),
    ),
    "worker": Scene(
        title=_("Kill the workers now"),
        story=_(
            "All workers are killed while they handle the order, as by a crash of the machine. Others start, take over"
            " what was claimed, and confirm the order once: one charge, one mail."
        ),
        kills_workers=True,
    ),
    "answer": Scene(
        title=_("Lose the gateway's answer"),
        story=_(
            "The payment provider takes the money, and its answer is lost. The payment counts as unknown until the"
            " provider says what became of it; the customer is not charged again."
        ),
        token="tok_answer_lost_charged",  # noqa: S106
    ),
    "twice": Scene(
        title=_("Call back twenty times"),
        story=_(
            "The payment provider sends the same webhook twenty times at once. All are acknowledged, one has an effect."
        ),
        token="tok_callback_twenty",  # noqa: S106
    ),
    "forged": Scene(
        title=_("Forge a webhook"),
        story=_(
            "The only webhook about the payment has an invalid signature. It is rejected, and the shop asks the payment"
            " provider itself, within half a minute."
        ),
        token="tok_bad_signature",  # noqa: S106
    ),
    "late": Scene(
        title=_("Pay late"),
        story=_(
            "Cancel this order now. Its customer pays nevertheless, fifteen seconds after the order, and gets the money"
            " back."
        ),
        token="tok_late",  # noqa: S106
    ),
}


def is_offered() -> bool:
    """
    Return whether this is the demo of a whole shop, whose database tells all of an order.
    """
    return settings.SHOP.demo and settings.SERVICE.is_whole_shop


def in_the_demo(view: View) -> View:
    """
    Let the view exist only where the tour is offered.
    """

    @wraps(view)
    def view_of_demo(request: HttpRequest, **names: str) -> HttpResponse:
        if not is_offered():
            raise Http404
        return view(request, **names)

    return view_of_demo


@in_the_demo
@require_POST
def play(request: HttpRequest, scene: str) -> HttpResponse:
    """
    Place the order of a scene, and show it.
    """
    if scene not in SCENES:
        raise Http404
    try:
        order = _place(scene, f"{request.scheme}://{request.get_host()}")
    except (placing.InvalidOrder, placing.TooManyOpenOrders) as error:
        context = {"scene": SCENES[scene], "problem": str(error), "scenes": SCENES}
        return render(request, "shop/tour.html", context, status=409)
    url = reverse("tour-order", args=[order.number])
    return redirect(f"{url}?killed={_kill_workers()}" if SCENES[scene].kills_workers else url)


@in_the_demo
@require_safe
@never_cache
def follow(request: HttpRequest, number: str) -> HttpResponse:
    """
    Show what has become of an order of the tour until now.
    """
    order = _order_of(number)
    context = {
        "order": order,
        "scene": SCENES[_scene_of(order)],
        "scenes": SCENES,
        "killed": killed if (killed := request.GET.get("killed", "")).isdecimal() else "",
        "timeline": _timeline(trace_order(str(order.pk))),
        "is_live": order.is_open or timezone.now() - order.placed_at < LIVE,
        "may_cancel": _scene_of(order) == "late" and order.may_become(Order.Status.CANCELLED),
    }
    return render(request, "shop/tour.html", context)


@in_the_demo
@require_POST
def cancel(request: HttpRequest, number: str) -> HttpResponse:
    """
    Cancel an order of the tour for its customer.
    """
    with suppress(services.CannotCancel):
        order = _order_of(number)
        services.cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
    return redirect("tour-order", number)


urlpatterns = [
    path("<slug:scene>/", play, name="tour"),
    path("orders/<str:number>/", follow, name="tour-order"),
    path("orders/<str:number>/cancel/", cancel, name="tour-cancel"),
]


def _place(scene: str, base_url: str) -> Order:
    customer = get_object_or_404(User, username=CUSTOMER.name)
    draft = Draft(
        customer_id=customer.pk,
        lines=[DraftLine(sku=SKU, quantity=1)],
        payment_method=SCENES[scene].token,
        email=customer.email,
        idempotency_key=f"{PREFIX} {scene} {secrets.token_hex(4)}",
    )
    return placing.place_order(draft, base_url=base_url, now=timezone.now()).order


def _order_of(number: str) -> Order:
    return get_object_or_404(Order, number=number, idempotency_key__startswith=f"{PREFIX} ")


def _scene_of(order: Order) -> str:
    return order.idempotency_key.split()[1]


def _kill_workers() -> int:
    """
    Kill the live workers of this machine, and return their number.
    """
    workers = Worker.objects.filter(pk__in=live_workers(), host=socket.gethostname())
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker.process, signal.SIGKILL)
    return len(workers)


def _timeline(trace: OrderTrace) -> Sequence[tuple[float, Any]]:
    """
    Return the entries, each with the seconds since the first.
    """
    return [((entry.at - trace.timeline[0].at).total_seconds(), entry) for entry in trace.timeline]
