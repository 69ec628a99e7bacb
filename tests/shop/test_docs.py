"""
What README.md and docs state about the code is true.
"""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from inventory.models import Reservation
from notifications.facts import kind_of
from notifications.samples import SAMPLES
from orders.models import Order
from payments.models import PaymentIntent, Refund

ROOT = settings.BASE_DIR
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "shop/samples/README.md"])
HISTORY = {"CHANGELOG.md", "decisions"}
"""Pages that may name files of the past, or of alternatives."""
PRESENT_PAGES = [page for page in PAGES if not HISTORY & {page.name, page.parent.name}]
README_LINES = 200
FILE = re.compile(r"[\w.-]+(/[\w.-]+)+/?|[\w-]+\.(py|md|toml|txt|lock|yaml)")
OUR_FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {".venv", "staticfiles"}
NAMES_OF_ANY_CONTEXT = {path.name for pattern in ("*/*.py", "*/templates/**/*.txt") for path in ROOT.glob(pattern)}
BUILT = "docs/_build"
"""Where `make docs` builds the site."""


def rows(page: str) -> Iterator[list[str]]:
    """
    Return the cells of each row that begins with code, of all tables of a page.
    """
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code_spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def named_files(page: Path) -> set[str]:
    """
    Return the code spans of a page that look like a path in this project.
    """
    spans = {span.split("::")[0] for span in code_spans(page.read_text(encoding="utf-8"))}
    files = {span for span in spans if FILE.fullmatch(span)}
    return {span for span in files if "/" not in span or span.split("/")[0] in OUR_FOLDERS}


def named_tests(page: Path) -> list[str]:
    """
    Return the code spans of a page that name a test, such as `tests/test_things.py::TestThing::test_does_it`.
    """
    return [span for span in code_spans(page.read_text(encoding="utf-8")) if span.startswith("tests/") and "::" in span]


def is_defined(test: str) -> bool:
    """
    Return whether a file defines each of the names after it, one within the other.
    """
    path, *names = test.split("::")
    scope: ast.AST | None = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for name in names:
        bodies = getattr(scope, "body", [])
        scope = next((node for node in bodies if getattr(node, "name", "") == name), None)
    return scope is not None


def exists(name: str) -> bool:
    is_built = name.startswith(BUILT)
    return is_built or (ROOT / name).exists() or ("/" not in name and name in NAMES_OF_ANY_CONTEXT)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def resolves(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_notifications_lists_every_kind_with_its_event():
    listed = {
        (code_spans(event)[0], code_spans(kind)[0]) for event, kind, *_ in rows("docs/reference/notifications.md")
    }

    assert listed == {(type(event).__name__, kind_of(event)) for event in SAMPLES.values()}


def test_commands_lists_every_target():
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    listed = {code_spans(command)[0] for command, *_ in rows("docs/reference/commands.md")}

    assert listed == {f"make {target}" for target in targets if target != "help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page):
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not resolves(page, link)] == []


@pytest.mark.parametrize("page", PRESENT_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page):
    assert {name for name in named_files(page) if not exists(name)} == set()


def test_named_tests_exist():
    named = [test for page in PRESENT_PAGES for test in named_tests(page)]

    assert len(named) > 50
    assert [test for test in named if not is_defined(test)] == []


def test_what_can_happen_names_a_test_of_each_case():
    page = (ROOT / "docs/explanation/what-can-happen-when.md").read_text(encoding="utf-8")
    _, *cases = re.split(r"^- (?=\*\*)", page, flags=re.MULTILINE)

    assert len(cases) > 40
    assert [case for case in cases if not re.search(r"^  `tests/\S+::\S+`$", case, re.MULTILINE)] == []


def test_the_site_lists_every_page_once():
    conf = ast.parse((ROOT / "docs/conf.py").read_text(encoding="utf-8"))
    contents = next(
        ast.literal_eval(node.value)
        for node in conf.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTENTS"
    )

    listed = [page.resolve() for part in contents.values() for entry in part for page in ROOT.glob(f"docs/{entry}.md")]

    assert sorted([*listed, ROOT / "docs/README.md"]) == PAGES


def test_failures_and_bad_input_list_every_number_that_tests_name():
    named = {
        *re.findall(r"^class Test(F\d+)", "\n".join(_tests()), re.MULTILINE),
        *(number.upper() for number in re.findall(r"^def test_row_(c?\d+)_", "\n".join(_tests()), re.MULTILINE)),
    }
    listed = {
        number
        for page in ("failures.md", "bad-input.md")
        for number in re.findall(r"^\| ([FC]?\d+) \|", (ROOT / "docs/reference" / page).read_text(), re.MULTILINE)
    }

    assert named - listed == set()


def test_decisions_have_a_number_of_their_own_a_status_and_a_date():
    decisions = sorted(ROOT.glob("docs/decisions/*.md"))
    beginnings = [path.read_text(encoding="utf-8").splitlines()[:4] for path in decisions]

    numbers = [int(path.name.partition("-")[0]) for path in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    assert [title.partition(".")[0] for title, *_ in beginnings] == [f"# {number}" for number in numbers]
    assert all(status.startswith("- Status: ") and date.startswith("- Date: 20") for *_, status, date in beginnings)


def _tests() -> Iterator[str]:
    for path in ROOT.glob("tests/**/*.py"):
        yield path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Orders", Order),
        ("Reservations", Reservation),
        ("Payment intents", PaymentIntent),
        ("Refunds", Refund),
    ],
)
def test_architecture_draws_every_transition(heading, model):
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    _, _, after_heading = text.partition(f"\n{heading} (`")
    diagram = after_heading.split("```")[1]

    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", diagram, re.MULTILINE))

    assert drawn == {(source, target) for source, targets in model.TRANSITIONS.items() for target in targets}


@pytest.mark.parametrize(
    ("introduction", "contract"),
    [
        ("The project:", "The project"),
        ("A context:", "A context"),
        ("Payments:", "Payments: from"),
        ("Messaging:", "Messaging"),
        ("`shop.http`:", "The web floor"),
    ],
)
def test_architecture_lists_the_layers_of_each_contract(introduction, contract):
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(found["layers"] for found in contracts if found["name"].startswith(contract))
    _, _, after_introduction = (
        (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition(f"\n{introduction}\n")
    )

    listed = after_introduction.split("```")[1].strip().splitlines()

    assert listed == [re.sub(r"payments\.|[()]", "", layer) for layer in layers]


def test_architecture_names_every_class_that_settings_wire():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    wired = [*settings.MIDDLEWARE, *settings.AUTHENTICATION_BACKENDS, *_dotted_paths(settings.REST_FRAMEWORK.values())]

    assert [path for path in wired if path.startswith("shop.") and f"`{path}`" not in text] == []


def _dotted_paths(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _dotted_paths(value)
