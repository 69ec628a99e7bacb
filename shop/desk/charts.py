"""
Charts as the desk's templates draw them: SVG, whose sizes are whole numbers in units of its own, without styles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from shop.http.desk import Bar, Bars, Chart, Figure, Series, Table

WIDTH, HEIGHT = 1400, 400
GAP = 24
"""Between the columns of two days."""

LEAST = 6
"""The height of a value that is not 0, so that it is seen."""


class Rectangle(NamedTuple):
    x: int
    y: int
    width: int
    height: int
    tone: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """
    A day: its rectangles, and its numbers in words.
    """

    day: date
    x: int
    width: int
    rectangles: Sequence[Rectangle]
    text: str


@dataclass(frozen=True, kw_only=True)
class DrawnChart:
    chart: Chart
    columns: Sequence[Column]
    zero: int
    """The height of the axis."""
    highest: str
    lowest: str
    """Empty if nothing is drawn below the axis."""
    totals: Sequence[tuple[Series, str]]
    rows: Sequence[tuple[date, Sequence[str]]]
    """The numbers as a table, latest day first."""
    width: int = WIDTH
    height: int = HEIGHT
    template: str = "desk/chart.html"

    @property
    def summary(self) -> str:
        """
        Return the chart in words.
        """
        return f"{self.chart.title}. " + ", ".join(f"{series.name}: {total}" for series, total in self.totals)


@dataclass(frozen=True, kw_only=True)
class DrawnBars:
    chart: Bars
    bars: Sequence[tuple[Bar, int]]
    """Each with its width in per mille of the widest."""
    template: str = "desk/bars.html"


@dataclass(frozen=True, kw_only=True)
class DrawnTable:
    chart: Table
    template: str = "desk/table.html"


def drawn(figure: Figure) -> DrawnChart | DrawnBars | DrawnTable:
    """
    Return a figure with what its template needs.
    """
    match figure:
        case Bars():
            return _draw_bars(figure)
        case Chart():
            return _draw_chart(figure)
        case Table():
            return DrawnTable(chart=figure)


def _draw_bars(figure: Bars) -> DrawnBars:
    widest = max((bar.value for bar in figure.bars), default=0)
    bars = [(bar, bar.value * 1000 // widest) for bar in figure.bars] if widest else []
    return DrawnBars(chart=figure, bars=bars)


def _draw_chart(chart: Chart) -> DrawnChart:
    above, below = _highest(chart, is_below=False), _highest(chart, is_below=True)
    units = above + below
    scale = _Scale(zero=HEIGHT * above // units, per_unit=HEIGHT / units) if units else None
    return DrawnChart(
        chart=chart,
        columns=[_column(chart, day, scale) for day in range(len(chart.days))] if scale else [],
        zero=scale.zero if scale else HEIGHT,
        highest=chart.write(above),
        lowest=chart.write(below) if below else "",
        totals=[(series, chart.write(sum(series.values))) for series in chart.series],
        rows=[(day, _numbers(chart, at)) for at, day in reversed(list(enumerate(chart.days)))],
    )


class _Scale(NamedTuple):
    zero: int
    per_unit: float


def _highest(chart: Chart, *, is_below: bool) -> int:
    """
    Return the sum of the highest column above or below the axis.
    """
    parts = [series.values for series in chart.series if series.is_below == is_below]
    return max((sum(column) for column in zip(*parts, strict=True)), default=0)


def _column(chart: Chart, day: int, scale: _Scale) -> Column:
    width = WIDTH // len(chart.days)
    names = [series.name for series in chart.series]
    numbers = [f"{name} {number}" for name, number in zip(names, _numbers(chart, day), strict=True)]
    return Column(
        day=chart.days[day],
        x=day * width,
        width=width,
        rectangles=[*_stack(chart, day, scale)],
        text=f"{chart.days[day]:%a %d %b}: {', '.join(numbers)}",
    )


def _stack(chart: Chart, day: int, scale: _Scale) -> Iterator[Rectangle]:
    slot = WIDTH // len(chart.days)
    top = bottom = scale.zero
    for series in chart.series:
        value = series.values[day]
        height = max(LEAST, round(value * scale.per_unit)) if value else 0
        if series.is_below:
            y, bottom = bottom, bottom + height
        else:
            y = top = top - height
        if height:
            yield Rectangle(day * slot + GAP // 2, y, slot - GAP, height, series.tone)


def _numbers(chart: Chart, day: int) -> list[str]:
    return [chart.write(series.values[day]) for series in chart.series]
