import sys

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from shop.environment import Environment
from tests.processes import run

SECRET = "a-secret-of-this-shop-of-forty-characters"


@pytest.fixture
def env(monkeypatch) -> Environment:
    """
    An empty environment.
    """
    environment = Environment()
    monkeypatch.setattr(environment, "ENVIRON", {})
    return environment


@pytest.mark.filterwarnings("ignore:Engine not recognized")
class TestEnvironment:
    @pytest.mark.parametrize(
        ("value", "expected"), [("on", True), ("True", True), ("1", True), ("off", False), ("No", False), ("0", False)]
    )
    def test_reads_a_switch(self, env, value, expected):
        env.ENVIRON["DEBUG"] = value

        assert env.bool("DEBUG", default=not expected) is expected

    def test_reads_an_escaped_dollar_sign(self, env):
        env.ENVIRON["EMAIL_HOST_PASSWORD"] = r"\$ecret"

        assert env("EMAIL_HOST_PASSWORD", default="") == "$ecret"

    @pytest.mark.parametrize(
        ("read", "value", "complaint"),
        [
            (Environment.bool, "maybe", "X cannot be read: 'maybe' is not one of on, true, yes, 1, off, false, no, 0"),
            (Environment.int, "many", "X cannot be read: .*'many'"),
            (Environment.json_object, "key", "X cannot be read"),
            (Environment.json_object, "[]", "X is not a JSON object"),
        ],
    )
    def test_rejects_an_invalid_value_by_name(self, env, read, value, complaint):
        env.ENVIRON["X"] = value

        with pytest.raises(ImproperlyConfigured, match=complaint):
            read(env, "X")

    def test_rejects_an_unknown_log_level(self, env):
        env.ENVIRON["LOG_LEVEL"] = "loud"

        with pytest.raises(ImproperlyConfigured, match="LOG_LEVEL is LOUD"):
            env.log_level("LOG_LEVEL", default="INFO")

    @pytest.mark.parametrize("address", ["foo", "", "mysql://localhost/shop", "postgres://db:port/shop"])
    def test_rejects_another_database_url(self, env, address):
        env.ENVIRON["DATABASE_URL"] = address

        with pytest.raises(ImproperlyConfigured, match="DATABASE_URL is not the URL of a database"):
            env.database("DATABASE_URL", default="sqlite://:memory:")


def complaint_about(**environment: str) -> str:
    """
    Load the settings in a process of its own, and return the last line that it says.
    """
    finished = run([sys.executable, "-c", "import shop.settings"], **environment)
    return finished.errors.strip().rpartition("\n")[2]


class TestSettingsWithDebugOff:
    def test_are_taken_with_a_secret_and_a_host_name(self):
        assert complaint_about(DEBUG="off", SECRET_KEY=SECRET, ALLOWED_HOSTS="shop.example") == ""

    @pytest.mark.parametrize("secret", [settings.INSECURE_SECRET_KEY, "x" * 31, ""])
    def test_are_refused_with_an_insecure_secret(self, secret):
        complaint = complaint_about(DEBUG="off", SECRET_KEY=secret, ALLOWED_HOSTS="shop.example")

        assert "Set SECRET_KEY in the environment" in complaint

    def test_are_refused_without_a_host_name(self):
        complaint = complaint_about(DEBUG="off", SECRET_KEY=SECRET, ALLOWED_HOSTS="")

        assert "Set ALLOWED_HOSTS in the environment" in complaint
