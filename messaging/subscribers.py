"""
Who reacts to which event: the decorator, the registry and the two errors that steer the relay.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from .contracts import Event

Reaction = Callable[[Sequence[Any]], None]


class Permanent(Exception):
    """
    Raise it from a subscriber when trying again cannot help: the delivery is dead at once and a person looks at it.
    """


class Unavailable(Exception):
    """
    Raise it from a subscriber when the other side is down: the delivery is deferred without using up its attempts.

    A subscriber that calls the outside names the keys of the events that it could not settle, so that they alone are
    deferred: the other side is down, and to ask it once more for each of them would only take longer. It may name none,
    when all are settled and the other side is down nevertheless. And the other side may be up, but not done yet: then
    it is no outage, which would pause the subscriber for everybody.
    """

    def __init__(self, detail: str = "", *, keys: Collection[str] | None = None, is_outage: bool = True) -> None:
        super().__init__(detail)
        self.keys = keys
        self.is_outage = is_outage


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """
    A function that reacts to sets of events.

    `name` is stored in every delivery, so renaming the function orphans what is pending for it; a test pins the names.
    """

    name: str
    react: Reaction
    events: tuple[type[Event], ...]
    transactional: bool


_registry: dict[str, Subscriber] = {}


def subscriber(*events: type[Event], transactional: bool = True) -> Callable[[Reaction], Reaction]:
    """
    Subscribe the decorated function to these events.

    It is called with a set of events of different keys; events of one key come one after the other, in order.
    A transactional subscriber runs inside the transaction that records its deliveries. One that calls the outside
    (`transactional=False`) runs in none, may be called again for the same event, and opens its own transactions.
    """

    def register(react: Reaction) -> Reaction:
        name = f"{react.__module__.split('.')[0]}.{react.__name__}"
        _registry[name] = Subscriber(name=name, react=react, events=events, transactional=transactional)
        return react

    return register


def all_subscribers() -> dict[str, Subscriber]:
    """
    List every registered subscriber by name, in order of registration.
    """
    return dict(_registry)


def subscribers_of(event: type[Event]) -> list[Subscriber]:
    """
    List the subscribers that an event of this type fans out to.
    """
    return [candidate for candidate in _registry.values() if event in candidate.events]
