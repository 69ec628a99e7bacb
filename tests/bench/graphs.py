"""
Bar charts as SVG files, which pages of the documentation show as images: light and dark, with all numbers as text.

The charts of the admin (`shop/desk/charts.py`) are columns by day inside of pages, and take their colours from those.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.etree import ElementTree as ET

WIDTH, LEFT, RIGHT, TOP, ROW, THICKNESS = 760, 215, 130, 54, 42, 22
LEGEND_COLUMN, LEGEND_ROW = 180, 22
STYLE = """
    svg { font: 14px system-ui, sans-serif; }
    .page { fill: #ffffff; stroke: #d8d6d0; }
    text { fill: #24231f; } .quiet { fill: #605e57; } .title { font-weight: 600; }
    .good { fill: #2c7a4b; } .waiting { fill: #c98a1b; } .bad { fill: #b5382a; } .other { fill: #5b7fa6; }
    .range { stroke: #24231f; stroke-width: 2; }
    @media (prefers-color-scheme: dark) {
        .page { fill: #1b1c1e; stroke: #3a3b3d; }
        text { fill: #ecebe7; } .quiet { fill: #b3b1aa; } .range { stroke: #ecebe7; }
        .good { fill: #5fb880; } .waiting { fill: #dfae57; } .bad { fill: #e5796b; } .other { fill: #86a9cf; }
    }
"""
"""The colours of `shop/static/shop/desk.css`."""


class Part(NamedTuple):
    name: str
    value: float
    tone: str = "good"
    """good, waiting, bad, other or quiet."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """:param text: its value in words, at its end."""

    label: str
    parts: Sequence[Part]
    text: str
    between: tuple[float, float] | None = None
    """The least and the greatest value of several measurements."""

    @property
    def end(self) -> float:
        return sum(part.value for part in self.parts)

    @property
    def words(self) -> str:
        parts = [f"{part.name} {part.value:g}" for part in self.parts] if len(self.parts) > 1 else []
        return f"{self.label}: {', '.join([self.text, *parts])}"


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return a chart of horizontal bars, which begin at 0."""
    tones = {part.name: part.tone for bar in bars for part in bar.parts}
    legend = list(tones.items()) if len(tones) > 1 else []
    height = TOP + ROW * len(bars) + (LEGEND_ROW + 12 if legend else 6)
    svg = ET.Element("svg", {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {WIDTH} {height}",
        "role": "img",
        "aria-labelledby": "title desc",
    })  # fmt: skip
    _add(svg, "title", title, id="title")
    _add(svg, "desc", ". ".join(bar.words for bar in bars) + ".", id="desc")
    _add(svg, "style", STYLE)
    _add(svg, "rect", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=6, class_="page")
    _add(svg, "text", title, x=16, y=30, class_="title")
    highest = max([bar.end for bar in bars] + [bar.between[1] for bar in bars if bar.between])
    scale = (WIDTH - LEFT - RIGHT) / (highest or 1)
    for at, bar in enumerate(bars):
        _draw_bar(svg, bar, scale, TOP + ROW * at)
    for at, (name, tone) in enumerate(legend):
        x, y = 16 + LEGEND_COLUMN * at, height - LEGEND_ROW
        _add(svg, "rect", x=x, y=y - 11, width=12, height=12, class_=tone)
        _add(svg, "text", name, x=x + 18, y=y, class_="quiet")
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _draw_bar(svg: ET.Element, bar: Bar, scale: float, y: int) -> None:
    middle = y + THICKNESS / 2
    _add(svg, "text", bar.label, x=LEFT - 12, y=middle + 5, text_anchor="end")
    for part, x, width in _placed(bar, scale):
        rectangle = _add(svg, "rect", x=x, y=y, width=width, height=THICKNESS, class_=part.tone)
        _add(rectangle, "title", f"{part.name}: {part.value:g}")
    if bar.between:
        low, high = (LEFT + value * scale for value in bar.between)
        _add(svg, "line", x1=low, x2=high, y1=middle, y2=middle, class_="range")
    end = max(bar.end, bar.between[1] if bar.between else 0)
    _add(svg, "text", bar.text, x=LEFT + end * scale + 8, y=middle + 5, class_="quiet")


def _placed(bar: Bar, scale: float) -> Iterator[tuple[Part, float, float]]:
    """Yield the parts that are not 0, each with where it begins and its width."""
    x = float(LEFT)
    for part in bar.parts:
        if part.value:
            yield part, x, part.value * scale
        x += part.value * scale


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: object) -> ET.Element:
    values = {name.rstrip("_").replace("_", "-"): _written(value) for name, value in attributes.items()}
    child = ET.SubElement(parent, tag, values)
    child.text = text or None
    return child


def _written(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
