from xml.etree import ElementTree as ET

import pytest

from tests.bench.graphs import Bar, Part, bar_chart

SVG = "{http://www.w3.org/2000/svg}"
ENDS = [Part("completed", 90), Part("lost", 10, "bad"), Part("stuck", 0, "waiting")]


def draw(*bars: Bar) -> ET.Element:
    return ET.fromstring(bar_chart("Orders & ends", bars))


def rectangles(chart: ET.Element, tone: str) -> list[float]:
    """Return the widths of the parts of a tone."""
    return [float(each.attrib["width"]) for each in chart.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None
            and each.attrib["class"] == tone]  # fmt: skip


def test_a_chart_says_all_its_numbers_to_those_who_do_not_see_it():
    chart = draw(
        Bar(label="Early", parts=ENDS, text="90 of 100"), Bar(label="Late", parts=[Part("completed", 7)], text="7")
    )

    assert chart.attrib["role"] == "img"
    named = {each.attrib["id"]: each.text for each in chart if "id" in each.attrib}
    assert [named[id_] for id_ in chart.attrib["aria-labelledby"].split()] == [
        "Orders & ends",
        "Early: 90 of 100, completed 90, lost 10, stuck 0. Late: 7.",
    ]


def test_parts_are_as_wide_as_their_values():
    chart = draw(Bar(label="Early", parts=ENDS, text=""), Bar(label="Late", parts=[Part("completed", 45)], text=""))

    whole, half = rectangles(chart, "good")
    assert [whole, *rectangles(chart, "bad")] == pytest.approx([2 * half, whole / 9], abs=0.2)
    assert rectangles(chart, "waiting") == [], "it is 0"


def test_a_range_may_be_longer_than_its_bar():
    chart = draw(Bar(label="Early", parts=[Part("orders/s", 10)], text="", between=(5, 20)))

    [(line, bar)] = zip(chart.iter(f"{SVG}line"), rectangles(chart, "good"), strict=True)
    assert (float(line.attrib["x2"]) - float(line.attrib["x1"])) / bar == pytest.approx(1.5, abs=0.01)


def test_only_bars_of_several_parts_have_a_legend():
    one = draw(Bar(label="Early", parts=[Part("orders/s", 10)], text=""))
    several = draw(Bar(label="Early", parts=ENDS, text=""))

    legends = [[each.text for each in chart.iter(f"{SVG}text")][3:] for chart in (one, several)]
    assert legends == [[], ["completed", "lost", "stuck"]]


def test_a_chart_of_zeros_is_drawn():
    chart = draw(Bar(label="Early", parts=[Part("orders/s", 0)], text="0"))

    assert rectangles(chart, "good") == []
