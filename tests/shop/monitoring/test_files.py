"""
The files in docs/monitoring and the pages about them: they name the metrics that `/metrics` has.

promtool and prometheus are in Debian's package `prometheus`. Without it the tests that need them are skipped.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from django.conf import settings as project
from django.utils import timezone

from messaging.models import ReceiverState
from shop.monitoring.metrics import render_metrics
from tests.factories import make_stock, place_order
from tests.messaging.concurrency import in_thread
from tests.processes import Process, run
from tests.programs import free_port
from tests.shop.monitoring.test_metrics import every_sample
from tests.shop.test_docs import anchors, code_spans, rows
from tests.waiting import eventually

FILES = project.BASE_DIR / "docs/monitoring"
RUNBOOK = project.BASE_DIR / "docs/how-to/runbook.md"
DASHBOARD = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
ALERTS = [
    rule
    for group in yaml.safe_load((FILES / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
METRIC = re.compile(r"\bshop_\w+")


def queries() -> list[str]:
    """
    Return the queries of the dashboard, for all services.
    """
    targets = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [query.replace("$job", ".*") for query in targets]


@pytest.fixture
def exposition(db, drain, settings, worker, silent_broker) -> str:
    """
    The metrics of a shop that has delivered an order, with a broker that does not answer.
    """
    make_stock()
    place_order()
    drain()
    ReceiverState.objects.create(worker=worker, status="connected", since=timezone.now())
    # A broker that answers has its lag.
    return render_metrics(timezone.now()).decode() + "shop_broker_lag 7.0\n"


@pytest.fixture
def promtool() -> str:
    return program("promtool")


@pytest.fixture
def prometheus(exposition, tmp_path) -> Iterator[str]:
    """
    The address of a Prometheus that has scraped these metrics.
    """
    executable = program("prometheus")
    with serving(exposition) as target:
        configuration = yaml.safe_load((FILES / "prometheus.yml").read_text(encoding="utf-8"))
        configuration["global"]["scrape_interval"] = "1s"
        configuration["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
        shutil.copy(FILES / "alerts.yml", tmp_path)
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        address = f"127.0.0.1:{free_port()}"
        options = [f"--web.listen-address={address}", f"--storage.tsdb.path={tmp_path}/data"]
        command = [executable, f"--config.file={tmp_path}/prometheus.yml", *options]
        with Process(tmp_path / "log", command):
            eventually(lambda: answers_to(address, 'up{job="shop"} == 1'))
            yield address


def program(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed (Debian: prometheus)")


@contextmanager
def serving(text: str) -> Iterator[str]:
    """
    Serve a text at every path during the block; yield the address.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, in_thread(server.serve_forever):
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def answers_to(address: str, query: str) -> list[object]:
    try:
        with urlopen(f"http://{address}/api/v1/query?{urlencode({'query': query})}", timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []


class TestFiles:
    def test_name_metrics_that_exist(self, exposition):
        named = {name for query in (*queries(), *(rule["expr"] for rule in ALERTS)) for name in METRIC.findall(query)}

        assert named - every_sample(exposition).keys() == set()
        assert len(named) > 10

    def test_have_labels_that_exist(self, exposition):
        known = set(re.findall(r"(\w+)=\"", exposition)) | {"job", "instance"}
        texts = [*queries(), *(rule["expr"] for rule in ALERTS)]

        lists = [names for text in texts for names in re.findall(r"(?:by|without) \(([^)]*)\)", text)]
        used = {label for text in texts for label in re.findall(r"[{,]\s*(\w+)=", text)}
        grouped = {label for names in lists for label in names.split(", ")}

        assert (used | grouped) - known == set()

    def test_are_accepted_by_promtool(self, promtool):
        for command, name in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
            checked = run([promtool, "check", command, FILES / name])
            assert checked.status == 0, checked.output + checked.errors

    def test_raise_each_alert_when_they_should(self, promtool, tmp_path):
        tests = Path(__file__).with_name("alerts_test.yml")
        shutil.copy(FILES / "alerts.yml", tmp_path)
        shutil.copy(tests, tmp_path)

        tested = run([promtool, "test", "rules", tmp_path / tests.name])

        assert tested.status == 0, tested.output + tested.errors
        assert {rule["alert"] for rule in ALERTS} == set(re.findall(r'alertname="(\w+)"', tests.read_text()))

    def test_have_queries_that_prometheus_answers(self, prometheus):
        unanswered = [query for query in queries() if not (answers_to(prometheus, query) or query.endswith("> 0"))]

        assert unanswered == []

    def test_have_metrics_that_promtool_finds_well_named(self, promtool, exposition):
        checked = run([promtool, "check", "metrics"], text=exposition.removesuffix("shop_broker_lag 7.0\n"))

        # It takes the count of a gauge histogram for that of a counter.
        complaints = [line for line in checked.errors.splitlines() if "_gcount" not in line and "_gsum" not in line]
        assert complaints == []


class TestDashboard:
    def test_has_panels_side_by_side_with_ids_of_their_own(self):
        panels = DASHBOARD["panels"]
        cells = [
            (x, y)
            for at in (panel["gridPos"] for panel in panels)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]

        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24
        assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))


class TestPages:
    def test_list_every_metric(self, exposition):
        families = {re.sub(r"_(bucket|gcount|gsum)$", "", name) for name in every_sample(exposition)}
        listed = {code_spans(cells[0])[0] for cells in rows("docs/reference/monitoring.md")}

        assert {name for name in listed if name.startswith("shop_")} == families

    def test_have_a_section_for_each_alert(self):
        alerts = [rule["alert"] for rule in ALERTS]

        assert re.findall(r"^## (Shop\w+)$", RUNBOOK.read_text(), re.MULTILINE) == alerts
        for rule in ALERTS:
            page, _, anchor = rule["annotations"]["runbook"].partition("#")
            assert (project.BASE_DIR / page, anchor in anchors(RUNBOOK)) == (RUNBOOK, True)
