"""
Subscribers: the decorator, the registry, and the exceptions by which a subscriber steers the relay.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .backoff import MAX_DEFERRALS
from .contracts import Event, decode

Reaction = Callable[[Sequence[Any]], None]
Decoder = Callable[[str, str], Any]


class Permanent(Exception):
    """
    Retrying cannot help: the delivery becomes a dead letter at once.
    """


class _ByKey(Exception):
    def __init__(self, detail: str, *, keys: Collection[str]) -> None:
        super().__init__(detail)
        self.keys = keys


class Unavailable(Exception):
    """
    The external service is down and nothing of the batch took effect: the batch is deferred, and the subscriber paused.
    """


class PartlyUnavailable(_ByKey):
    """
    The external service is down for the events of these keys, which are deferred; the others took effect.

    The subscriber is paused if that is every key, or most of them after a long wait.
    """


class NotReady(_ByKey):
    """
    The external service has no result yet for the events of these keys, which are deferred; the others took effect.
    """


class OutageObserved(Exception):
    """
    The whole batch took effect, but a call showed that the external service is down: the subscriber is paused if the
    batch took long.
    """


Deferral = Unavailable | PartlyUnavailable | NotReady | OutageObserved
"""
How a subscriber that calls an external service (`transactional=False`) reports an outage or a missing result. A
deferral uses up no attempt; the number of deferrals is bounded. A transactional subscriber is rolled back whatever it
raises: its batch is delivered one by one, and each delivery that raises a deferral again is deferred.
"""


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """
    A function that reacts to batches of events.

    `name` is stored in each delivery: renaming the function would orphan its pending deliveries. A test pins the names.
    """

    name: str
    react: Reaction
    events: tuple[type[Event], ...]
    transactional: bool
    in_one_call: bool
    """Whether one call of the external service takes a whole batch, instead of one event."""
    decode: Decoder
    """Returns an event by the type and the payload of its message."""
    max_deferrals: int
    """After which a deferral makes a dead letter."""


_registry: dict[str, Subscriber] = {}


def subscriber(
    *events: type[Event],
    transactional: bool = True,
    in_one_call: bool = False,
    decode: Decoder = decode,
    max_deferrals: int = MAX_DEFERRALS,
) -> Callable[[Reaction], Reaction]:
    """
    Subscribe the decorated function to these events.

    The function gets batches of events with different keys; events with the same key follow one another, in order.
    A transactional subscriber runs inside the transaction that records its deliveries. One that calls an external
    service (`transactional=False`) opens its own transactions, and may be called again for the same event.
    """

    def register(react: Reaction) -> Reaction:
        name = f"{react.__module__.split('.')[0]}.{react.__name__}"
        _registry[name] = Subscriber(
            name=name,
            react=react,
            events=events,
            transactional=transactional,
            in_one_call=in_one_call,
            decode=decode,
            max_deferrals=max_deferrals,
        )
        return react

    return register


def wrap(name: str, wrapper: Callable[[Reaction], Reaction]) -> None:
    """
    Replace a subscriber's function in this process, for example by one that fails on purpose.

    :param wrapper: gets the function and returns the one that is called instead.
    """
    _registry[name] = replace(_registry[name], react=wrapper(_registry[name].react))


def all_subscribers() -> dict[str, Subscriber]:
    """
    Return all subscribers by name, in order of registration.
    """
    return dict(_registry)


def subscribers_of(event: type[Event]) -> list[Subscriber]:
    """
    Return the subscribers to events of this type, in order of registration.
    """
    return [candidate for candidate in _registry.values() if event in candidate.events]
