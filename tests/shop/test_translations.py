"""
Every text of the product that is marked for translation has a translation in each language, and the compiled catalogues
are those of the sources. `make translations` brings them up to date; these tests need no gettext tools.
"""

import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_python
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.template.base import Lexer, TokenType
from django.utils.translation.template import templatize

APPS = ("shop", "orders", "inventory", "payments", "notifications", "messaging")
LANGUAGES = sorted(dict(settings.LANGUAGES).keys() - {"en"})
KEYWORDS = DEFAULT_KEYWORDS | {f"{name}_lazy": spec for name, spec in DEFAULT_KEYWORDS.items()} | {"gettext_noop": None}
NOT_FOR_CUSTOMERS = (
    "messaging/templates/admin/",
    "notifications/templates/admin/",
    "orders/templates/admin/",
    "payments/simulator/",
    "shop/desk/templates/",
    "shop/templates/admin/",
    "shop/templates/drf_spectacular/",
    "shop/templates/rest_framework/admin/",
)
THE_SAME_EVERYWHERE = {"JSON", "SMS"}
SHOWN_ATTRIBUTES = {"alt", "aria-label", "placeholder", "title"}
PLACEHOLDER_OR_TAG = re.compile(r"%\(\w+\)s|</?\w+|`[^`]*`|\{[^}]*\}|(?<=href=)\"[^\"]*\"")

Key = tuple[str, tuple[str, ...]]
"""Context, empty without one; and the text, or singular and plural."""


def texts_of(app: str) -> set[Key]:
    """
    Return the texts of an app that are marked for translation.
    """
    root = settings.BASE_DIR / app
    found: set[Key] = set()
    for path in root.rglob("*"):
        if path.suffix == ".py" and "migrations" not in path.parts:
            found.update(_marked(path.read_text(encoding="utf-8")))
        elif path.suffix in {".html", ".txt"} and "templates" in path.parts:
            source = templatize(path.read_text(encoding="utf-8"), origin=str(path))
            found.update(_marked("\n".join(line.strip() for line in source.splitlines())))
    return found


def _marked(source: str) -> Iterator[Key]:
    for _, function, texts, _ in extract_python(io.BytesIO(source.encode()), KEYWORDS, [], {"encoding": "utf-8"}):
        parts = tuple(text for text in ([texts] if isinstance(texts, str) else texts or []) if text)
        is_in_context = function.startswith(("pgettext", "npgettext"))
        if parts:
            yield (parts[0], parts[1:]) if is_in_context else ("", parts)


def catalogue(app: str, language: str) -> Catalog:
    path = _catalogue_path(app, language)
    return read_po(io.BytesIO(path.read_bytes())) if path.exists() else Catalog()


def _catalogue_path(app: str, language: str) -> Path:
    return settings.BASE_DIR / app / "locale" / language / "LC_MESSAGES" / "django.po"


def _key(message: Message) -> Key:
    context = message.context.decode() if isinstance(message.context, bytes) else message.context
    return context or "", tuple(message.id) if isinstance(message.id, tuple | list) else (message.id,)


def _strings(message: Message) -> tuple[str, ...]:
    return tuple(message.string) if isinstance(message.string, tuple | list) else (message.string,)


each_catalogue = pytest.mark.parametrize(
    ("app", "language"), [(app, language) for app in APPS for language in LANGUAGES]
)


@each_catalogue
def test_has_every_text_and_no_other(app, language):
    translated = {_key(message) for message in catalogue(app, language) if message.id}

    assert translated == texts_of(app)
    assert not catalogue(app, language).obsolete


@each_catalogue
def test_has_no_empty_or_fuzzy_translation(app, language):
    messages = [message for message in catalogue(app, language) if message.id]

    assert [message.id for message in messages if message.fuzzy or not all(_strings(message))] == []


@each_catalogue
def test_keeps_placeholders_tags_and_code(app, language):
    messages = [message for message in catalogue(app, language) if message.id]
    pairs = [(text, string) for message in messages for text in _key(message)[1] for string in _strings(message)]

    assert [pair for pair in pairs if len({tuple(sorted(PLACEHOLDER_OR_TAG.findall(side))) for side in pair}) > 1] == []


@each_catalogue
def test_is_compiled(app, language):
    written = {_key(message): _strings(message) for message in catalogue(app, language) if message.id}
    path = _catalogue_path(app, language).with_suffix(".mo")
    compiled = read_mo(path.open("rb")) if path.exists() else Catalog()

    assert {_key(message): _strings(message) for message in compiled if message.id} == written


class Unmarked(HTMLParser):
    """
    Collects what a page shows that is not marked for translation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.within: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.within.append(tag)
        self.texts += [value for name, value in attrs if name in SHOWN_ATTRIBUTES and value]

    def handle_endtag(self, tag):
        while self.within and self.within.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"code", "pre", "script", "style"} & set(self.within):
            self.texts.append(data)


def pages() -> Iterator[Path]:
    for app in APPS:
        for path in (settings.BASE_DIR / app).rglob("*.html"):
            name = path.relative_to(settings.BASE_DIR).as_posix()
            if "/templates/" in name and not name.startswith(NOT_FOR_CUSTOMERS):
                yield path


@pytest.mark.parametrize("path", list(pages()), ids=lambda path: path.name)
def test_page_shows_no_text_that_is_not_marked_for_translation(path):
    tokens = Lexer(path.read_text(encoding="utf-8")).tokenize()
    in_translation, shown = False, []
    for token in tokens:
        if token.token_type == TokenType.BLOCK and re.match(r"(end)?blocktrans", token.contents):
            in_translation = not in_translation
        elif token.token_type == TokenType.TEXT and not in_translation:
            shown.append(token.contents)
    parser = Unmarked()
    parser.feed("".join(shown))

    words = {text.strip() for text in parser.texts if re.search(r"[^\W\d_]{2,}", text)}
    assert words - THE_SAME_EVERYWHERE == set()
