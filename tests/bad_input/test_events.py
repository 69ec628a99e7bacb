"""
Row C14: signed webhooks with an invalid event.
"""

import json
from typing import Any

from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import Literal
from tests.refusals import JSON
from tests.webhooks import DATA, event, refusal, signed


def written(**changes: Any) -> bytes:
    """
    Return the body of an event with these changes, literals included.
    """
    literals = {name: value for name, value in changes.items() if isinstance(value, Literal)}
    body = event(**changes | dict.fromkeys(literals, "{literal}"))
    for literal in literals.values():
        body = body.replace(b'"{literal}"', literal.text.encode())
    return body


@rows(
    "name, value",
    ("C14", "amount", one_of(-1, -(2**63), 2**63, 10**20, 4_500.0, 0.5, float("nan"), float("inf"))),
    ("C14", "amount", one_of("4500", "", True, False, None, [4_500], {"value": 4_500}, ...)),
    ("C14", "amount", one_of(*map(Literal, ("1e2", "1e400", "-0.0", "045", "+1", "0x1", "1_000", "9" * 5_000)))),
    ("C14", "currency", one_of("", "gbp", "GB", "GBPX", "GBP\n", "GB\0", "£££", "ＧＢＰ", 826, None, ...)),
    ("C14", "status", one_of("", "paid", "SUCCEEDED", "succeeded\n", 1, True, None, ["succeeded"], ...)),
    ("C14", "key", one_of("", "k" * 101, "k\0", "\0", "k\n", "k k", "clé", 1, None, {}, ...)),
    ("C14", "reference", one_of("r" * 101, "r\0", "r\n", "réf", 1, None, [], ...)),
    ("C14", "order_id", one_of(1, None, [], {}, True, ...)),
    ("C14", one_of("key", "reference", "order_id", "status", "currency", "other"), Literal(r'"\ud800"')),
    ("C14", one_of("key", "order_id", "other"), Literal(r'"\udfff\ud800"')),
    ("C14", "other", one_of(*map(Literal, ("NaN", "Infinity", "'x'", "[" * 9_000 + "]" * 9_000, '"\t"')))),
)
def test_rejects_the_value(gateway, name, value):
    body = written(**{name: value})

    assert refusal(gateway, body, signed(body))[0] == "malformed_event"


@rows(
    "body",
    ("C14", one_of(b"", b" ", b"{}", b"[]", b"null", b'"x"', b"1", b"NaN", b"\xef\xbb\xbf{}", b"{} {}")),
    ("C14", one_of(event() + b"{}", event()[:-1], b"[" + event() + b"]", json.dumps(dict(DATA)).encode())),
    ("C14", one_of(b'{"data": null}', b'{"data": []}', b'{"data": {}}', b'{"data": "x"}')),
    ("C14", one_of(b"[" * 20_000, b'{"a":' * 4_000, b'{"data":' * 2_500)),
)
def test_rejects_the_event(gateway, body):
    assert refusal(gateway, body, signed(body), Content_Type=JSON)[0] == "malformed_event"
