"""
Reserving, shipping and receiving stock. Each function is one transaction and publishes what it changed.

All functions lock in the same order: reservations, then stock items by sku. New reservations are inserted last.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from messaging.contracts import (
    Event,
    Line,
    StockDepleted,
    StockRejected,
    StockReplenished,
    StockReserved,
    StockRunningLow,
)
from messaging.kernel.databases import bulk_copy_instances
from messaging.outbox import publish_all
from messaging.subscribers import Permanent

from .models import RUNNING_OUT, Reservation, ReservationLine, StockItem, StockMovement

Stock = Mapping[str, StockItem]


class NotEnoughStock(Exception):
    """
    Less stock is available than requested; nothing was changed.
    """


class ReservationNotHeld(Permanent):
    """
    A confirmed order holds no stock to ship. Run `manage.py trace_order` to see why before you replay this delivery.
    """


@transaction.atomic
def reserve(requests: Mapping[str, Sequence[Line]], *, now: datetime) -> None:
    """
    Reserve the entire stock of each order or none of it, in the given order, and publish the result, once per order.

    :param requests: lines by order id.
    """
    stock = StockItem.objects.locked(line.sku for lines in requests.values() for line in lines)
    levels = _levels(stock)
    missing = {order_id: _reserve_lines(stock, lines) for order_id, lines in _unanswered(requests).items()}
    reserved = [order_id for order_id, skus in missing.items() if not skus]
    changes = _write_back(stock, levels)
    _write_reservations({order_id: requests[order_id] for order_id in reserved}, now)
    publish_all([StockReserved(order_id=order_id) for order_id in reserved])
    publish_all([StockRejected(order_id=order_id, missing=skus) for order_id, skus in missing.items() if skus])
    publish_all(changes)


@transaction.atomic
def commit(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Ship the stock reserved for these orders, once per order.

    :raises ReservationNotHeld: if one of them holds no stock.
    """
    reservations = Reservation.objects.locked(order_ids)
    not_held = set(order_ids) - {str(one.order_id) for one in reservations if one.status != one.Status.RELEASED}
    if not_held:
        raise ReservationNotHeld(f"No stock is held for {sorted(not_held)}.")
    ended = _end(reservations, Reservation.Status.COMMITTED, now)
    stock = StockItem.objects.locked(_skus(ended))
    for line in _lines(ended):
        stock[line.sku].reserved -= line.quantity
        stock[line.sku].on_hand -= line.quantity
    StockItem.objects.write_back(stock.values())
    bulk_copy_instances(
        [_shipment(reservation, line, now) for reservation in ended for line in reservation.lines.all()]
    )


