import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests

from payments.simulator.behaviours import FaultSampler
from payments.simulator.server import Simulator
from tests.simulators import ApiClient, running

SLOW_RESPONSES, SLOW_SECONDS = 200, 0.5


class TestSimulator:
    def test_stops(self) -> None:
        with running() as simulator:
            client = ApiClient(simulator.address)
            assert client.get("/").status_code == 200

        with pytest.raises(requests.ConnectionError):
            client.get("/")

    def test_closes_the_connection_of_a_request_without_a_response(self) -> None:
        with running() as simulator, pytest.raises(requests.ConnectionError):
            ApiClient(simulator.address).charge(token="tok_answer_lost_uncharged")

    @pytest.mark.parametrize(("config", "token"), [({"latency": 0.2}, "tok_visa"), ({"slow_seconds": 0.2}, "tok_slow")])
    def test_delays_each_response_or_a_slow_one(self, config: dict, token: str) -> None:
        with running(**config) as simulator:
            assert ApiClient(simulator.address).charge(token=token).elapsed > timedelta(seconds=0.19)

    def test_answers_hundreds_of_slow_requests_at_once(self) -> None:
        with running(slow_seconds=SLOW_SECONDS) as simulator, ThreadPoolExecutor(SLOW_RESPONSES) as pool:
            client = ApiClient(simulator.address)
            began = time.monotonic()
            responses = pool.map(lambda n: client.charge(f"charge-{n}", token="tok_slow"), range(SLOW_RESPONSES))

            assert {response.json()["status"] for response in responses} <= {"processing", "succeeded"}
            assert time.monotonic() - began < SLOW_RESPONSES * SLOW_SECONDS / 10

    def test_answers_others_while_a_client_sends_slowly(self, standing: Simulator) -> None:
        host, port = standing.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /v1/charges HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")

            assert ApiClient(standing.address).get("/v1/faults").status_code == 200

    def test_draws_faults_by_its_seed_and_rates(self) -> None:
        rates = {"never": 0.5}
        with running(seed=5, rates=rates) as simulator:
            for n in range(1, 13):
                ApiClient(simulator.address).charge(f"charge-{n}")
            drawn = [simulator.processor.find(f"charge-{n}").behaviour for n in range(1, 13)]

        sampler = FaultSampler(seed=5, rates=rates)
        assert drawn == [sampler.draw(n) for n in range(1, 13)]
