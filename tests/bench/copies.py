"""
Copies of orders by sets, on PostgreSQL: a statement copies a kind of rows of many orders, with other ids, numbers,
customers, skus and times.

An id keeps its middle; its time moves with the order's, and its end is the number of the copy, and its own.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import AutoField, DateTimeField, Field, Model
from psycopg import sql

from messaging.kernel.ids import moment_of
from messaging.kernel.order_numbers import new_number
from messaging.models import Delivery
from shop.settings.groups import INSTANT_GATEWAY

from .originals import CUSTOMER, EMAIL, GATEWAY, PHONE, SKUS, SOLD_OUT, Original
from .products import SKUS as PRODUCTS

CHUNK = 20_000
"""Orders of a transaction."""

FIRST = 10_000
"""The number of the first copy: rows that are there, such as the opening of stock, have lower ids."""

ORDERS_OF_A_CUSTOMER = 10
PLACES = 10
"""In so many places of the code an error arises, so that its dead letters are as many groups."""

LOYAL = 50
"""Each so many orders, one is of the same customer."""

UUID_TEXT = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
HEX_ID = r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"

COPIES = """
    CREATE UNLOGGED TABLE bench_copy (
        n bigint PRIMARY KEY, kind text, at timestamptz, number text, ms bigint, hex text, customer bigint
    )
"""
FINISH_COPIES = """
    UPDATE bench_copy SET ms = floor(extract(epoch FROM at) * 1000), hex = lpad(to_hex(n), 9, '0'),
        customer = CASE WHEN n % {loyal} = 0 THEN 1 ELSE 2 + n * 7919 % ({customers} - 1) END
"""
ADD_CUSTOMERS = """
    INSERT INTO auth_user (
        id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined
    )
    SELECT n, '!', false, 'customer' || n, 'Ada', 'Customer ' || n, 'c' || n || '@example.com', false, true, now()
    FROM generate_series(1, {customers}) AS n
"""
COUNT_STOCK = """
    UPDATE inventory_stockitem SET on_hand = moved.quantity, reserved = coalesce(held.quantity, 0)
    FROM (SELECT sku, sum(quantity) AS quantity FROM inventory_stockmovement GROUP BY sku) AS moved
    LEFT JOIN (
        SELECT sku, sum(quantity) AS quantity FROM inventory_reservationline AS line
        JOIN inventory_reservation AS reservation ON reservation.id = line.reservation_id
        WHERE status = 'held' GROUP BY sku
    ) AS held ON held.sku = moved.sku
    WHERE inventory_stockitem.sku = moved.sku
"""

REFERRING = """
    SELECT DISTINCT conrelid::regclass::text FROM pg_constraint
    WHERE contype = 'f' AND confrelid = %s::regclass AND conrelid <> %s::regclass
"""
INDEXES = """
    SELECT
        CASE WHEN constrained.oid IS NULL THEN pg_get_indexdef(indexrelid)
            ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I ', indrelid::regclass, conname)
                || pg_get_constraintdef(constrained.oid)
        END,
        CASE WHEN constrained.oid IS NULL THEN format('DROP INDEX %%s', indexrelid::regclass)
            ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', indrelid::regclass, conname)
        END
    FROM pg_index LEFT JOIN pg_constraint AS constrained ON conindid = indexrelid AND contype = 'u'
    WHERE NOT indisprimary AND indrelid = ANY (%s::regclass[])
