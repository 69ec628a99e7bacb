from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule

from shop.accounts.models import Confirmation, Nonce, SigningKey, Token
from shop.accounts.passwords import request_reset
from tests.commands import run, run_json
from tests.factories import CustomerFactory, make_signing_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def _a_month_of_use():
    now = timezone.now()
    for days in (-1, 1):
        Token.objects.create(CustomerFactory(), timedelta(days=days), name=f"{days} d")
    key = make_signing_key()
    for end, days in [("revoked_at", 29), ("revoked_at", 31), ("expires_at", 31)]:
        SigningKey.objects.filter(pk=make_signing_key().pk).update(**{end: now - timedelta(days=days)})
    for age in (59, 61):
        request_reset("ada@example.com", now=now - timedelta(minutes=age))
    for minutes in (1, 9, 11):
        Nonce.objects.consume(key=key, nonce=f"{minutes}", now=now - timedelta(minutes=minutes))


@pytest.mark.usefixtures("_a_month_of_use")
class TestPruneCredentials:
    def test_deletes_what_is_expired(self):
        assert run("prune_credentials") == (
            "Pruned 1 nonces, 1 tokens, 2 signing keys, 1 confirmations; re-encrypted 0 secrets.\n"
        )

        assert Token.objects.get().name == "1 d"
        assert set(Nonce.objects.values_list("nonce", flat=True)) == {"1", "9"}
        assert (SigningKey.objects.count(), Confirmation.objects.count()) == (2, 1)

    def test_deletes_nothing_the_second_time(self):
        run("prune_credentials")

        nothing = dict.fromkeys(("nonces", "tokens", "signing_keys", "confirmations", "resealed"), 0)
        assert run_json("prune_credentials") == nothing

    def test_re_encrypts_secrets_for_a_new_secret_key(self, settings):
        key = SigningKey.objects.usable(timezone.now()).get()
        secret = key.verifier()
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "s" * 50, [settings.SECRET_KEY]

        assert key.verifier() == secret
        assert run_json("prune_credentials")["resealed"] == 2

        settings.SECRET_KEY_FALLBACKS = []
        key.refresh_from_db()
        assert key.verifier() == secret


def test_a_cluster_prunes_every_hour():
    schedule = Schedule.objects.get(name="Prune tokens, keys and nonces")

    assert (schedule.func, schedule.args, schedule.schedule_type) == (
        "django.core.management.call_command",
        "'prune_credentials'",
        Schedule.HOURLY,
    )
