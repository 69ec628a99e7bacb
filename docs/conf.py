"""
Sphinx's settings for the documentation site. `make docs` builds it from the Markdown files that GitHub shows too.

The source folder is the project, so that links between pages are the same here and on GitHub.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.ext.graphviz import graphviz
from sphinx.util.docutils import SphinxDirective

project = "Shop"
extensions = ["myst_parser", "sphinx.ext.graphviz"]
root_doc = "docs/README"
include_patterns = ["*.md", "docs/*.md", "docs/*/*.md", "shop/samples/README.md"]
exclude_patterns = ["docs/_build", ".*", "*/node_modules", "staticfiles"]
myst_heading_anchors = 6
smartquotes = False  # options such as --yes and quotes in commands stay as they are
myst_fence_as_directive = ["mermaid"]
graphviz_output_format = "svg"
html_theme = "furo"
html_title = "Shop"
html_copy_source = False

CONTENTS = {
    "Project": ["../README", "../CONTRIBUTING", "../CHANGELOG", "../SECURITY", "../CODE_OF_CONDUCT"],
    "Tutorial": [
        "tutorial/first-order",
        "tutorial/first-dead-letter",
        "tutorial/first-split",
        "tutorial/repair-a-shop",
    ],
    "How-to": ["how-to/*", "../shop/samples/README"],
    "Reference": ["reference/*"],
    "Explanation": [
        "architecture",
        "explanation/outbox",
        "explanation/what-can-happen-when",
        "explanation/comparison",
        "explanation/own-code",
    ],
    "Decisions": ["decisions/*"],
}
TOCTREE = """
```{{toctree}}
:hidden:
:glob:
:caption: {caption}

{pages}
```
"""
ARROWS = {
    "stateDiagram-v2": r"(?P<source>\S+) --> (?P<target>\w+)(: (?P<label>.+))?",
    "flowchart TD": r'(?P<source>\w+)(\["(?P<is>.+?)"\])? -->(\|(?P<label>.+?)\|)? '
    r'(?P<target>\w+)(\["(?P<becomes>.+?)"\])?',
}
"""What a line of each kind of diagram is."""
GRAPH = """digraph {
    bgcolor=white; node [shape=box style=rounded fontname="sans-serif"]; edge [fontname="sans-serif" fontsize=11]
    %s
}"""
START = 'start [shape=circle style=filled fillcolor=black label="" width=0.15]'
LINE_BREAK = r"\n"
FIRST_PAGE = '<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=docs/README.html">\n'


class Diagram(SphinxDirective):
    """
    A diagram in Mermaid, which GitHub draws in the browser, drawn by Graphviz while the site is built.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        title, *lines = self.content
        arrows = [re.fullmatch(ARROWS.get(title, ""), line.strip()) for line in lines]
        if None in arrows:
            raise self.error("Only arrows of state diagrams and flowcharts can be drawn.")
        return [
            graphviz(code=GRAPH % "\n".join(line for arrow in arrows if arrow for line in _drawn(arrow)), options={})
        ]


def _drawn(arrow: re.Match[str]) -> Iterator[str]:
    found = arrow.groupdict(default="")
    source = found["source"]
    if source == "[*]":
        source = "start"
        yield START
    for node, text in ((source, found.get("is")), (found["target"], found.get("becomes"))):
        if text:
            yield f'{node} [label="{text.replace("<br>", LINE_BREAK)}"]'
    yield f'{source} -> {found["target"]} [label="{found["label"]}"]'


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """
    Append the contents of the site to its first page. In the file, GitHub would show them as code.
    """
    if docname == app.config.root_doc:
        for caption, pages in CONTENTS.items():
            source[0] += TOCTREE.format(caption=caption, pages="\n".join(pages))


def unlink_folders(app: Sphinx, document: nodes.document) -> None:
    """
    Replace links to folders by their text: GitHub lists the files of a folder, but the site has no such page.
    """
    for link in list(document.findall(pending_xref)):
        _, path = app.env.relfn2path(link["reftarget"])
        if link["refdomain"] is None and Path(path).is_dir():
            link.replace_self(link.children)


def redirect_to_first_page(app: Sphinx, exception: Exception | None) -> None:
    if exception is None:
        (app.outdir / "index.html").write_text(FIRST_PAGE, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.add_directive("mermaid", Diagram)
    app.connect("source-read", add_contents)
    app.connect("doctree-read", unlink_folders)
    app.connect("build-finished", redirect_to_first_page)
