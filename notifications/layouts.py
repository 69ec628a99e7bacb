"""
Layouts of e-mails: what the texts and HTML documents of all messages have in common.

Django renders a layout, and css-inline moves its CSS into the elements, once for each kind, language and process; each
mail only fills in its values, as `string.Template` does: `$shop` in a rendered layout. So a mail takes a quarter of the
CPU time that rendering takes. A layout reads its values by their names, and its lines in a loop between two marks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from string import Template

import css_inline
from django.template import Context, Engine
from django.utils.html import escape

VALUES = (
    "subject",
    "headline",
    "preview",
    "message",
    "preferences_url",
    "reference",
    "shop",
    "shop_url",
    "total",
    "url",
)
VALUES_OF_LINE = ("quantity", "name", "amount")
MARK = "<!--lines-->"
INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


@dataclass(frozen=True, slots=True)
class Layout:
    before: Template
    line: Template
    after: Template

    def fill(self, values: Mapping[str, str], lines: Sequence[Mapping[str, str]]) -> str:
        """
        Return the document with these values and lines.
        """
        rows = [self.line.substitute(line) for line in lines]
        return "".join([self.before.substitute(values), *rows, self.after.substitute(values)])


def fill_text(kind: str, language: str, values: Mapping[str, str], lines: Sequence[Mapping[str, str]]) -> str:
    """
    Return the text of an e-mail in the active language, which is `language`.
    """
    return _layout("email.txt", kind, language, bool(lines), bool(values["preferences_url"])).fill(values, lines)


def fill_html(kind: str, language: str, values: Mapping[str, str], lines: Sequence[Mapping[str, str]]) -> str:
    """
    Return the HTML of an e-mail in the active language, which is `language`. All values are escaped.
    """
    layout = _layout("email.html", kind, language, bool(lines), bool(values["preferences_url"]))
    return layout.fill(_with_whole_numbers(_escaped(values)), [_escaped(line) for line in lines])


def render(template: str, values: Mapping[str, object]) -> str:
    """
    Return a template of notifications, rendered in the active language and not escaped.
    """
    compiled = Engine.get_default().get_template(f"notifications/{template}")
    return compiled.render(Context(dict(values), autoescape=False))


@cache
def _layout(template: str, kind: str, language: str, has_lines: bool, is_optional: bool) -> Layout:  # noqa: FBT001
    blanks = {name: f"${name}" for name in VALUES}
    line = {name: f"${name}" for name in VALUES_OF_LINE}
    context = {**blanks, "kind": kind, "language": language, "is_optional": is_optional, "lines": [line] * has_lines}
    document = render(template, context).strip() + "\n"
    if template.endswith(".html"):
        document = INLINER.inline(document)
    parts = document.split(MARK) if has_lines else (document, "", "")
    return Layout(*(Template(part) for part in parts))


def _with_whole_numbers(values: dict[str, str]) -> dict[str, str]:
    """
    Return the values of a document, in whose body no line breaks at the hyphen of the order's number.
    """
    values["headline"] = values["subject"]
    if number := values["reference"].strip():
        whole = f'<span style="white-space: nowrap">{number}</span>'
        values |= {name: values[name].replace(number, whole) for name in ("headline", "message", "reference")}
    return values


def _escaped(values: Mapping[str, str]) -> dict[str, str]:
    return {name: str(escape(value)).replace("\n", "<br>") for name, value in values.items()}
