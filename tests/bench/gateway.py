"""
Payments at a gateway of its own process that takes 300 ms for every answer, and calls a real web server back.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from payments.models import PaymentIntent

from .figures import await_quiet, place

LATENCY_SECONDS = "0.3"


@contextmanager
def slow_gateway(web_port: int) -> Iterator[Mapping[str, str]]:
    """
    Run a payment simulator for the time of the block; give what its callers need in their environment.
    """
    callback = f"http://127.0.0.1:{web_port}/api/v1/webhooks/payments/"
    place_to_be = ["--port", "0", "--ledger", os.environ["BENCH_LEDGER"], "--callback-url", callback]
    conduct = ["--latency", LATENCY_SECONDS, "--delay", "0.1"]
    command = [sys.executable, "manage.py", "payment_simulator", *place_to_be, *conduct]
    simulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = simulator.stdout.readline().split()[-1].rstrip("/")
        yield {
            "PAYMENT_GATEWAY": "payments.gateway.adapters.simulated.SimulatedGateway",
            "PAYMENT_SIMULATOR_URL": address,
        }
    finally:
        simulator.terminate()
        simulator.wait(30)


def charges(orders: int = 1_000) -> dict[str, float]:
    """
    Charges that the gateway answers a second, and payments that come to their end a second, from the first order
    placed: each payment is charged, called back and looked up by the same workers, and its customer is mailed.
    """
    charged, paid = (
        PaymentIntent.objects.exclude(provider_reference=""),
        PaymentIntent.objects.filter(status="succeeded"),
    )
    before, start = paid.count(), time.perf_counter()
    place(orders)
    while charged.count() < before + orders:
        time.sleep(0.05)
    answered = time.perf_counter() - start
    while paid.count() < before + orders:
        time.sleep(0.05)
    await_quiet()
    return {"charges/s": orders / answered, "payments/s": orders / (time.perf_counter() - start)}
