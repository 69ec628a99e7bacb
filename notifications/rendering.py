"""
The texts of messages to customers, in their language: subject, text and HTML of an e-mail, and an SMS.

Each kind of message has a folder of templates: `subject.txt`, `message.txt` with the sentences of text and HTML, and
`sms.txt`. `email.txt` and `email.html` are the layouts of all kinds. Templates read `facts`, and formatted values: in
`Your order{{ reference }}`, the reference is " K7Q4-M2X0", or empty if the order has no number.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import translation

from messaging.contracts import ConfirmedLine
from messaging.kernel.moments import format_moment
from messaging.kernel.money import format_money, money
from shop.http.links import url_of

from .facts import Facts, printable
from .layouts import fill_html, fill_text, render
from .preferences import OPTIONAL_BY_EMAIL
from .sms.segments import is_gsm7, segments

MOST_SEGMENTS = 2
SHORT_NAME_CHARACTERS = 20
SHORTEST_CHARACTERS = 66
"""They fit into two segments even if each takes two units of UTF-16."""

ASCII_WHITE_SPACE = re.compile(r"\s+", re.ASCII)
WriteMoney = Callable[[int, str, str], str]
TYPEWRITTEN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})


class Email(NamedTuple):
    """
    `html` is a whole document that needs no other file.
    """

    subject: str
    text: str
    html: str


def render_email(kind: str, facts: Facts, language: str) -> Email:
    """
    Return the e-mail of a kind about these facts.

    :param language: "en" or "de"; any other is the shop's.
    """
    language = _supported(language)
    with translation.override(language):
        values = _values(kind, facts, language, format_money)
        paragraphs = [_one_line(paragraph) for paragraph in _sentences(kind, "message", facts, values).split("\n\n")]
        values["preferences_url"] = settings.SHOP.url + url_of("preferences") if kind in OPTIONAL_BY_EMAIL else ""
        values["subject"] = _one_line(_sentences(kind, "subject", facts, values))
        values["preview"], values["message"] = paragraphs[0], "\n\n".join(filter(None, paragraphs))
        lines = [_line(line, facts.currency, language) for line in facts.lines]
        return Email(
            subject=values["subject"],
            text=fill_text(kind, language, values, lines),
            html=fill_html(kind, language, values, lines),
        )


def render_sms(kind: str, facts: Facts, language: str) -> str:
    """
    Return the SMS of a kind about these facts: one line of at most two segments. To keep within them, the shop's name
    is shortened or replaced by its host name, and at last the link is left out.

    :param language: "en" or "de"; any other is the shop's.
    """
    language = _supported(language)
    with translation.override(language):
        values = _values(kind, facts, language, _gsm7_money)
        sentences = " ".join(_sentences(kind, "sms", facts, values).split())
    return next(text for text in _sms_texts(sentences, values["url"]) if segments(text) <= MOST_SEGMENTS)


def _supported(language: str) -> str:
    return language if language in dict(settings.LANGUAGES) else settings.SHOP.language


def _values(kind: str, facts: Facts, language: str, write_money: WriteMoney) -> dict[str, str]:
    shop = settings.SHOP
    return {
        "shop": printable(shop.name),
        "shop_url": shop.url,
        "url": shop.url + _path(kind, facts),
        "reference": f" {facts.number}" if facts.number else "",
        "total": write_money(facts.total, facts.currency, language) if facts.currency else "",
        "amount": write_money(facts.amount, facts.currency, language) if facts.amount else "",
        "refunded": write_money(facts.refunded, facts.currency, language) if facts.refunded else "",
    } | {
        name: format_moment(moment, language, time_zone=shop.time_zone) if moment else ""
        for name, moment in (("due_at", facts.due_at), ("until", facts.until), ("at", facts.at))
    }


def _path(kind: str, facts: Facts) -> str:
    """
    Return the path of the page to which a message leads. That of a one-time link has the link's id where its token will
    be (`notifications.mail`).
    """
    match kind:
        case "password_reset":
            return url_of("password reset", facts.link_id)
        case "sign_up":
            return url_of("confirm sign-up", facts.link_id)
        case "password_changed" | "account_exists":
            return url_of("forgotten password")
        case _:
            return url_of("order", facts.order_id)


def _sentences(kind: str, part: str, facts: Facts, values: dict[str, str]) -> str:
    return render(f"{kind}/{part}.txt", {"facts": facts, **values})


def _line(line: ConfirmedLine, currency: str, language: str) -> dict[str, str]:
    amount = format_money(line.unit_price * line.quantity, currency, language)
    return {"quantity": str(line.quantity), "name": line.name, "amount": amount}


def _one_line(text: str) -> str:
    """
    Return a text as one line. No-break spaces stay: they hold an amount and its currency together.
    """
    return ASCII_WHITE_SPACE.sub(" ", text).strip()


def _gsm7_money(minor: int, currency: str, language: str) -> str:
    """
    Return an amount as people write it, or with its code if the symbol would take an SMS out of the GSM alphabet.
    """
    text = " ".join(format_money(minor, currency, language).split())
    return text if is_gsm7(text) else money(minor, currency)


def _sms_texts(sentences: str, url: str) -> Iterator[str]:
    """
    Yield the texts of an SMS, the best first. The last fits into two segments, whatever the sentences.
    """
    name = printable(settings.SHOP.name).translate(TYPEWRITTEN)
    host = str(urlsplit(settings.SHOP.url).hostname)[:SHORT_NAME_CHARACTERS]
    for sender in (name, name[:SHORT_NAME_CHARACTERS].strip(), host):
        yield f"{sender}: {sentences} {url}"
    yield f"{host}: {sentences}"
    yield sentences[:SHORTEST_CHARACTERS]
