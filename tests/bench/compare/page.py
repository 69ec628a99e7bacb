"""The figures of a comparison as tables, and as graphs."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill

from tests.bench.graphs import Bar, Part, bar_chart
from tests.processes import PROJECT

from .names import SHOP
from .rounds import Report, medians, ratios

PAGE = PROJECT / "docs/explanation/comparison.md"
FIGURES = re.compile(r"(<!-- figures -->\n).*(<!-- end of figures -->)", re.DOTALL)

CPU = "CPU ms per order: "
CPU_TONES = {"web": "other", "workers": "good", "PostgreSQL": "waiting", "Redis": "quiet"}
ENDS = {
    "completed": ("orders completed", "good"),
    "lost": ("orders lost: nothing is queued", "bad"),
    "stuck": ("orders stuck: something is queued", "waiting"),
}

BUSY = ", because other work used it too"
MISSING = "orders never: "
"""Which step was not done; left out of the table if it was done for all."""

Rows = Sequence[Sequence[str]]


def publish(report: Report) -> None:
    """Write the figures and graphs into the documentation."""
    folder = PAGE.with_suffix("")
    folder.mkdir(exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(report, indent=2) + "\n")
    write_graphs(report, folder)
    PAGE.write_text(with_figures(PAGE.read_text(), report))


def write_graphs(report: Report, folder: Path) -> None:
    for name, draw in GRAPHS.items():
        (folder / f"{name}.svg").write_text(draw(report))


def with_figures(page: str, report: Report) -> str:
    """Return the page with these figures in its marked part."""
    return FIGURES.sub(lambda marks: f"{marks[1]}\n{_markdown(report)}\n{marks[2]}", page)


def throughput_rows(report: Report) -> Rows:
    """Return the cells of the table of throughput, its header first."""
    header = ["", "orders/s", "least and most", f"beside {SHOP[0].lower() + SHOP[1:]}", "placed to confirmed, p50"]
    header += ["CPU per order"]
    return [header, *(_throughput_row(report, name, figures) for name, figures in medians(report).items())]


def kill_rows(report: Report) -> Rows:
    """Return the cells of the table of what was killed: a column for each pipeline, its header first."""
    kills = report["kills"]
    names = next(iter(kills.values()))
    rows = [
        [name, *(_number(figures[name]) for figures in kills.values())]
        for name in names
        if not name.startswith(MISSING) or any(figures[name] for figures in kills.values())
    ]
    return [["", *kills], *rows]


def _throughput_row(report: Report, name: str, figures: Mapping[str, float]) -> list[str]:
    low, high = _between(report, name)
    cpu = figures["CPU ms per order, without the simulator"]
    return [
        name,
        f"{figures['orders/s complete']:.1f}",
        f"{low:.1f} to {high:.1f}",
        ", ".join(f"{100 * ratio:.0f} %" for ratio in ratios(report, name)),
        f"{figures['placed to confirmed, p50 s']:.2f} s",
        f"{cpu:.1f} ms",
    ]


def _throughput_graph(report: Report) -> str:
    bars = [
        Bar(
            label=name,
            parts=[Part("orders/s", round(figures["orders/s complete"], 1), "good" if name == SHOP else "other")],
            text=f"{figures['orders/s complete']:.1f} orders/s",
            between=_between(report, name),
        )
        for name, figures in medians(report).items()
    ]
    return bar_chart(f"Orders per second, from POST to both mails: median of {report['rounds']} rounds", bars)


def _cpu_graph(report: Report) -> str:
    bars = [
        Bar(
            label=name,
            parts=[Part(name, round(figures.get(CPU + name, 0), 1), tone) for name, tone in CPU_TONES.items()],
            text=f"{figures['CPU ms per order, without the simulator']:.0f} ms",
        )
        for name, figures in medians(report).items()
    ]
    return bar_chart("CPU time of an order, in ms", bars)


def _kills_graph(report: Report) -> str:
    bars = [
        Bar(
            label=name,
            parts=[Part(end, figures[figure], tone) for end, (figure, tone) in ENDS.items()],
            text=f"{figures['orders completed']:.0f} of {figures['orders accepted']:.0f}",
        )
        for name, figures in report["kills"].items()
    ]
    return bar_chart("What became of the accepted orders while workers were killed", bars)


GRAPHS: Mapping[str, Callable[[Report], str]] = {
    "throughput": _throughput_graph,
    "cpu": _cpu_graph,
    "kills": _kills_graph,
}


def _between(report: Report, name: str) -> tuple[float, float]:
    rates = [figures["orders/s complete"] for figures in report["throughput"][name]]
    return min(rates), max(rates)


def _markdown(report: Report) -> str:
    return "\n".join([
        fill(_circumstances(report), 120, break_on_hyphens=False),
        "",
        "![Orders per second](comparison/throughput.svg)",
        "",
        _table(throughput_rows(report)),
        "",
        "![CPU time of an order](comparison/cpu.svg)",
        "",
        "### After `kill -9`",
        "",
        "![What became of the orders](comparison/kills.svg)",
        "",
        _table(kill_rows(report)),
        "",
    ])  # fmt: skip


def _circumstances(report: Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items() if name != "processor")
    return (
        f"Measured on {report['at']} on {report['versions']['processor']}: {versions}. "
        f"The load was {report['load']:.1f} before the run{BUSY if report['load'] > 1 else ''}. "
        f"{report['rounds']} rounds of {report['orders']} orders by {report['workers']} workers; "
        f"the kills have the seed {report['seed']}."
    )


def _table(rows: Rows) -> str:
    header, *others = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([header, f"|{'---|' * len(rows[0])}", *others])


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