"""

Plan = Sequence[tuple[str, datetime]]
"""The kind of each order, and when it is placed: oldest first."""


def copy_orders(originals: Mapping[str, Original], plan: Plan, *, messages_since: datetime) -> None:
    """
    Copy an original for each entry of the plan. Messages of orders before `messages_since` are left out, as if they
    were pruned.
    """
    models = (*_models(originals), get_user_model())
    with connection.cursor() as cursor, _without_indexes(cursor, [model._meta.db_table for model in models]):
        cursor.execute(COPIES)
        _write_plan(cursor, plan)
        customers = max(2, len(plan) // ORDERS_OF_A_CUSTOMER)
        cursor.execute(FINISH_COPIES.format(loyal=LOYAL, customers=customers))
        cursor.execute(ADD_CUSTOMERS.format(customers=customers))
        # Most of the time would be taken to look up rows that exist, and to compress mails.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET default_toast_compression = lz4")
        cursor.execute("SET jit = off")
        statements = list(_statements(originals, messages_since))
        for start in range(0, len(plan), CHUNK):
            first = FIRST + start
            with transaction.atomic():
                for statement in statements:
                    cursor.execute(f"{statement} AND c.n >= {first} AND c.n < {first + CHUNK}")
        cursor.execute("SET session_replication_role = origin")
        cursor.execute(COUNT_STOCK)
        for model in models:
            _advance_ids(cursor, model)
        cursor.execute("DROP TABLE bench_copy")


@contextmanager
def _without_indexes(cursor: Any, tables: Sequence[str]) -> Iterator[None]:
    """Have tables filled without a log, and without indexes but those of primary keys, which are made in the end."""
    for table in tables:
        _set_unlogged(cursor, table)
    cursor.execute(INDEXES, [list(tables)])
    indexes = cursor.fetchall()
    for _, drop in indexes:
        cursor.execute(drop)
    yield
    cursor.execute("SET maintenance_work_mem = '1GB'")
    for create, _ in indexes:
        cursor.execute(create)


def _set_unlogged(cursor: Any, table: str) -> None:
    """Set a table unlogged, after those that refer to it."""
    cursor.execute(REFERRING, [table, table])
    for (referring,) in cursor.fetchall():
        _set_unlogged(cursor, referring)
    cursor.execute(f"ALTER TABLE {table} SET UNLOGGED")


def _write_plan(cursor: Any, plan: Plan) -> None:
    numbers = iter(_numbers(len(plan)))
    with cursor.copy("COPY bench_copy (n, kind, at, number) FROM STDIN") as copy:
        for n, (kind, at) in enumerate(plan, FIRST):
            copy.write_row((n, kind, at.replace(microsecond=at.microsecond // 1000 * 1000), next(numbers)))


def _numbers(count: int) -> Sequence[str]:
    """Return so many different order numbers."""
    numbers = dict.fromkeys(new_number() for _ in range(count))
    while len(numbers) < count:
        numbers[new_number()] = None
    return list(islice(numbers, count))


def _models(originals: Mapping[str, Original]) -> list[type[Model]]:
    return list(
        dict.fromkeys(model for original in originals.values() for model, rows in original.rows.items() if rows)
    )


def _statements(originals: Mapping[str, Original], messages_since: datetime) -> Iterator[str]:
    """Return a statement for each model and kind, which copies its rows; a condition on the range of `c.n` follows."""
    strides = {
        model: max(len(original.rows.get(model, ())) for original in originals.values())
        for model in _models(originals)
        if isinstance(model._meta.pk, AutoField)
    }
    for kind, original in originals.items():
        expression = partial(_expression, _Copier(original, strides))
        for model, rows in original.rows.items():
            if rows:
                kept = messages_since if model._meta.app_label == "messaging" else None
                yield _statement(kind, model, rows, expression, kept)


def _statement(
    kind: str,
    model: type[Model],
    rows: Sequence[Sequence[Any]],
    expression: Callable[[Field, Any], str],
    since: datetime | None,
) -> str:
    fields = model._meta.concrete_fields
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    by_field = zip(fields, zip(*rows, strict=True), strict=True)
    values = ",\n".join(_choice([expression(field, value) for value in column]) for field, column in by_field)
    return f"""
        INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({columns})
        SELECT {values} FROM bench_copy AS c CROSS JOIN LATERAL generate_series(1, least(c.n, {len(rows)})) AS row
        WHERE c.kind = {_literal(kind)} AND c.at >= {_literal(since or datetime.min.replace(tzinfo=UTC))}
    """


def _choice(expressions: Sequence[str]) -> str:
    """
    Return the expression of a column for each `row` of a copy. PostgreSQL would prepare those of VALUES for each row.
    """
    [most_frequent, *others] = dict(Counter(expressions).most_common())
    rows = {other: [row for row, expression in enumerate(expressions, 1) if expression == other] for other in others}
    cases = " ".join(f"WHEN row = ANY (ARRAY{numbers}) THEN {other}" for other, numbers in rows.items())
    return f"CASE {cases} ELSE {most_frequent} END" if cases else most_frequent


class _Copier:
    """How values of an original become those of its copies, as expressions of SQL about the copy `c`."""

    def __init__(self, original: Original, strides: Mapping[type[Model], int]) -> None:
        self._placed = original.placed_at.replace(microsecond=original.placed_at.microsecond // 1000 * 1000)
        self._strides = strides
        self._numbers: dict[UUID, int] = {}
        self._first = {model: min(row[0] for row in original.rows[model]) for model in strides if original.rows[model]}
        self._known = {
            original.number: "c.number",
            str(CUSTOMER): "c.customer",
            EMAIL: "'c' || c.customer || '@example.com'",
            PHONE: "'+4477' || lpad(c.customer::text, 8, '0')",
            GATEWAY: _literal(INSTANT_GATEWAY),
            **{sku: _product(at) for at, sku in enumerate([*SKUS, SOLD_OUT])},
            **{error: f"left(md5('{error}' || c.n % {PLACES}), 16)" for error in _fingerprints(original)},
        }
        self._pattern = re.compile("|".join([UUID_TEXT, HEX_ID, *map(re.escape, self._known)]))

    def text(self, text: str) -> str:
        parts, end = [], 0
        for match in self._pattern.finditer(text):
            parts += [_literal(text[end : match.start()]), f"({self._known_text(match[0])})"]
            end = match.end()
        return " || ".join([*parts, _literal(text[end:])])

    def number(self, model: type[Model], pk: int) -> str:
        return f"c.n * {self._strides[model]} + {pk - self._first[model] + 1}"

    def moment(self, moment: datetime) -> str:
        return f"c.at + interval '{(moment - self._placed) / timedelta(microseconds=1):.0f} microseconds'"

    def _known_text(self, text: str) -> str:
        return self._known.get(text) or self.id(UUID(text), hyphen="-" if "-" in text else "")

    def id(self, id_: UUID, *, hyphen: str = "-") -> str:
        own = f"{self._numbers.setdefault(id_, len(self._numbers)):03x}"
        middle = f"{hyphen}{id_.hex[12:16]}{hyphen}{id_.hex[16:20]}{hyphen}"
        if id_.version != 7:
            return f"{_literal(id_.hex[:8] + hyphen + id_.hex[8:12] + middle)} || c.hex || '{own}'"
        after = (moment_of(id_) - self._placed) // timedelta(milliseconds=1)
        time = f"lpad(to_hex(c.ms + {after}), 12, '0')"
        return f"overlay({time} placing '{hyphen}' from 9 for 0) || '{middle}' || c.hex || '{own}'"


def _product(at: int) -> str:
    return f"'SKU-' || lpad(((c.n * 7 + {at}) % {len(PRODUCTS)})::text, 3, '0')"


def _fingerprints(original: Original) -> set[str]:
    at = [field.name for field in Delivery._meta.concrete_fields].index("fingerprint")
    return {row[at] for row in original.rows[Delivery]} - {""}


def _expression(copier: _Copier, field: Field, value: Any) -> str:
    """Return the expression for a copy's value of a field."""
    target = field.target_field if field.is_relation else field
    if value is None:
        expression = "NULL"
    elif isinstance(target, AutoField):
        is_customer = value == CUSTOMER
        expression = "c.customer" if is_customer else copier.number(target.model, value)
    elif isinstance(field, DateTimeField):
        expression = copier.moment(value)
    elif isinstance(value, UUID):
        expression = copier.id(value)
    elif isinstance(value, bytes | memoryview):
        expression = f"convert_to({copier.text(bytes(value).decode())}, 'UTF8')"
    else:
        expression = copier.text(value) if isinstance(value, str) else _literal(value)
    return f"({expression})::{target.db_type(connection)}"


def _literal(value: object) -> str:
    connection.ensure_connection()
    return sql.Literal(value).as_string(connection.connection)


def _advance_ids(cursor: Any, model: type[Model]) -> None:
    if isinstance(model._meta.pk, AutoField):
        table = model._meta.db_table
        cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
