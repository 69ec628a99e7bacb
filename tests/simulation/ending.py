"""
The end of every story: all is let finish, and then everything must agree.
"""

from collections import Counter
from datetime import timedelta

from django.db.models import Max

from messaging.models import Delivery
from notifications.models import Notification
from payments import reconciliation
from payments.models import Refund
from shop.operations import audit
from shop.operations.audit import CheckResult, Verdict

from .books import FINAL, SOLD, Books, rows
from .scene import Scene

LEFT_TO_A_PERSON = {"WebhookUnmatched"}
"""The dead letters that no replay helps."""

MANY = 40
"""Rounds in which everything must come to rest."""


def violations(scene: Scene) -> list[str]:
    """
    Audit the shop, and leave out what a refused refund explains: unwanted money stays until a person gives it back.
    """
    refused = {entry.order_id for entry in scene.bank.entries.values() if entry.refused}
    scene.tally.audits += 1
    return [
        f"{result.id} ({result.rule}): {', '.join(result.examples)}"
        for result in audit.run(now=scene.clock()).results
        if result.verdict is Verdict.VIOLATION and not _is_explained(result, refused)
    ]


def finish(scene: Scene, books: Books) -> None:
    """
    Let everything come to rest, and see that all agrees.
    """
    scene.faults.clear()
    scene.process.spare()
    _come_to_rest(scene)
    scene.reconcile()
    scene.replay()
    books.look()
    _give_unwanted_money_back(scene, books)
    _come_to_rest(scene)
    books.look()
    _look_at_orders(scene, books)
    _look_at_stock(books)
    _look_at_messages(scene)
    violated = violations(scene)
    assert not violated, violated


def _is_explained(result: CheckResult, refused: set[str]) -> bool:
    """
    Tell whether what the bank refused to give back is all that breaks a rule; O7 tells currencies, not orders.
    """
    orders = refused if result.id in {"O4", "O5"} else set(result.examples) if result.id == "O7" and refused else set()
    return result.examples != [] and set(result.examples) <= orders


def _come_to_rest(scene: Scene) -> None:
    """
    Deliver all that is owed and due, and let time pass until nothing is left to wait for.
    """
    for _ in range(MANY):
        for body in list(scene.bank.owed):
            scene.call_back(body)
        scene.drain()
        due = Delivery.objects.filter(status=Delivery.Status.PENDING).aggregate(last=Max("due_at"))["last"]
        if not scene.bank.owed and not due:
            return
        if due:
            scene.clock.advance(max(due - scene.clock.moment, timedelta(seconds=1)))
    raise AssertionError(f"It does not come to rest: {list(Delivery.objects.filter(status='pending').values())}")


def _give_unwanted_money_back(scene: Scene, books: Books) -> None:
    """
    Have the operator try again what the bank refused to give back of orders that are over.
    """
    for story in books.stories.values():
        if story.status not in SOLD and any(entry.stays for entry in scene.bank.of_order(story.order_id)):
            assert scene.give_back(story.order_id, None), f"Money of {story} cannot be given back"


def _look_at_orders(scene: Scene, books: Books) -> None:
    for story in books.stories.values():
        entries = scene.bank.of_order(story.order_id)
        stays = sum(entry.stays for entry in entries)
        refused = sum(sum(it.refused.values()) for it in entries if not it.is_ours) if story.status in SOLD else 0
        assert story.status in FINAL, f"{story} is open for ever"
        assert 0 <= stays - story.entitled <= refused, f"{stays} stay of {story}: {entries}"
        scene.tally.happened(f"order {story.status}" + (f": {story.cancel_reason}" if story.cancel_reason else ""))
    _look_at_refunds(scene)


def _look_at_refunds(scene: Scene) -> None:
    still_open = list(Refund.objects.filter(status__in=Refund.OPEN))
    differences = reconciliation.compare(reconciliation.statement(None), since=None, before=scene.clock())
    assert not still_open, f"Refunds are open for ever: {still_open}"
    assert not differences, f"Our books and the bank's differ: {differences}"


def _look_at_stock(books: Books) -> None:
    sold, left = books.taken(SOLD), set(rows("sku, on_hand, reserved FROM inventory_stockitem"))
    expected = {(sku, opened_with - sold[sku], 0) for sku, opened_with in books.opened_with.items()}
    assert left == expected, f"{left} are left, not {expected}"


def _look_at_messages(scene: Scene) -> None:
    letters = Counter(Delivery.objects.exclude(status=Delivery.Status.DELIVERED).values_list("error_class", flat=True))
    assert letters.keys() <= LEFT_TO_A_PERSON, f"Dead letters: {letters}"
    accepted = Notification.objects.filter(status=Notification.Status.ACCEPTED)
    told = Counter(accepted.values_list("recipient", "subject", "body"))
    assert scene.process.mails - told - scene.process.excused_mails == Counter(), "Mailed twice"
    assert told - scene.process.mails == Counter(), "Accepted, and never mailed"
