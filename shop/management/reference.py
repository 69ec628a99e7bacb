"""
The parts of docs/reference that are written from the code: settings, errors, checks, metrics, events and commands.

A page has such a part between two comments, `<!-- from the code: NAME -->` and `<!-- end -->`.
"""

import re
from argparse import SUPPRESS, Action
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.management import BaseCommand, get_commands, load_command_class

from messaging import host
from messaging.contracts import event_types
from messaging.subscribers import subscribers_of
from shop import checks
from shop.http.error_codes import CATALOGUE as ERRORS
from shop.management.check_texts import check_texts
from shop.monitoring.catalogue import CATALOGUE as METRICS
from shop.settings import env, groups, variables

FOLDER = settings.BASE_DIR / "docs" / "reference"
EXAMPLE = settings.BASE_DIR / ".env.example"
PART = re.compile(r"(<!-- from the code: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
TYPES = {bool: "switch", int: "number", str: "text", list: "list", tuple[str, ...]: "list"}
CODE = re.compile(r"(`[^`]*`)|(?<![\w./-])(--[a-z][\w-]*|(?:\w+\.)*\w*_\w+(?:\.\w+)*)")
"""What a text without markup has that is code: options, and names with an underscore."""


class Explained(NamedTuple):
    """
    Variables of `.env.example` that one comment explains, with their values there.
    """

    section: str
    about: str
    values: Mapping[str, str]

    @property
    def are_examples(self) -> bool:
        """
        Return whether the comment introduces the values as something else than defaults.
        """
        return self.about.endswith(":")

    @property
    def meaning(self) -> str:
        """
        Return the comment, with the values that it introduces.
        """
        shown = ", ".join(_code(f"{name}={value}") for name, value in self.values.items())
        return f"{_marked(self.about)} {shown}" if self.are_examples else _marked(self.about)

    @property
    def defaults(self) -> Sequence[str]:
        """
        Return the default of each, empty if it has none.
        """
        return ["" if self.are_examples or "…" in value else value for value in self.values.values()]


def pages() -> Iterator[Path]:
    """
    Yield the pages that have parts from the code.
    """
    for path in sorted(FOLDER.glob("*.md")):
        if PART.search(path.read_text(encoding="utf-8")):
            yield path


def rewritten(page: str) -> str:
    """
    Return a page with its parts as the code has them now.

    :raises KeyError: if it names a part that there is not.
    """
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n\n", page)


def explained_variables(example: str) -> Iterator[Explained]:
    """
    Yield the variables of `.env.example`, each where it is named first.
    """
    section, seen = "", set[str]()
    for block in example.split("\n\n"):
        lines = block.splitlines()
        if title := re.fullmatch(r"# --- (.+) ---", lines[0] if lines else ""):
            section = title[1]
        values = dict(re.findall(r"^#([A-Z_]+)=(.*)$", block, re.MULTILINE))
        if new := {name: value for name, value in values.items() if name not in seen}:
            comment = " ".join(line[1:].strip() for line in lines if line.startswith("# "))
            yield Explained(section, comment.replace(" - ", "<br>"), new)
        seen |= values.keys()


def our_commands() -> dict[str, str]:
    """
    Return the app of each command of this project.
    """
    folders = {app.name: settings.BASE_DIR.joinpath(*app.name.split(".")) for app in apps.get_app_configs()}
    ours = {app for app, folder in folders.items() if folder.is_dir()}
    return {command: app for command, app in get_commands().items() if app in ours}


def _settings() -> str:
    by_section: dict[str, list[list[str]]] = {}
    for explained in explained_variables(EXAMPLE.read_text(encoding="utf-8")):
        columns = (map(_code, explained.values), map(_type, explained.values), map(_code, explained.defaults))
        row = [*("<br>".join(column) for column in columns), explained.meaning]
        by_section.setdefault(explained.section, []).append(row)
    return "\n\n".join(
        f"### {section}\n\n{_table(['variable', 'type', 'default', 'meaning'], rows)}"
        for section, rows in by_section.items()
    )


def _type(name: str) -> str:
    minima = {
        field.metadata["variable"]: field.metadata["minimum"]
        for group in variables.SettingsGroup.__subclasses__()
        for field in fields(group)
    }
    text = TYPES.get(env.types.get(name, str), "JSON")
    return text if minima.get(name) is None else f"{text}, {minima[name]} or more"


def _errors() -> str:
    rows = ([_code(name), str(code.status), code.title, code.advice] for name, code in ERRORS.items())
    return _table(["code", "status", "title", "what to do"], rows)


def _checks() -> str:
    found = sorted({text for module in (checks, groups, variables, host) for text in check_texts(module)})
    rows = ([_code(check.name), _marked(check.problem), _marked(check.hint)] for check in found)
    return _table(["id", "problem", "what to do"], rows)


def _metrics() -> str:
    rows = []
    for name, metric in METRICS.items():
        labels = (*metric.labels, "le") if metric.is_histogram else metric.labels
        kind = "histogram" if metric.is_histogram else "gauge"
        rows.append([_code(name), kind, ", ".join(map(_code, labels)), _marked(metric.about), _marked(metric.where)])
    return _table(["metric", "type", "labels", "value", "only"], rows)


def _events() -> str:
    rows = (
        [
            _code(event.__name__),
            _code(event.type),
            _code(event.keyed_by),
            ", ".join(_code(subscriber.name) for subscriber in subscribers_of(event)),
        ]
        for event in event_types().values()
    )
    return _table(["event", "type", "key", "subscribers"], rows)


def _commands() -> str:
    return "\n\n".join(_command(name, app) for name, app in sorted(our_commands().items()))


def _command(name: str, app: str) -> str:
    command = load_command_class(app, name)
    options = [_option(action) for action in _own_actions(command) if action.help is not SUPPRESS]
    return "\n".join([f"### {name}", "", _marked(command.help), "", *options]).strip()


def _own_actions(command: BaseCommand) -> Iterator[Action]:
    of_django = {action.dest for action in BaseCommand().create_parser("manage.py", "")._actions}  # noqa: SLF001
    for action in command.create_parser("manage.py", "")._actions:  # noqa: SLF001  (argparse has no public list)
        if action.dest not in of_django:
            yield action


def _option(action: Action) -> str:
    value = str(action.metavar or "|".join(map(str, action.choices or [])))
    if action.option_strings:
        shown = action.option_strings[-1] + (f" {value or action.dest.upper()}" if action.nargs != 0 else "")
    else:
        shown = value or action.dest
    about = (action.help or "") % vars(action)
    return f"- {_code(shown)}: {_marked(about.replace(f'{settings.BASE_DIR}/', ''))}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [f"| {' | '.join(header)} |", f"|{len(header) * '---|'}", *(f"| {' | '.join(row)} |" for row in escaped)]
    return "\n".join(lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _marked(text: str) -> str:
    return CODE.sub(lambda found: found[1] or _code(found[2]), text)


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": _settings,
    "errors": _errors,
    "checks": _checks,
    "metrics": _metrics,
    "events": _events,
    "commands": _commands,
}
