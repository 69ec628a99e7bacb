"""
Tables in the output of commands: framed on a terminal, tab-separated values in a pipe.
"""

from collections.abc import Iterable, Sequence

from django.core.management.base import OutputWrapper


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
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*[Column(column, overflow="fold") for column in columns])
    for line in lines:
        table.add_row(*map(Text, line))
    Console(file=out).print(table)  # type: ignore[arg-type]  # it has the methods of a file