@transaction.atomic
def release(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Release the stock reserved for these orders, and block any later reservation for them.
    """
    reservations = Reservation.objects.locked(order_ids)
    ended = _end(reservations, Reservation.Status.RELEASED, now)
    stock = StockItem.objects.locked(_skus(ended))
    levels = _levels(stock)
    for line in _lines(ended):
        stock[line.sku].reserved -= line.quantity
    changes = _write_back(stock, levels)
    _block(set(order_ids) - {str(reservation.order_id) for reservation in reservations}, now)
    publish_all(changes)


@transaction.atomic
def open_stock_items(skus: Collection[str], *, opening: int = 0, now: datetime) -> None:
    """
    Create stock items for these skus. An item without an opening movement gets `opening` on hand.
    """
    StockItem.objects.bulk_create([StockItem(sku=sku) for sku in sorted(skus)], ignore_conflicts=True)
    if opening:
        stock = StockItem.objects.locked(skus)
        opened = StockMovement.objects.filter(kind=StockMovement.MovementKind.OPENING, sku__in=skus).values_list(
            "sku", flat=True
        )
        new = stock.keys() - set(opened)
        _move({sku: stock[sku] for sku in new}, dict.fromkeys(new, opening), StockMovement.MovementKind.OPENING, now)


@transaction.atomic
def receive(quantities: Mapping[str, int], *, now: datetime) -> None:
    """
    Add received stock.

    :param quantities: positive quantities by sku.
    """
    open_stock_items(quantities.keys(), now=now)
    _move(StockItem.objects.locked(quantities), quantities, StockMovement.MovementKind.RECEIVED, now)


@transaction.atomic
def withdraw(quantities: Mapping[str, int], *, now: datetime) -> None:
    """
    Remove stock for another reason than a sale.

    :param quantities: positive quantities by sku.
    :raises NotEnoughStock: if less than that is available.
    """
    stock = StockItem.objects.locked(quantities)
    short = [sku for sku, quantity in quantities.items() if sku not in stock or stock[sku].available < quantity]
    if short:
        raise NotEnoughStock(f"Not enough stock of {', '.join(sorted(short))} to withdraw.")
    _move(stock, {sku: -quantity for sku, quantity in quantities.items()}, StockMovement.MovementKind.WITHDRAWN, now)


def _unanswered(requests: Mapping[str, Sequence[Line]]) -> dict[str, Sequence[Line]]:
    answered = set(Reservation.objects.filter(order_id__any=requests).values_list("order_id", flat=True))
    return {order_id: lines for order_id, lines in requests.items() if UUID(order_id) not in answered}


def _reserve_lines(stock: Stock, lines: Sequence[Line]) -> tuple[str, ...]:
    """
    Reserve all of these lines. If stock is missing, reserve nothing and return the skus that lack it.
    """
    missing = tuple(line.sku for line in lines if line.sku not in stock or stock[line.sku].available < line.quantity)
    if not missing:
        for line in lines:
            stock[line.sku].reserved += line.quantity
    return missing


def _write_reservations(lines_by_order: Mapping[str, Sequence[Line]], now: datetime) -> None:
    reservations = {order_id: Reservation(order_id=UUID(order_id), created_at=now) for order_id in lines_by_order}
    bulk_copy_instances(list(reservations.values()))
    bulk_copy_instances(
        [
            ReservationLine(reservation=reservations[order_id], sku=line.sku, quantity=line.quantity)
            for order_id, lines in lines_by_order.items()
            for line in lines
        ]
    )


def _block(order_ids: Iterable[str], now: datetime) -> None:
    """
    Insert released reservations, so that no stock is reserved for these cancelled orders later.
    """
    released = Reservation.Status.RELEASED
    bulk_copy_instances(
        [
            Reservation(order_id=UUID(order_id), status=released, created_at=now, ended_at=now)
            for order_id in sorted(order_ids)
        ]
    )


def _end(reservations: Sequence[Reservation], status: str, now: datetime) -> list[Reservation]:
    """
    Move the held ones of these locked reservations to a final status, and return them.
    """
    ending = [reservation for reservation in reservations if status in Reservation.TRANSITIONS[reservation.status]]
    ids = [reservation.pk for reservation in ending]
    held = Reservation.objects.filter(pk__any=ids, status=Reservation.Status.HELD)
    held.update(status=status, ended_at=now)
    return ending


def _lines(reservations: Sequence[Reservation]) -> Iterator[ReservationLine]:
    for reservation in reservations:
        yield from reservation.lines.all()


def _skus(reservations: Sequence[Reservation]) -> set[str]:
    return {line.sku for line in _lines(reservations)}


def _shipment(reservation: Reservation, line: ReservationLine, now: datetime) -> StockMovement:
    return StockMovement(
        sku=line.sku,
        kind=StockMovement.MovementKind.SHIPPED,
        quantity=-line.quantity,
        order_id=reservation.order_id,
        at=now,
    )


def _move(stock: Stock, quantities: Mapping[str, int], kind: str, now: datetime) -> None:
    levels = _levels(stock)
    for sku, item in stock.items():
        item.on_hand += quantities[sku]
    changes = _write_back(stock, levels)
    bulk_copy_instances(
        [StockMovement(sku=sku, kind=kind, quantity=quantity, at=now) for sku, quantity in quantities.items()]
    )
    publish_all(changes)


def _levels(stock: Stock) -> dict[str, int]:
    """
    Return how many of each item are available, as far as customers are told: all large numbers are equal.
    """
    return {sku: min(item.available, RUNNING_OUT + 1) for sku, item in stock.items()}


def _write_back(stock: Stock, before: Mapping[str, int]) -> list[Event]:
    """
    Store these locked items, and return the events of those whose levels have changed.
    """
    changed = [sku for sku, level in sorted(_levels(stock).items()) if level != before[sku]]
    changes = [event for sku in changed for event in _changes(stock[sku], was_sold_out=before[sku] == 0)]
    StockItem.objects.write_back(stock.values())
    return changes


def _changes(item: StockItem, *, was_sold_out: bool) -> Iterator[Event]:
    if not item.available:
        yield StockDepleted(sku=item.sku, revision=item.next_revision())
    elif was_sold_out or item.available > RUNNING_OUT:
        yield StockReplenished(sku=item.sku, revision=item.next_revision())
    if 0 < item.available <= RUNNING_OUT:
        yield StockRunningLow(sku=item.sku, available=item.available, revision=item.next_revision())
