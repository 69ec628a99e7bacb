"""
Tables in the output of commands. On a terminal: framed if they fit in its width, otherwise without a frame, otherwise
one line for each value. In a pipe: tab-separated values.
"""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from django.core.management.base import OutputWrapper

MOST_COLUMNS = 1000


def show(out: OutputWrapper, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """
    Print rows below their column headings.
    """
    lines = [[str(cell) for cell in row] for row in rows]
    if out.isatty():
        _show_framed(out, columns, lines)
    else:
        for line in [columns, *lines]:
            out.write("\t".join(" ".join(cell.split()) for cell in line))


def _show_framed(out: OutputWrapper, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out)  # type: ignore[arg-type]  # it has the methods of a file

    def fits() -> bool:
        return console.measure(table, options=console.options.update(width=MOST_COLUMNS)).maximum <= console.width

    table = Table(*columns)
    for line in lines:
        table.add_row(*map(Text, line))
    if not fits():  # a frame takes three columns of text for each cell
        table.box, table.show_edge, table.pad_edge, table.collapse_padding = SIMPLE, False, False, True
    if fits():
        console.print(table)
    else:
        _show_values(out, columns, lines, console.width)


def _show_values(out: OutputWrapper, columns: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> None:
    """
    Print each row as a block with a line for each value. Longer values are wrapped between words, or run over.
    """
    indent = max(map(len, columns)) + 2
    for line in lines:
        for column, cell in zip(columns, line, strict=True):
            first, *others = wrap(cell, max(width - indent, 20), break_long_words=False, break_on_hyphens=False) or [""]
            out.write(f"{column:{indent}}{first}".rstrip())
            for other in others:
                out.write(f"{'':{indent}}{other}")
        out.write("")
