"""
docs/reference has what the code says.
"""

import ast
import re

import pytest
from django.conf import settings

from shop.http.error_codes import CATALOGUE
from shop.management import reference
from shop.management.check_texts import text_of

PAGES = list(reference.pages())
EXAMPLE = """\
# A comment on the file.

# --- Orders ---

# Limits of an order:
# - lines
# - quantity
#   of a line
#MAX_LINES=100
#MAX_QUANTITY=1000

# The key. Example:
#KEY=a-key

# The secret.
#SECRET=whsec_…
#KEY=another
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_is_as_the_code(page):
    text = page.read_text(encoding="utf-8")

    assert text == reference.rewritten(text), "It is stale: run `make schema`."


def test_every_part_has_a_page():
    named = [part for page in PAGES for _, part in reference.PART.findall(page.read_text(encoding="utf-8"))]

    assert sorted(named) == sorted(reference.PARTS)


def test_the_index_of_commands_names_each_once():
    page = (settings.BASE_DIR / "docs/reference/commands.md").read_text(encoding="utf-8")

    index = page.partition("## Management commands")[0]
    assert sorted(re.findall(r"\[(\w+)\]\(#\1\)", index)) == sorted(reference.our_commands())


def test_a_part_is_replaced_and_the_rest_is_kept():
    page = "# Errors\n\n<!-- from the code: errors -->\n\nOld.\n\n<!-- end -->\n\nBy hand.\n"

    before, _, after = reference.rewritten(page).partition("| code | status |")

    assert before == "# Errors\n\n<!-- from the code: errors -->\n\n"
    assert after.endswith("<!-- end -->\n\nBy hand.\n")
    assert len(re.findall(r"^\| `", after, re.MULTILINE)) == len(CATALOGUE)


def test_a_page_cannot_name_an_unknown_part():
    with pytest.raises(KeyError, match="colours"):
        reference.rewritten("<!-- from the code: colours -->\n<!-- end -->\n")


def test_variables_have_the_comment_above_them():
    limits, key, secret = reference.explained_variables(EXAMPLE)

    assert (limits.section, limits.defaults) == ("Orders", ["100", "1000"])
    assert limits.meaning == "Limits of an order:<br>lines<br>quantity of a line"
    assert (key.meaning, key.defaults) == ("The key. Example: `KEY=a-key`", [""])
    assert (secret.values, secret.meaning, secret.defaults) == ({"SECRET": "whsec_…"}, "The secret.", [""])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("'REDIS_URL is wrong.'", "REDIS_URL is wrong."),
        ("f'{self.url!r} is wrong, {LAST} is not.'", "… is wrong, 23 is not."),
        ("f'{settings.URL} or {2 * LAST}'", "… or 46"),
    ],
)
def test_texts_of_checks_have_the_values_of_constants(source, text):
    assert text_of(ast.parse(source, mode="eval").body, {"LAST": 23}) == text
