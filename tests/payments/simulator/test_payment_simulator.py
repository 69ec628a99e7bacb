import signal
import socket
import time
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from payments.management.commands.payment_simulator import fault_rates
from payments.simulator.behaviours import FAULTS
from tests.processes import Process, manage
from tests.simulators import CLOSED_PORT, SECRET, ApiClient
from tests.waiting import eventually

ENVIRONMENT = {
    "DATABASE_URL": "postgres://unknown@127.0.0.1:1/nothing",
    "PAYMENT_WEBHOOK_SECRETS": SECRET,
}


class Running(Process):
    """
    `manage.py payment_simulator` as a process, without a database.
    """

    def __init__(self, log: Path, *arguments: str) -> None:
        options = ["--port=0", f"--ledger={log.parent / 'ledger'}", f"--callback-url={CLOSED_PORT}", *arguments]
        super().__init__(log, manage("payment_simulator", *options), environment=ENVIRONMENT)

    def client(self) -> ApiClient:
        return ApiClient(self.wait_for(r"serves at (http://[\d.:]+)")[1])


class TestPaymentSimulator:
    @pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
    def test_stops_on_a_signal_despite_open_requests(self, tmp_path: Path, stop: signal.Signals) -> None:
        with Running(tmp_path / "output", "--latency", "60") as running:
            host, port = running.client().address.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as waiting:
                waiting.sendall(b"GET /v1/faults HTTP/1.0\r\nHost: localhost\r\n\r\n")
                began = time.monotonic()

                running.send(stop)

                assert running.wait() == 0
                assert time.monotonic() - began < 10
        assert running.output == f"The payment simulator serves at http://{host}:{port}/\n"

    def test_continues_after_it_was_killed(self, tmp_path: Path) -> None:
        with Running(tmp_path / "first", "--delay", "0.2") as running:
            client = running.client()
            before = [client.charge(f"charge-{n}").json() for n in range(5)]
            running.kill()
        with Running(tmp_path / "second") as running:
            client = running.client()
            for accepted in before:
                eventually(lambda key=accepted["key"]: client.status(key) == "succeeded")
                assert client.charge(accepted["key"]).json()["reference"] == accepted["reference"]
            assert len(client.get("/v1/statement").json()["captures"]) == 5

    def test_rejects_an_address_in_use(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(CommandError, match=r"Address already in use.* Stop what uses the address"),
        ):
            call_command("payment_simulator", f"--port={taken.getsockname()[1]}")

    @pytest.mark.parametrize(
        ("option", "error"),
        [
            ("--port=80000", "'80000' is not a port"),
            ("--delay=-1", "'-1' is not a number of seconds"),
            ("--latency=nan", "'nan' is not a number of seconds"),
            ("--late-seconds=1e300", "'1e300' is not a number of seconds"),
            ("--chaos=2", "'2' is not a rate"),
            ("--callback-url=shop", "'shop' is not a URL"),
            ("--callback-url=ftp://shop/", "is not a URL"),
        ],
    )
    def test_rejects_invalid_options(self, option: str, error: str) -> None:
        with pytest.raises(CommandError, match=error):
            call_command("payment_simulator", option)

    @pytest.mark.parametrize("secrets", [[], ["whsec_"], ["whsec_x"]])
    def test_requires_a_valid_secret(self, settings, secrets: list[str]) -> None:
        settings.PAYMENTS = replace(settings.PAYMENTS, webhook_secrets=secrets)

        with pytest.raises(CommandError, match="Cannot sign"):
            call_command("payment_simulator", "--port=0", "--ledger=:memory:")

    @pytest.mark.parametrize("kind", ["a folder", "a text"])
    def test_rejects_a_file_that_is_not_a_ledger(self, tmp_path: Path, settings, kind: str) -> None:
        settings.PAYMENTS = replace(settings.PAYMENTS, webhook_secrets=(SECRET,))
        (tmp_path / "a text").write_text("This is no database, but it is long enough to be read as one." * 20)
        (tmp_path / "a folder").mkdir()

        with pytest.raises(CommandError, match=r"Cannot use .* as a ledger"):
            call_command("payment_simulator", "--port=0", f"--ledger={tmp_path / kind}")


class TestFaultRates:
    @pytest.mark.parametrize(
        ("text", "rates"),
        [
            ("0.3", dict.fromkeys(FAULTS, pytest.approx(0.3 / len(FAULTS)))),
            ("slow=0.02, declined=0.1", {"declined": 0.1, "slow": 0.02}),
            *((zero, {}) for zero in ("0", "0.0", "slow=0")),
        ],
    )
    def test_accepts_one_rate_for_all_faults_or_one_for_each_name(self, text: str, rates: dict) -> None:
        assert fault_rates(text) == rates

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("1.01", "'1.01' is not a rate"),
            ("-0.1", "'-0.1' is not a rate"),
            ("nan", "'nan' is not a rate"),
            ("much", "'much' is not a rate"),
            ("slow=2", "'2' is not a rate"),
            ("slow=", "'' is not a rate"),
            ("sloth=0.1", "'sloth' cannot be drawn: choose from declined, "),
            ("pending=0.1", "'pending' cannot be drawn"),
            ("slow=0.1,slow=0.1", "'slow' is given twice"),
            ("slow=0.6,never=0.6", "add up to more than 1"),
        ],
    )
    def test_rejects_invalid_rates(self, text: str, error: str) -> None:
        with pytest.raises(ArgumentTypeError, match=error):
            fault_rates(text)
