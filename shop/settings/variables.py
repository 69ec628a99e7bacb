"""
Settings in groups: each field names its environment variable, its default and the least value it accepts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from django.core import checks

from shop.settings.environment import Environment

T = TypeVar("T")


def variable(name: str, default: T, *, minimum: int | None = None) -> T:
    """
    Declare a field that is read from the environment variable `name`.
    """
    declared: Any = field(default=default, metadata={"variable": name, "minimum": minimum})
    return declared  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class SettingsGroup:
    """
    Settings that belong together. Subclasses declare each field with `variable`.
    """

    @classmethod
    def from_environment(cls, env: Environment, **defaults: object) -> Self:
        """
        Return the group as the environment sets it; `defaults` replace those of the fields.

        :raises ImproperlyConfigured: if a variable cannot be read as its field's type.
        """
        return cls(
            **{
                setting.name: env.get_value(
                    setting.metadata["variable"],
                    cast=setting.type,
                    default=defaults.get(setting.name, setting.default),
                )
                for setting in fields(cls)
            }
        )

    def errors(self) -> Iterator[checks.CheckMessage]:
        """
        Return what `manage.py check` reports as errors: here the numbers below their minimum.
        """
        for setting in fields(self):
            name, minimum = setting.metadata["variable"], setting.metadata["minimum"]
            number = vars(self)[setting.name]
            if minimum is not None and number < minimum:
                yield error("E002" if minimum else "E008", f"{name} is {number}.", f"Set {name} to {minimum} or more.")

    def deployment_warnings(self) -> Iterator[checks.CheckMessage]:
        """
        Return what `manage.py check --deploy` reports as warnings.
        """
        yield from ()


def error(number: str, problem: str, hint: str) -> checks.CheckMessage:
    """
    Return an error of `manage.py check` with the id `shop.<number>`.
    """
    return checks.Error(problem, hint=hint, id=f"shop.{number}")


def warning(number: str, problem: str, hint: str) -> checks.CheckMessage:
    """
    Return a warning of `manage.py check` with the id `shop.<number>`.
    """
    return checks.Warning(problem, hint=hint, id=f"shop.{number}")
