from datetime import date

from shop.desk import charts
from shop.http.desk import Bar, Bars, Chart, Series

DAYS = [date(2030, 6, 1), date(2030, 6, 2)]


def chart(*series: Series) -> charts.DrawnChart:
    return charts.drawn(Chart(title="Money", days=DAYS, series=series, empty="None.", write="{} p".format))


class TestChart:
    def test_stacks_the_numbers_of_a_day(self):
        drawn = chart(
            Series(name="confirmed", values=[30, 10], tone="good"), Series(name="lost", values=[10, 0], tone="bad")
        )

        first, second = drawn.columns
        assert [(each.tone, each.y, each.height) for each in first.rectangles] == [("good", 100, 300), ("bad", 0, 100)]
        assert [(each.tone, each.y, each.height) for each in second.rectangles] == [("good", 300, 100)]
        assert first.text == "Sat 01 Jun: confirmed 30 p, lost 10 p"
        assert (drawn.zero, drawn.highest, drawn.lowest) == (400, "40 p", "")

    def test_draws_what_was_given_back_below_the_axis(self):
        drawn = chart(
            Series(name="captured", values=[30, 0], tone="good"),
            Series(name="refunded", values=[0, 10], tone="bad", is_below=True),
        )

        first, second = (column.rectangles for column in drawn.columns)
        assert (drawn.zero, drawn.highest, drawn.lowest) == (300, "30 p", "10 p")
        assert [(each.y, each.height) for each in (*first, *second)] == [(0, 300), (300, 100)]

    def test_shows_what_is_far_less_than_the_rest(self):
        drawn = chart(Series(name="captured", values=[1, 10**9], tone="good"))

        assert drawn.columns[0].rectangles[0].height == charts.LEAST

    def test_has_its_numbers_by_day_and_in_all(self):
        drawn = chart(Series(name="captured", values=[1, 2], tone="good"))

        assert [total for _, total in drawn.totals] == ["3 p"]
        assert drawn.rows == [(DAYS[1], ["2 p"]), (DAYS[0], ["1 p"])]
        assert drawn.summary == "Money. captured: 3 p"

    def test_is_not_drawn_without_numbers(self):
        assert chart(Series(name="captured", values=[0, 0], tone="good")).columns == []


class TestBars:
    def test_are_as_wide_as_their_part_of_the_widest(self):
        drawn = charts.drawn(Bars(title="Lost", bars=[Bar(name="a", value=4), Bar(name="b", value=1)], empty="None."))

        assert [width for _, width in drawn.bars] == [1000, 250]

    def test_are_not_drawn_if_all_are_0(self):
        assert charts.drawn(Bars(title="Lost", bars=[Bar(name="a", value=0)], empty="None.")).bars == []
