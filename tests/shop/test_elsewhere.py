"""Services that run some of the contexts: what is installed, and links to what other services have."""

from collections.abc import Iterable, Iterator

import pytest
from django.test import override_settings
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from shop import elsewhere
from shop.settings.groups import CONTEXTS
from tests.processes import manage, run

BROKER = "redis://127.0.0.1:6379"


def names(patterns: Iterable[URLPattern | URLResolver], namespace: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield f"{namespace}{pattern.name}"
        else:
            yield from names(pattern.url_patterns, f"{pattern.namespace}:")


def url(name: str) -> str:
    """Return the URL of a page, with as many arguments as it has."""
    for arguments in ([], ["0199a5c0-0b5e-7c3f-9d3a-2f6b8f0e7c12"]):
        try:
            return reverse(name, args=arguments)
        except NoReverseMatch:
            continue
    raise NoReverseMatch(name)


class TestUrls:
    @pytest.mark.parametrize("context", CONTEXTS)
    def test_are_those_of_the_context_itself(self, context):
        pages = list(names(elsewhere.URLS[context]))
        here = {name: url(name) for name in pages}
        urlconf = type("Elsewhere", (), {"urlpatterns": elsewhere.URLS[context]})

        with override_settings(ROOT_URLCONF=urlconf):
            assert {name: url(name) for name in pages} == here

    def test_answer_what_the_proxy_should_have_sent_elsewhere_with_not_found(self, client):
        urlconf = type(
            "Elsewhere",
            (),
            {"urlpatterns": elsewhere.URLS["payments"], "handler404": get_resolver().resolve_error_handler(404)},
        )

        with override_settings(ROOT_URLCONF=urlconf):
            response = client.get("/api/v1/payments/")

        assert response.status_code == 404


class TestService:
    @pytest.mark.parametrize("context", CONTEXTS)
    def test_has_the_tables_of_its_contexts_only(self, tmp_path, context):
        variables = {
            "CONTEXTS": context,
            "TRANSPORT_URL": BROKER,
            "ACCOUNTS_URL": "http://127.0.0.1:8000",
            "INTROSPECTION_SECRET": 32 * "s",
            "DATABASE_URL": f"sqlite:///{tmp_path}/service.sqlite3",
        }

        migrations = run(manage("showmigrations", "--plan"), **variables)

        assert migrations.status == 0, migrations.errors
        apps = {line.split()[-1].partition(".")[0] for line in migrations.output.splitlines() if "." in line}
        accounts = {"shop"} if context == "orders" else set()
        assert apps & {*CONTEXTS, "shop"} == {context} | accounts
        assert "messaging" in apps

    def test_has_no_commands_over_all_contexts(self):
        finished = run(manage("audit"), CONTEXTS="orders", TRANSPORT_URL=BROKER)

        assert finished.status == 1
        assert "Unknown command: 'audit'" in finished.errors
