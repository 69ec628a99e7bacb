import json
import re
import sys
from dataclasses import fields

import pytest
from django.conf import settings

from shop.settings.groups import CONSOLE_EMAIL, CONSOLE_SMS, DUMMY_EMAIL, DUMMY_SMS, INSECURE_WEBHOOK_SECRET
from shop.settings.variables import SettingsGroup
from tests.processes import run

SECRET = "a-secret-of-this-shop-of-forty-characters"
READ_BY_GUNICORN = {"FORWARDED_ALLOW_IPS"}


PRODUCTION = {"DEBUG": "off", "SECRET_KEY": SECRET, "ALLOWED_HOSTS": "shop.example"}


def complaint_about(environment: dict[str, str]) -> str:
    """
    Load the settings in another process and return the last line of its errors.
    """
    finished = run([sys.executable, "-c", "import shop.settings"], **environment)
    return finished.errors.strip().rpartition("\n")[2]


class TestDebugOff:
    def test_accepts_secrets_and_a_host_name(self):
        assert complaint_about(PRODUCTION) == ""

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"SECRET_KEY": settings.INSECURE_SECRET_KEY}, "Set SECRET_KEY in the environment"),
            ({"SECRET_KEY": "x" * 31}, "Set SECRET_KEY in the environment"),
            ({"SECRET_KEY": ""}, "Set SECRET_KEY in the environment"),
            ({"ALLOWED_HOSTS": ""}, "Set ALLOWED_HOSTS in the environment"),
            ({"SHOP_DEMO": "on"}, "SHOP_DEMO is on: its logins are published"),
            ({"PAYMENT_WEBHOOK_SECRETS": INSECURE_WEBHOOK_SECRET}, "PAYMENT_WEBHOOK_SECRETS contains the default"),
        ],
    )
    def test_rejects_an_insecure_or_missing_value(self, changes, complaint):
        assert complaint in complaint_about(PRODUCTION | changes)


class TestDemo:
    @pytest.mark.parametrize(
        ("environment", "backends"),
        [
            ({}, [CONSOLE_EMAIL, CONSOLE_SMS]),
            ({"SHOP_DEMO": "on"}, [DUMMY_EMAIL, DUMMY_SMS]),
            ({"SHOP_DEMO": "on", "EMAIL_BACKEND": "a.Mail", "SMS_BACKEND": "an.Sms"}, ["a.Mail", "an.Sms"]),
        ],
        ids=["development", "demo", "demo with backends"],
    )
    def test_sends_nothing_unless_backends_are_set(self, environment, backends):
        show = "from shop.settings import *; print(EMAIL_BACKEND, NOTIFICATIONS.sms_backend)"

        assert run([sys.executable, "-c", show], DEBUG="on", **environment).output.split() == backends


class TestLogging:
    @pytest.mark.parametrize(
        ("environment", "formatter"),
        [
            ({"DEBUG": "on"}, "text"),
            (PRODUCTION, "json"),
            ({"DEBUG": "on", "LOG_FORMAT": "json"}, "json"),
            (PRODUCTION | {"LOG_FORMAT": "text"}, "text"),
        ],
        ids=["development", "production", "json", "text"],
    )
    def test_is_json_in_production(self, environment, formatter):
        show = "from shop.settings import *; print(LOGGING['handlers']['console']['formatter'])"

        assert run([sys.executable, "-c", show], **environment).output.split() == [formatter]

    def test_writes_lines_of_json(self):
        log = "import django; django.setup(); import logging; logging.getLogger('shop').warning('to %s', 'a@b.example')"
        environment = PRODUCTION | {"DJANGO_SETTINGS_MODULE": "shop.settings"}

        line = json.loads(run([sys.executable, "-c", log], **environment).errors)

        assert line == {"level": "WARNING", "logger": "shop", "message": "to (address)"} | {
            name: line[name] for name in ("time", "process")
        }


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
