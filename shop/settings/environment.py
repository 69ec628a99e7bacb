"""
Environment variables for settings. A value that cannot be parsed is rejected with the name of its variable.
"""

import logging
from contextlib import suppress
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

SWITCHES = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
ENGINES = {"django.db.backends.sqlite3", "django.db.backends.postgresql"}


class Environment(environ.Env):
    """
    Every method raises ImproperlyConfigured if the value cannot be parsed.
    """

    def __init__(self) -> None:
        super().__init__()
        # Lets a secret begin with a dollar sign, which otherwise refers to another variable.
        self.escape_proxy = True
        self.types: dict[str, Any] = {}
        """The type of each variable that was read: for the reference of settings."""

    def get_value(self, var: str, cast: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.types[var] = cast or str
        try:
            return super().get_value(var, cast, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} cannot be read: {error}.") from error

    @classmethod
    def parse_value(cls, value: str, cast: Any) -> Any:
        if cast == tuple[str, ...]:
            return tuple(part for part in value.split(",") if part)
        if cast is not bool:
            return super().parse_value(value, cast)
        if value.lower() not in SWITCHES:
            raise ValueError(f"{value!r} is not one of {', '.join(SWITCHES)}")
        return SWITCHES[value.lower()]

    def json_object(self, var: str) -> dict[str, Any]:
        """
        Return a JSON object, empty if the variable is not set.
        """
        parsed = self.json(var, default={})
        if not isinstance(parsed, dict):
            raise ImproperlyConfigured(f'{var} is not a JSON object such as {{"KEY": "value"}}.')
        return parsed

    def log_level(self, var: str, *, default: str) -> str:
        """
        Return the name of a log level in capitals.
        """
        level: str = self.str(var, default=default).upper()
        if level not in logging.getLevelNamesMapping():
            raise ImproperlyConfigured(f"{var} is {level}, which is not one of DEBUG, INFO, WARNING and ERROR.")
        return level

    def one_of(self, var: str, *choices: str, default: str) -> str:
        """
        Return the value of a variable that has one of a few.
        """
        value: str = self.str(var, default=default)
        if value not in choices:
            raise ImproperlyConfigured(f"{var} is {value!r}, which is not one of {', '.join(choices)}.")
        return value

    def database(self, var: str, *, default: str) -> dict[str, Any]:
        """
        Return a value for DATABASES from the URL of an SQLite or PostgreSQL database.
        """
        return self.parsed_database(self.str(var, default=default), var)

    @classmethod
    def parsed_database(cls, url: str, name: str) -> dict[str, Any]:
        """
        Return a value for DATABASES from the URL of an SQLite or PostgreSQL database.

        :param name: of what the URL is the value.
        """
        parsed: dict[str, Any] = {}
        with suppress(ValueError):
            parsed = cls.db_url_config(url)
        if parsed.get("ENGINE") not in ENGINES:
            raise ImproperlyConfigured(
                f"{name} is not the URL of a database. Write sqlite:////folder/shop.sqlite3, or "
                "postgres://user:password@host:5432/name with special characters percent-encoded."
            )
        return parsed
