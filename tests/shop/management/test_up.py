import errno
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from shop.server.processes import listen
from tests.processes import children_of, freeze, kill, manage, run
from tests.programs import Up
from tests.waiting import PATIENCE_SECONDS, eventually

LIMIT_SECONDS = 3
STOP_SECONDS = LIMIT_SECONDS + 2 + 8  # the last for a busy machine

# The guard; gunicorn and its worker; of qcluster the main process, its sentinel, one worker, monitor and pusher; the
# payment simulator.
PROCESSES = 9


def shop_in(folder: Path, *arguments: str) -> Up:
    """
    Return `up` on a database and a ledger in this folder.
    """
    environment = {
        "DATABASE_URL": f"sqlite:///{folder}/shop.sqlite3",
        "PAYMENT_SIMULATOR_LEDGER": f"{folder}/ledger.sqlite3",
        "MESSAGING_HANDLER_LIMIT_SECONDS": str(LIMIT_SECONDS),
        "EMAIL_DEADLINE": "1",
        "PAYMENT_TIMEOUT_SECONDS": "1",
        "SMS_TIMEOUT": "1",
    }
    return Up(folder / "output.txt", *arguments, environment=environment)


def assert_stopped(shop: Up) -> None:
    eventually(lambda: not shop.survivors())
    eventually(lambda: refuses_connections(shop))  # a process may be dead before its last thread closes the socket


def refuses_connections(shop: Up) -> bool:
    host, port = shop.address.removeprefix("http://").split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == errno.ECONNREFUSED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture
def shop(folder: Path) -> Iterator[Up]:
    (folder / "output.txt").unlink(missing_ok=True)
    with shop_in(folder, "--port=0") as shop:
        shop.wait_until_open()
        eventually(lambda: len(shop.survivors()) == PROCESSES, every=0.1)  # it reads the process table
        assert urlopen(f"{shop.address}/healthz", timeout=PATIENCE_SECONDS).status == 200
        yield shop


class TestUp:
    def test_stops_on_ctrl_c_although_the_worker_the_monitor_and_the_pusher_were_killed(self, shop: Up) -> None:
        [sentinel] = children_of(shop.wait_for_child("qcluster").pid)
        kill(*(process.pid for process in children_of(sentinel.pid)))
        eventually(lambda: len(shop.survivors()) == PROCESSES)

        shop.send(signal.SIGINT)

        assert shop.wait(within=STOP_SECONDS) == 0
        assert_stopped(shop)

    @pytest.mark.parametrize(
        ("member", "name"),
        [
            ("gunicorn", "The web server"),
            ("qcluster", "The cluster of workers"),
            ("payment_simulator", "The payment simulator"),
            ("read -r", "The guard"),
        ],
    )
    def test_stops_if_a_process_is_killed(self, shop: Up, member: str, name: str) -> None:
        kill(shop.wait_for_child(member).pid)

        assert shop.wait() == 1
        assert f"{name} died" in shop.output
        assert_stopped(shop)

    def test_leaves_no_process_if_killed_itself(self, shop: Up) -> None:
        kill(shop.pid)

        assert_stopped(shop)

    def test_stops_on_sigterm_although_the_cluster_is_frozen(self, shop: Up) -> None:
        freeze(shop.wait_for_child("qcluster").pid)

        shop.send(signal.SIGTERM)

        assert shop.wait(within=STOP_SECONDS) == 0
        assert_stopped(shop)

    def test_prints_the_variable_by_which_commands_find_the_simulator(self, folder: Path, shop: Up) -> None:
        [url] = re.findall(
            r"^Commands in another shell need: export PAYMENT_SIMULATOR_URL=(\S+)$", shop.output, re.MULTILINE
        )
        database = f"sqlite:///{folder}/shop.sqlite3"

        reachable = run(manage("reconcile_payments"), DATABASE_URL=database, PAYMENT_SIMULATOR_URL=url)
        unreachable = run(
            manage("reconcile_payments"), DATABASE_URL=database, PAYMENT_SIMULATOR_URL="http://127.0.0.1:1"
        )

        assert reachable.status == 0, reachable.errors
        assert "set PAYMENT_SIMULATOR_URL to where it runs" in unreachable.errors

    def test_rejects_an_address_in_use(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            finished = run(shop_in(folder, f"--port={taken.getsockname()[1]}").command)

        assert finished.status == 1
        assert "Address already in use" in finished.errors
        assert "--port" in finished.errors

    @pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1"])
    def test_rejects_an_address_of_another_machine(self, host: str) -> None:
        with pytest.raises(CommandError, match=r"Cannot serve: .* Give --host an IPv4 address of this machine"):
            listen(host, 0)

    @pytest.mark.parametrize(
        ("option", "complaint"),
        [
            ("--port=80000", "'80000' is not a port"),
            ("--port=-1", "'-1' is not a port"),
            ("--workers=0", "'0' is not a whole number above zero"),
        ],
    )
    def test_rejects_numbers_out_of_range(self, option: str, complaint: str) -> None:
        with pytest.raises(CommandError, match=complaint):
            call_command("up", option)

    def test_rejects_invalid_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "MESSAGING", replace(settings.MESSAGING, relay_workers=0))

        with pytest.raises(SystemCheckError, match="Set RELAY_WORKERS to 1 or more"):
            call_command("up", skip_checks=False)
