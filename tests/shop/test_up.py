import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from shop.management.commands.up import listen

PATIENCE_SECONDS = 30

# The guard; gunicorn and its worker; of qcluster the main process, its sentinel, one worker, monitor and pusher; the
# payment simulator.
PROCESSES = 9


ENVIRONMENT = {
    "DEBUG": "on",
    "DATABASE_URL": "sqlite:///{}/shop.sqlite3",
    "PAYMENT_SIMULATOR_LEDGER": "{}/ledger.sqlite3",
}


class RunningShop:
    """
    A real `up`, run as its user would run it.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = folder / "output.txt"
        with self.output.open("w") as output:
            self.up = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--workers", "1", "--simulator-port", "0", *arguments],
                cwd=settings.BASE_DIR,
                env=os.environ | {name: value.format(folder) for name, value in ENVIRONMENT.items()},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_open(self) -> None:
        eventually(lambda: "is open" in self.output.read_text())
        self.address = re.search(r"http://[\d.:]+", self.output.read_text())[0]
        self.group = os.getpgid(self.pid_of("read -r"))
        eventually(lambda: len(self.left_behind()) == PROCESSES)
        assert urlopen(f"{self.address}/healthz", timeout=PATIENCE_SECONDS).status == 200

    def pid_of(self, part_of_command: str) -> int:
        """
        Find the child of `up` with this in its command line, which a child has only a moment after its birth.
        """
        eventually(lambda: len(self._children(part_of_command)) == 1)
        [pid] = self._children(part_of_command)
        return pid

    def _children(self, part_of_command: str) -> list[int]:
        processes = subprocess.check_output(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], text=True).splitlines()
        return [
            int(pid)
            for pid, parent, command in (line.split(maxsplit=2) for line in processes)
            if int(parent) == self.up.pid and part_of_command in command
        ]

    def left_behind(self) -> list[str]:
        """
        List what is alive in the group of `up`'s children.
        """
        processes = subprocess.check_output(["ps", "-A", "-ww", "-o", "pgid=,stat=,args="], text=True).splitlines()
        fields = (line.split(maxsplit=2) for line in processes)
        return [command for group, state, command in fields if int(group) == self.group and state[0] != "Z"]

    def assert_closed(self) -> None:
        eventually(lambda: not self.left_behind())
        eventually(self.refuses)  # a process counts as dead before its last thread has let go of the socket

    def refuses(self) -> bool:
        host, port = self.address.removeprefix("http://").split(":")
        with socket.socket() as visitor:
            return visitor.connect_ex((host, int(port))) == errno.ECONNREFUSED


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture
def shop(folder: Path) -> Iterator[RunningShop]:
    shop = RunningShop(folder, "--port", "0")
    try:
        shop.wait_until_open()
        yield shop
    finally:
        shop.up.kill()
        shop.up.wait()


class TestUp:
    @pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
    def test_closes_when_asked(self, shop: RunningShop, asked: signal.Signals) -> None:
        shop.up.send_signal(asked)

        assert shop.up.wait(PATIENCE_SECONDS) == 0
        shop.assert_closed()

    @pytest.mark.parametrize(
        ("member", "name"),
        [
            ("gunicorn", "The web server"),
            ("qcluster", "The cluster of workers"),
            ("payment_simulator", "The payment simulator"),
            ("read -r", "The guard"),
        ],
    )
    def test_closes_when_a_member_is_killed(self, shop: RunningShop, member: str, name: str) -> None:
        os.kill(shop.pid_of(member), signal.SIGKILL)

        assert shop.up.wait(PATIENCE_SECONDS) == 1
        assert f"{name} died" in shop.output.read_text()
        shop.assert_closed()

    def test_takes_everything_along_when_killed_itself(self, shop: RunningShop) -> None:
        shop.up.kill()

        shop.assert_closed()

    def test_closes_though_the_cluster_is_frozen(self, shop: RunningShop) -> None:
        os.kill(shop.pid_of("qcluster"), signal.SIGSTOP)

        shop.up.terminate()

        assert shop.up.wait(PATIENCE_SECONDS) == 0
        shop.assert_closed()

    def test_refuses_an_address_in_use(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            shop = RunningShop(folder, "--port", str(taken.getsockname()[1]))

            assert shop.up.wait(PATIENCE_SECONDS) == 1
        assert "Address already in use" in shop.output.read_text()
        assert "--port" in shop.output.read_text()

    @pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1"])
    def test_refuses_an_address_of_another_machine(self, host: str) -> None:
        with pytest.raises(CommandError, match=r"Cannot serve: .* Give --host an IPv4 address of this machine"):
            listen(host, 0)

    @pytest.mark.parametrize(
        ("wish", "complaint"),
        [
            ("--port=80000", "'80000' is not a port"),
            ("--port=-1", "'-1' is not a port"),
            ("--workers=0", "'0' is not a whole number above zero"),
        ],
    )
    def test_refuses_numbers_out_of_range(self, wish: str, complaint: str) -> None:
        with pytest.raises(CommandError, match=complaint):
            call_command("up", wish)

    def test_refuses_settings_that_cannot_be_meant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "MESSAGING", replace(settings.MESSAGING, relay_workers=0))

        with pytest.raises(SystemCheckError, match="Set RELAY_WORKERS to 1 or more"):
            call_command("up", skip_checks=False)
