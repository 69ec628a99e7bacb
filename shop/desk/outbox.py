"""
What the operator's desk shows of the outbox, which every service has: dead letters by cause, deliveries that are late,
pauses, workers, and the backlog.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.html import format_html

from messaging import dead_letters
from messaging.dead_letter_pages import group_url
from messaging.kernel.admin import to_the_second
from messaging.models import Delivery
from messaging.status import SubscriberStatus, WorkerStates, age, subscriber_statuses, worker_states
from shop.http.desk import LIMIT, Concern, Item, Table, count_each, list_url, reports

OVERDUE = timedelta(minutes=1)

CAUSES = 12
"""How many causes are shown, the most frequent first."""

STOPPED = "Nothing is delivered, from stock to mails: start a worker, by manage.py qcluster."

VIEW_DELIVERIES = "messaging.view_delivery"


@reports(VIEW_DELIVERIES)
def show_outbox(now: datetime) -> Iterator[Item]:
    workers = worker_states(now)
    statuses = subscriber_statuses(workers.running, now)
    yield from _dead_letters()
    yield from _workers(workers)
    yield from _overdue(now)
    yield from filter(None, map(_pause, statuses))
    yield _health(len(workers.running), statuses)


def _dead_letters() -> Iterator[Concern]:
    """
    Return the dead letters by cause, and in all if not every cause is shown.
    """
    causes = sorted(dead_letters.groups_at_a_glance(), key=lambda cause: cause.letters, reverse=True)
    if len(causes) > CAUSES:
        yield Concern(
            title="Dead letters of all causes",
            count=min(sum(cause.letters for cause in causes), LIMIT + 1),
            url=reverse("admin:messaging_groups"),
            permission=VIEW_DELIVERIES,
            advice=f"They have {len(causes)} causes. Here are the most frequent.",
        )
    yield from map(_cause, causes[:CAUSES])


def _cause(group: dead_letters.Group) -> Concern:
    return Concern(
        title=f"Dead letters of {group.subscriber}: {group.error_class}",
        count=min(group.letters, LIMIT + 1),
        url=group_url("group", group.identity),
        permission=VIEW_DELIVERIES,
        advice=dead_letters.advice_for(group.error_class),
    )


def _workers(workers: WorkerStates) -> Iterator[Concern]:
    none_runs = not workers.running
    if workers.silent:
        yield _worker_concern(
            "Workers that are silent",
            workers.silent,
            advice="They are frozen, and hold what they claimed for as long as their lease. End them: their cluster"
            " starts others.",
        )
    if workers.dead:
        takeover = "Another worker takes over their deliveries within seconds."
        yield _worker_concern(
            "Workers that died", workers.dead, advice=STOPPED if none_runs else takeover, is_urgent=none_runs
        )
    if none_runs and not workers.silent | workers.dead:
        yield _worker_concern("Workers that run", (), advice=STOPPED)


def _worker_concern(title: str, numbers: Collection[int], *, advice: str, is_urgent: bool = True) -> Concern:
    chosen = {"number__in": ",".join(map(str, sorted(numbers)))} if numbers else {}
    return Concern(
        title=title,
        count=len(numbers),
        url=list_url("messaging_worker", **chosen),
        permission="messaging.view_worker",
        advice=advice,
        is_urgent=is_urgent,
    )


def _overdue(now: datetime) -> Iterator[Concern]:
    before = now - OVERDUE
    [overdue] = count_each(Delivery.objects.due(before))
    if overdue:
        yield Concern(
            title="Deliveries that have been due for more than a minute",
            count=overdue,
            url=list_url("messaging_delivery", status__exact=Delivery.Status.PENDING, due_at__lte=before.isoformat()),
            permission=VIEW_DELIVERIES,
            advice="Workers do not keep up, or none runs: look at the backlog by subscriber.",
        )


def _pause(status: SubscriberStatus) -> Concern | None:
    if not (status.paused_until or status.paused_by):
        return None
    advice = f"The service that it calls is down. It is tried again at {to_the_second(status.paused_until)}."
    if status.paused_by:
        advice = f"By {status.paused_by} since {to_the_second(status.paused_at)}: {status.pause_reason}"
    return Concern(
        title=f"{status.name} is paused",
        count=min(status.pending, LIMIT + 1),
        url=list_url("messaging_delivery", status__exact=Delivery.Status.PENDING, subscriber=status.name),
        permission=VIEW_DELIVERIES,
        advice=advice,
        is_urgent=False,
    )


def _health(workers: int, statuses: Collection[SubscriberStatus]) -> Table:
    oldest = max((status.oldest_due_seconds or 0 for status in statuses if status.due), default=None)
    delivered = sum(status.delivered_last_minute for status in statuses)
    waiting = [status for status in statuses if status.pending or status.dead]
    return Table(
        title="Outbox",
        lead=f"Workers that run: {workers}. Delivered in the last minute: {delivered}."
        f" {'Nothing is due.' if oldest is None else f'The oldest has been due for {age(oldest)}.'}"
        f" Subscribers for which nothing waits: {len(statuses) - len(waiting)}.",
        columns=("Subscriber", "Due", "Oldest", "Retry", "Later", "Dead", "Last minute"),
        rows=[_row(status) for status in sorted(waiting, key=_backlog, reverse=True)],
        url=reverse("admin:messaging_backlog"),
    )


def _row(status: SubscriberStatus) -> Sequence[object]:
    url = list_url("messaging_delivery", status__exact=Delivery.Status.PENDING, subscriber=status.name)
    name = format_html('<a href="{}">{}</a>', url, status.name)
    oldest = age(status.oldest_due_seconds)
    due = f"{status.due}+" if status.has_more else status.due
    return name, due, oldest, status.retrying, status.delayed, status.shown_dead, status.delivered_last_minute


def _backlog(status: SubscriberStatus) -> tuple[int, int]:
    return status.due, status.dead
