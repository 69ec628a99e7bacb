import re
import sys
from dataclasses import fields

import pytest
from django.conf import settings

from shop.settings.groups import INSECURE_WEBHOOK_SECRET
from shop.settings.variables import SettingsGroup
from tests.processes import run

SECRET = "a-secret-of-this-shop-of-forty-characters"
READ_BY_GUNICORN = {"FORWARDED_ALLOW_IPS"}


def complaint_about(**environment: str) -> str:
    """
    Load the settings in another process and return the last line of its errors.
    """
    finished = run([sys.executable, "-c", "import shop.settings"], **environment)
    return finished.errors.strip().rpartition("\n")[2]


class TestDebugOff:
    def test_accepts_secrets_and_a_host_name(self):
        assert complaint_about(DEBUG="off", SECRET_KEY=SECRET, ALLOWED_HOSTS="shop.example") == ""

    @pytest.mark.parametrize("secret", [settings.INSECURE_SECRET_KEY, "x" * 31, ""])
    def test_rejects_an_insecure_secret_key(self, secret):
        complaint = complaint_about(DEBUG="off", SECRET_KEY=secret, ALLOWED_HOSTS="shop.example")

        assert "Set SECRET_KEY in the environment" in complaint

    def test_rejects_missing_host_names(self):
        complaint = complaint_about(DEBUG="off", SECRET_KEY=SECRET, ALLOWED_HOSTS="")

        assert "Set ALLOWED_HOSTS in the environment" in complaint

    def test_rejects_the_published_webhook_secret(self):
        production = {"DEBUG": "off", "SECRET_KEY": SECRET, "ALLOWED_HOSTS": "shop.example"}

        complaint = complaint_about(**production, PAYMENT_WEBHOOK_SECRETS=INSECURE_WEBHOOK_SECRET)

        assert "PAYMENT_WEBHOOK_SECRETS contains the default" in complaint


class TestEnvExample:
    EXAMPLE = (settings.BASE_DIR / ".env.example").read_text(encoding="utf-8")

    def test_lists_every_variable_and_no_other(self):
        sources = (settings.BASE_DIR / "shop" / "settings").glob("*.py")
        source = "".join(path.read_text(encoding="utf-8") for path in sources)

        read = set(re.findall(r'\b(?:env(?:\.\w+)?|variable)\(\s*"([A-Z_]+)"', source))
        listed = set(re.findall(r"^#([A-Z_]+)=", self.EXAMPLE, re.MULTILINE))

        assert listed == read | READ_BY_GUNICORN

    def test_shows_the_defaults_of_groups(self):
        shown = dict(re.findall(r"^#([A-Z_]+)=(.*)$", self.EXAMPLE, re.MULTILINE))
        defaults = {
            field.metadata["variable"]: str(field.default)
            for group in SettingsGroup.__subclasses__()
            for field in fields(group)
            if isinstance(field.default, int | str) and field.default
        }

        assert {name: shown[name] for name in defaults} == defaults
