"""
No context names another's pages or tables.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from messaging.kernel import links
from shop.http.links import link_to, url_of

CONTEXTS = ("orders", "inventory", "payments", "notifications")
MESSAGING = ("messaging",)
ORDER_ID = "0d5fd0f4-4c3b-4b5e-9a53-0b6f0ad6a4b7"


def files_of(folder: str) -> Iterator[Path]:
    for path in (settings.BASE_DIR / folder).rglob("*"):
        if path.suffix in {".py", ".html", ".txt", ".js"} and "migrations" not in path.parts:
            yield path


def names_of(contexts: tuple[str, ...]) -> re.Pattern[str]:
    """
    Return a pattern for the tables, admin pages and URL names of these contexts, and for URLs of the API but webhooks.
    """
    tables = [model._meta.db_table for context in contexts for model in apps.get_app_config(context).get_models()]
    return re.compile(
        "|".join([r"/api/v1/(?!webhooks/)", *(rf"['\"]{name}:" for name in contexts), *(rf"\b{t}\b" for t in tables)])
    )


@pytest.mark.parametrize("folder", [*CONTEXTS, "shop/http"])
def test_names_no_page_and_no_table_of_another_context(folder):
    foreign = names_of(tuple(context for context in (*CONTEXTS, *MESSAGING) if context != folder))

    names_by_file = {str(path): foreign.findall(path.read_text()) for path in files_of(folder)}

    assert {path: names for path, names in names_by_file.items() if names} == {}


class TestLinks:
    @pytest.mark.parametrize("page", links._pages)
    def test_have_a_url(self, page, settings):
        settings.DEBUG = True
        settings.ACCOUNTS = replace(settings.ACCOUNTS, sign_up=True)
        try:
            url = url_of(page)
        except TypeError:
            url = url_of(page, ORDER_ID)

        assert url.startswith(("/api/v1/", "/account/", "/admin/", "/sent/", "/unsubscribe/"))

    def test_are_plain_text_for_an_unknown_page(self):
        assert url_of("invoices") == ""
        assert link_to("invoices", "<7>") == "<7>"

    def test_are_escaped(self, monkeypatch):
        monkeypatch.setitem(links._pages, "invoice", "/invoices/{}/".format)

        assert link_to("invoice", "<7>") == '<a href="/invoices/&lt;7&gt;/">&lt;7&gt;</a>'
