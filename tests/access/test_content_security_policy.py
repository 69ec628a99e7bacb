"""
Every page has a strict Content-Security-Policy, and nothing inline that it would block.
"""

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.access.callers import ResourceIds
from tests.access.routes import every_route
from tests.shop.http.readers import PERSON

pytestmark = pytest.mark.django_db

CLOSED = ("default-src", "frame-ancestors", "base-uri")
OWN = ("script-src", "connect-src", "form-action", "font-src")
UNSAFE = {"'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "*", "http:", "https:", "data:", "blob:"}
RESOURCES = {"script", "link", "img", "iframe", "form", "redoc"}
URLS = {"src", "href", "action", "spec-url"}
MAIL = "/mail/"
"""A mail in a frame has a policy of its own: tests/notifications/test_previews.py."""
OTHER_PAGES = ["/nothing/", "/api/v1/nothing/", "/api/v1/orders/?status=x", "/api/v1/quote/", "/admin/login/?next=/"]


class Page(HTMLParser):
    """
    Collects what a strict policy blocks in a page.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in attributes and "type" not in attributes):
            self.blocked.append(f"<{tag}>")
        self.blocked += [f"<{tag} {name}>" for name in attributes if name == "style" or name.startswith("on")]
        for name in URLS & attributes.keys():
            url = attributes[name] or ""
            if url.startswith("javascript:") or (tag in RESOURCES and url.startswith(("http:", "https:", "//"))):
                self.blocked.append(f'<{tag} {name}="{url}">')


def blocked_in(page: str) -> list[str]:
    return Page(page).blocked


def directives_of(response: HttpResponse) -> dict[str, list[str]]:
    directives = (text.split() for text in response.headers["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in directives}


def pages(client: Client, ids: ResourceIds) -> Iterator[tuple[str, HttpResponse]]:
    """
    Open every page that a browser can.
    """
    routes = [route.address(ids) for route in every_route() if route.method == "GET"]
    for url in [*routes, *OTHER_PAGES]:
        response = client.get(url, headers=PERSON)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            yield url, response


class TestPolicy:
    @pytest.mark.parametrize("name", ["guest", "ada", "olga"])
    def test_is_strict_on_every_page_and_breaks_none(self, people, ids, name):
        browser = Client(raise_request_exception=False)
        if user := people[name].user:
            browser.force_login(user)

        opened = dict(pages(browser, ids))

        assert len(opened) > 20
        unsafe = {}
        for url, response in opened.items():
            directives = directives_of(response)
            if url.endswith(MAIL):
                continue
            assert [directives[name] for name in CLOSED] == [["'none'"]] * len(CLOSED), url
            assert [directives[name] for name in OWN] == [["'self'"]] * len(OWN), url
            assert blocked_in(response.content.decode()) == [], url
            unsafe[url] = sorted({source for sources in directives.values() for source in sources} & UNSAFE)
        docs = {"/api/v1/docs/": ["data:"], "/api/v1/redoc/": ["blob:", "data:"]}
        assert {url: sources for url, sources in unsafe.items() if sources} == docs

    @pytest.mark.parametrize("accept", ["application/json", "text/html"])
    @pytest.mark.parametrize("path", ["/api/v1/products/", "/nothing/", "/healthz", "/static/nothing.js"])
    def test_is_part_of_every_response(self, client, path, accept):
        response = client.get(path, headers={"Accept": accept, "Host": "testserver"})

        assert directives_of(response)["default-src"] == ["'none'"]

    def test_spares_the_error_page_of_django_while_debugging(self, client, settings):
        settings.DEBUG = True

        technical, ours = client.get("/nothing/", headers=PERSON), client.get("/nothing/")

        assert "Content-Security-Policy" not in technical.headers
        assert "Content-Security-Policy" in ours.headers

    def test_finds_what_it_would_block(self):
        page = """
            <style></style> <script>1</script> <p style="x" onclick="y"> <a href="javascript:z"> <img src="//a.example">
            <script src="/static/shop/api.js"></script> <script type="application/json">{}</script> <a href="https://a">
        """

        assert blocked_in(page) == [
            *("<style>", "<script>", "<p style>", "<p onclick>", '<a href="javascript:z">', '<img src="//a.example">')
        ]
