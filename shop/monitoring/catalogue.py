"""
The catalogue of metrics: what each measures, and its labels. `/metrics` and docs/reference/monitoring.md show it.
"""

from datetime import timedelta
from typing import NamedTuple

from messaging.status import LAG_SECONDS, MOST_COUNTED, MOST_DELIVERED

WINDOW = timedelta(minutes=5)
"""What is recent: an index leads to the messages and orders of these minutes."""

MOST_LATENCIES, MOST_ATTEMPTS, MOST_OPEN_ORDERS = 5_000, 1_000, 10_000
"""How many rows a scrape reads at most, the newest ones. Beyond it the numbers stay as they are."""

RECENT = f"the last {WINDOW.seconds // 60} minutes"


class Described(NamedTuple):
    about: str
    labels: tuple[str, ...] = ()
    where: str = ""
    """In which services the metric exists; empty for all."""
    is_histogram: bool = False


WITH_BROKER = "with a broker (TRANSPORT_URL)"
WITH_ORDERS = "in the service with the orders"
WITH_PAYMENTS = "in the service with the payments"
WITH_ALL = "where all contexts run in one service"

CATALOGUE = {
    "shop_info": Described("1; the service that this process runs: its contexts, or shop.", ("service",)),
    "shop_workers": Described("Workers that run."),
    "shop_pending_deliveries": Described(
        "Deliveries that are pending: due, claimed by a worker, retrying later, or delayed by their publisher; at most"
        f" {MOST_COUNTED:,} of each subscriber.",
        ("subscriber", "state"),
    ),
    "shop_oldest_due_seconds": Described(
        "For how long the oldest delivery that is due has been due; 0 if none is.", ("subscriber",)
    ),
    "shop_dead_letters": Described(
        f"Dead letters, which wait for an operator; at most {MOST_COUNTED:,} of each subscriber.", ("subscriber",)
    ),
    "shop_delivered_last_minute": Described(
        f"Deliveries in the last minute, at most {MOST_DELIVERED:,} of all subscribers.", ("subscriber",)
    ),
    "shop_subscriber_paused": Described(
        "1 while a worker has paused the subscriber, because the service that it calls is down.", ("subscriber",)
    ),
    "shop_subscriber_paused_by_operator": Described("1 while an operator has paused the subscriber.", ("subscriber",)),
    "shop_delivery_latency_seconds": Described(
        "Time from the commit of a message until it was handled, of the newest"
        f" {MOST_LATENCIES:,} deliveries of messages of {RECENT}.",
        ("subscriber",),
        is_histogram=True,
    ),
    "shop_failed_attempts": Described(
        f"Failed attempts in {RECENT}, at most {MOST_ATTEMPTS:,} of all subscribers.", ("subscriber",)
    ),
    "shop_broker_up": Described(f"1 if the broker answers within {LAG_SECONDS:g} s.", where=WITH_BROKER),
    "shop_broker_lag": Described(
        "Messages that wait at the broker for this service, if the broker can tell.", where=WITH_BROKER
    ),
    "shop_receivers": Described(
        "Receivers of messages from the broker: connecting, connected, disconnected or dead.", ("state",), WITH_BROKER
    ),
    "shop_open_orders": Described(
        f"Orders that have not ended, at most {MOST_OPEN_ORDERS:,} together.", ("state",), WITH_ORDERS
    ),
    "shop_recent_orders": Described(f"Orders of {RECENT}, by their present state.", ("state",), WITH_ORDERS),
    "shop_gateway_call_seconds": Described(
        f"How long calls of the payment gateway took, of the newest {MOST_LATENCIES:,} of {RECENT}; the outcome is its"
        " answer, timed out, unreachable or undecided.",
        ("call", "outcome"),
        WITH_PAYMENTS,
        is_histogram=True,
    ),
    "shop_audit_age_seconds": Described(
        "Time since the last recorded audit began; +Inf if there was none.", where=WITH_ALL
    ),
    "shop_audit_duration_seconds": Described("How long the last recorded audit took.", where=WITH_ALL),
    "shop_audit_violations": Described(
        "Violations of each rule that recorded audits found last, at most 1,000 of each.", ("rule",), WITH_ALL
    ),
}
