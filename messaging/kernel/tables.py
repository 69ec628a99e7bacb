"""
Tables in the output of commands: framed on a terminal if they fit in its width, tab-separated values in a pipe.
"""

from collections.abc import Iterable, Sequence

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
    from rich.table import Column, Table
    from rich.text import Text

    console = Console(file=out)  # type: ignore[arg-type]  # it has the methods of a file
    table = Table(*[Column(column, overflow="fold") for column in columns])
    for line in lines:
        table.add_row(*map(Text, line))
    needed = console.measure(table, options=console.options.update(width=MOST_COLUMNS)).maximum
    if needed > console.width:  # a frame takes three columns of text for each cell
        table.box, table.show_edge, table.pad_edge, table.collapse_padding = SIMPLE, False, False, True
    console.print(table)
