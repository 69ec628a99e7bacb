"""Contact sheets: the mails of every kind side by side, as a phone shows them."""

from pathlib import Path

from django.template import Context, Engine

from notifications.facts import facts_of, kind_of
from notifications.rendering import render_email
from notifications.samples import SAMPLES

SHEET = """<!doctype html>
<meta charset="utf-8">
<style>
body { margin: 0; padding: 16px; background: #8d8a80; }
body { display: grid; grid-template-columns: repeat(4, 375px); gap: 16px; }
iframe { width: 375px; height: 1040px; border: 0; }
</style>
{% for mail in mails %}<iframe srcdoc="{{ mail }}"></iframe>{% endfor %}
"""


def write_sheet(file: Path, language: str) -> None:
    """Write a page with the first sample of each kind in this language."""
    samples = {kind_of(event): event for event in reversed(SAMPLES.values())}
    mails = [render_email(kind, facts_of(event), language).html for kind, event in reversed(samples.items())]
    file.write_text(Engine.get_default().from_string(SHEET).render(Context({"mails": mails})), encoding="utf-8")
