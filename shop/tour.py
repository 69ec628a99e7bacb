"""
The tour of the demo: orders that are placed at the press of a button, each with a fault, and the page that follows one
over all contexts. It exists in the demo only, whose logins are published anyway.
"""

import os
import secrets
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from messaging.status import workers_of_this_machine
from orders import placing, services
from orders.drafts import Draft, DraftLine
from orders.models import Order
from shop.operations.trace import OrderTrace, trace_order
from shop.scenes import CUSTOMER, SCENES, is_offered

View = Callable[..., HttpResponse]

SKU = "RED-CHAIR"
PREFIX = "tour"
"""Begins the idempotency keys of its orders, which name their scenes."""

LIVE = timedelta(seconds=45)
"""The page of an order reloads itself for so long, and as long as the order is open."""


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
    workers = workers_of_this_machine()
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker.process, signal.SIGKILL)
    return len(workers)


def _timeline(trace: OrderTrace) -> Sequence[tuple[float, Any]]:
    """
    Return the entries, each with the seconds since the first.
    """
    return [((entry.at - trace.timeline[0].at).total_seconds(), entry) for entry in trace.timeline]
