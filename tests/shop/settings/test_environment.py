import pytest
from django.core.exceptions import ImproperlyConfigured

from shop.settings.environment import Environment


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

    def test_reads_one_of_a_few(self, env):
        env.ENVIRON["LOG_FORMAT"] = "json"

        assert env.one_of("LOG_FORMAT", "text", "json", default="text") == "json"
        assert env.one_of("ANOTHER", "text", "json", default="text") == "text"

    def test_rejects_what_is_none_of_them(self, env):
        env.ENVIRON["LOG_FORMAT"] = "xml"

        with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT is 'xml', which is not one of text, json"):
            env.one_of("LOG_FORMAT", "text", "json", default="text")

    @pytest.mark.parametrize("address", ["foo", "", "mysql://localhost/shop", "postgres://db:port/shop"])
    def test_rejects_another_database_url(self, env, address):
        env.ENVIRON["DATABASE_URL"] = address

        with pytest.raises(ImproperlyConfigured, match="DATABASE_URL is not the URL of a database"):
            env.database("DATABASE_URL", default="sqlite://:memory:")
