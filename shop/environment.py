"""
The environment as the settings read it: a value that cannot be meant is refused, by the name of its variable.
"""

import logging
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

SWITCHES = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
ENGINES = {"django.db.backends.sqlite3", "django.db.backends.postgresql"}


class Environment(environ.Env):
    """
    Every reader raises ImproperlyConfigured if the variable is set to what it cannot read.
    """

    def __init__(self) -> None:
        super().__init__()
        # A secret may begin with a dollar sign, which otherwise names another variable.
        self.escape_proxy = True

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} cannot be read: {error}.") from error

    @classmethod
    def parse_value(cls, value: str, cast: Any) -> Any:
        if cast == tuple[str, ...]:
            return tuple(part for part in value.split(",") if part)
        if cast is not bool:
            return super().parse_value(value, cast)
        if value.lower() not in SWITCHES:
            raise ValueError(f"{value!r} is none of {', '.join(SWITCHES)}")
        return SWITCHES[value.lower()]

    def json_object(self, var: str) -> dict[str, Any]:
        """
        Read a JSON object, empty when the variable is not set.
        """
        read = self.json(var, default={})
        if not isinstance(read, dict):
            raise ImproperlyConfigured(f'{var} is no JSON object, such as {{"KEY": "value"}}.')
        return read

    def log_level(self, var: str, *, default: str) -> str:
        """
        Read the name of a log level, in any case.
        """
        level = self.str(var, default=default).upper()
        if level not in logging.getLevelNamesMapping():
            raise ImproperlyConfigured(f"{var} is {level}, which is none of DEBUG, INFO, WARNING and ERROR.")
        return level

    def database(self, var: str, *, default: str) -> dict[str, Any]:
        """
        Read the address of a database of SQLite or PostgreSQL, as a value for DATABASES.
        """
        try:
            read = self.db(var, default=default)
        except ValueError:
            read = {}
        if read.get("ENGINE") not in ENGINES:
            raise ImproperlyConfigured(
                f"{var} is no address of a database. Write sqlite:////folder/shop.sqlite3, or "
                "postgres://user:password@host:5432/name with special characters percent-encoded."
            )
        return read
