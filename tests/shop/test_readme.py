"""
What README.md says is true of the code.
"""

import re
from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.core.management import get_commands

from messaging.contracts import event_types
from messaging.subscribers import subscribers_of

README = (settings.BASE_DIR / "README.md").read_text(encoding="utf-8")


def rows_under(heading: str) -> Iterator[list[str]]:
    """
    Read the table under a heading, without its head.
    """
    _, _, rest = README.partition(f"\n## {heading}\n")
    section, _, _ = rest.partition("\n## ")
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


class TestReadme:
    def test_lists_every_event_with_its_publisher_and_subscribers(self):
        told = {quoted(event)[0]: (publisher, quoted(listed)) for event, publisher, listed in rows_under("Events")}

        assert told == {
            event.__name__: (
                event.type.partition(".")[0],
                [subscriber.name for subscriber in subscribers_of(event)],
            )
            for event in event_types().values()
        }

    def test_lists_every_command(self):
        ours = {app.name for app in apps.get_app_configs() if (settings.BASE_DIR / app.name).is_dir()}

        told = {quoted(command)[0] for command, _ in rows_under("Commands")}

        assert told == {command for command, app in get_commands().items() if app in ours}

    def test_links_to_what_is_there(self):
        links = re.findall(r"\]\(([^)]+)\)", README)

        assert [link for link in links if not (settings.BASE_DIR / link).exists()] == []

    def test_names_only_files_and_folders_that_are_there(self):
        _, _, below_the_picture = README.rpartition("```")
        named = {text for text in quoted(below_the_picture) if re.fullmatch(r"\w+/[\w./]+", text)}

        assert {path for path in named if not (settings.BASE_DIR / path).exists()} == {"management/commands"}
