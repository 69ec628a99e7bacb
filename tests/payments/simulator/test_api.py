import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests

from payments.simulator.behaviours import BEHAVIOURS
from payments.simulator.ledger import EntryKind
from payments.simulator.server import Simulator
from tests.simulators import ApiClient
from tests.waiting import eventually

Start = Callable[..., Simulator]


@pytest.fixture
def simulator(start: Start) -> Simulator:
    return start()


@pytest.fixture
def client(simulator: Simulator) -> ApiClient:
    return ApiClient(simulator.address)


@pytest.fixture
def idle(standing: Simulator) -> ApiClient:
    """
    A client for requests that store nothing.
    """
    return ApiClient(standing.address)


def result(response: requests.Response) -> tuple[int, dict]:
    return response.status_code, response.json()


class TestCharge:
    def test_is_accepted_and_then_decided(self, simulator: Simulator, client: ApiClient) -> None:
        accepted = client.charge()
        eventually(lambda: client.status() == "succeeded")
        again = client.charge()

        reference = accepted.json()["reference"]
        state = {
            "key": "charge-1",
            "reference": reference,
            "order_id": "order-1",
            "status": "processing",
            "reason": "",
            "amount": 4_500,
            "currency": "GBP",
            "captured": None,
            "page": f"{simulator.address}/payments/{reference}",
        }
        assert result(accepted) == (202, state)
        captured = {"amount": 4_500, "currency": "GBP"}
        assert result(again) == (200, state | {"status": "succeeded", "captured": captured})

    def test_rejects_a_key_used_for_another_amount(self, client: ApiClient) -> None:
        client.charge()

        response = client.charge(amount=1)

        assert (response.status_code, response.json()["error"]) == (422, "idempotency_key_reused")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"amount": 0},
            {"amount": -1},
            {"amount": 1.5},
            {"amount": True},
            {"amount": "4500"},
            {"amount": 10**30},
            {"amount": None},
            {"currency": "gbp"},
            {"currency": "ZZZ"},
            {"currency": ["GBP"]},
            {"payment_method": ""},
            {"payment_method": 7},
            {"order_id": "a/b"},
            {"order_id": "\ud800"},
            {"order_id": "x" * 201},
        ],
    )
    def test_rejects_invalid_fields(self, idle: ApiClient, wrong: dict) -> None:
        response = idle.charge(**wrong)

        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
        assert next(iter(wrong)) in response.json()["detail"]

    @pytest.mark.parametrize("key", ["", "a b", "a/b", "x" * 201, "caf\xe9"])
    def test_rejects_invalid_keys(self, idle: ApiClient, key: str) -> None:
        assert idle.charge(key.encode("latin-1")).status_code == 400

    @pytest.mark.parametrize("body", [b"", b"{", b"[" * 60_000, b'"\xff"', b"NaN,"])
    def test_rejects_malformed_json(self, idle: ApiClient, body: bytes) -> None:
        response = idle.post("/v1/charges", data=body, headers={"Idempotency-Key": "charge-1"})

        assert result(response) == (400, {"error": "malformed_json", "detail": "The body is not valid JSON."})

    def test_rejects_a_body_that_is_too_long(self, idle: ApiClient) -> None:
        response = idle.post("/v1/charges", data=b" " * 65_537, headers={"Idempotency-Key": "charge-1"})

        assert (response.status_code, response.json()["error"]) == (413, "body_too_large")

    def test_is_made_once_by_concurrent_requests_with_one_key(self, simulator: Simulator, client: ApiClient) -> None:
        with ThreadPoolExecutor(20) as pool:
            responses = list(pool.map(lambda _: client.charge(), range(20)))
        eventually(lambda: client.status() == "succeeded")

        assert len({response.json()["reference"] for response in responses}) == 1
        charge = simulator.processor.find("charge-1")
        assert (len(charge.of_kind(EntryKind.CHARGED)), len(charge.of_kind(EntryKind.CAPTURED))) == (1, 1)

    def test_is_accepted_under_every_token(self, client: ApiClient) -> None:
        early = {"answer_lost_charged", "answer_lost_uncharged", "error_once", "rate_limited"}
        late = {"pending", "late", "slow", "callback_before_answer", "lookup_lost"}
        for name in BEHAVIOURS.keys() - early - late:
            assert client.charge(name, token=f"tok_{name}").status_code == 202
            expected = "declined" if BEHAVIOURS[name].declines_by else "succeeded"
            eventually(lambda key=name, status=expected: client.status(key) == status)


class TestFaults:
    @pytest.mark.parametrize(("token", "then"), [("answer_lost_charged", 200), ("answer_lost_uncharged", 202)])
    def test_close_the_connection(self, client: ApiClient, token: str, then: int) -> None:
        with pytest.raises(requests.ConnectionError):
            client.charge(token=f"tok_{token}")

        assert client.status() == ("succeeded" if then == 200 else "unknown")
        assert client.charge(token=f"tok_{token}").status_code == then

    def test_return_500_once(self, client: ApiClient) -> None:
        assert result(client.charge(token="tok_error_once")) == (500, {"error": "internal_error"})
        assert client.charge(token="tok_error_once").status_code == 202

    def test_return_429_once(self, client: ApiClient) -> None:
        response = client.charge(token="tok_rate_limited")

        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        assert client.charge(token="tok_rate_limited").status_code == 202

    def test_respond_slowly(self, client: ApiClient) -> None:
        began = time.monotonic()
        client.charge(token="tok_slow")

        assert time.monotonic() - began >= 0.2

    def test_drop_the_first_look_up(self, client: ApiClient) -> None:
        client.charge(token="tok_lookup_lost")
        with pytest.raises(requests.ConnectionError):
            client.status()

        assert client.status() in {"processing", "succeeded"}

    def test_are_counted(self, client: ApiClient) -> None:
        client.charge(token="tok_error_once")
        client.charge("charge-2", token="tok_error_once")
        client.charge("charge-3", token="tok_slow")

        assert result(client.get("/v1/faults")) == (200, {"counts": {"error_once": 2, "slow": 1}})


class TestLookUp:
    def test_returns_404_for_an_unknown_key(self, idle: ApiClient) -> None:
        detail = "No charge has the key or reference charge-1."
        assert result(idle.get("/v1/charges/charge-1")) == (404, {"error": "no_such_charge", "detail": detail})

    def test_accepts_the_reference(self, client: ApiClient) -> None:
        accepted = client.charge(token="tok_pending").json()

        assert result(client.get(f"/v1/charges/{accepted['reference']}")) == (200, accepted)


class TestCancel:
    def test_ends_a_pending_charge(self, client: ApiClient) -> None:
        client.charge(token="tok_pending")

        response = client.post("/v1/charges/charge-1/cancel")

        assert (response.status_code, response.json()["status"], response.json()["captured"]) == (
            200,
            "cancelled",
            None,
        )

    def test_prevents_a_charge_that_arrives_later(self, client: ApiClient) -> None:
        before = client.post("/v1/charges/charge-1/cancel").json()
        after = client.charge()

        assert (before["status"], before["amount"], before["currency"]) == ("cancelled", None, None)
        assert result(after) == (
            200,
            before | {"order_id": "order-1", "amount": 4_500, "currency": "GBP"},
        )

    def test_rejects_an_invalid_key(self, client: ApiClient) -> None:
        assert client.post("/v1/charges/caf%C3%A9/cancel").status_code == 400


class TestRefund:
    @pytest.fixture(autouse=True)
    def _is_paid(self, client: ApiClient) -> None:
        client.charge()
        eventually(lambda: client.status() == "succeeded")

    def test_succeeds_and_can_be_looked_up(self, client: ApiClient) -> None:
        refund = client.refund(amount=1_000)

        assert refund.json() == {
            "key": "refund-1",
            "charge_key": "charge-1",
            "reference": refund.json()["reference"],
            "status": "succeeded",
            "reason": "",
            "amount": 1_000,
            "currency": "GBP",
        }
        assert client.get("/v1/charges/charge-1/refunds/refund-1").json() == refund.json()

    def test_never_exceeds_the_capture_by_concurrent_requests(self, client: ApiClient) -> None:
        with ThreadPoolExecutor(20) as pool:
            refunds = list(pool.map(lambda n: client.refund(f"refund-{n}", amount=1_000).json(), range(20)))

        assert sorted(refund["status"] for refund in refunds) == ["declined"] * 16 + ["succeeded"] * 4
        assert {refund["reason"] for refund in refunds if refund["status"] == "declined"} == {"exceeds_capture"}

    def test_returns_404_for_unknown_keys(self, client: ApiClient) -> None:
        paths = ["/v1/charges/unknown/refunds/refund-1", "/v1/charges/charge-1/refunds/unknown"]
        responses = [client.refund(of="unknown"), *map(client.get, paths)]

        assert [(response.status_code, response.json()["error"]) for response in responses] == [
            (404, "no_such_charge"),
            (404, "no_such_charge"),
            (404, "no_such_refund"),
        ]

    def test_rejects_invalid_fields(self, client: ApiClient) -> None:
        assert [client.refund(**wrong).status_code for wrong in ({"amount": 0}, {"currency": ""}, {"key": ""})] == [
            400,
            400,
            400,
        ]

    @pytest.mark.parametrize(("token", "times"), [("refund_error", 1), ("refund_declined", 1)])
    def test_fails_the_first_time_as_its_token_says(self, client: ApiClient, token: str, times: int) -> None:
        client.charge("charge-2", token=f"tok_{token}")
        eventually(lambda: client.status("charge-2") == "succeeded")

        first, second = client.refund("first", of="charge-2"), client.refund("second", of="charge-2")

        assert first.status_code == 500 or first.json()["reason"] == "account_closed"
        assert second.json()["status"] == "succeeded"

    def test_succeeds_without_a_response(self, client: ApiClient) -> None:
        client.charge("charge-2", token="tok_refund_answer_lost")
        eventually(lambda: client.status("charge-2") == "succeeded")

        with pytest.raises(requests.ConnectionError):
            client.refund(of="charge-2")
        assert client.get("/v1/charges/charge-2/refunds/refund-1").json()["status"] == "succeeded"


class TestStatement:
    def test_lists_captures_with_their_refunds(self, client: ApiClient) -> None:
        client.charge()
        client.charge("charge-2", token="tok_pending")
        eventually(lambda: client.status() == "succeeded")
        refund = client.refund(amount=1_000).json()

        status, statement = result(client.get("/v1/statement"))

        [capture] = statement["captures"]
        assert (status, capture) == (
            200,
            {
                "charge_key": "charge-1",
                "reference": client.get("/v1/charges/charge-1").json()["reference"],
                "order_id": "order-1",
                "amount": 4_500,
                "currency": "GBP",
                "captured_at": capture["captured_at"],
                "refunds": [{"key": "refund-1", "reference": refund["reference"], "amount": 1_000}],
            },
        )
        assert capture["captured_at"] < statement["now"]

    def test_continues_from_an_earlier_one(self, client: ApiClient) -> None:
        client.charge()
        eventually(lambda: client.status() == "succeeded")
        now = client.get("/v1/statement").json()["now"]

        assert client.get("/v1/statement", params={"since": now}).json()["captures"] == []
        assert client.get(f"/v1/statement?since={now}").json()["captures"] == []

    @pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "0001-01-01T00:00:00+23:00"])
    def test_rejects_an_invalid_time(self, idle: ApiClient, since: str) -> None:
        response = idle.get("/v1/statement", params={"since": since})

        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


class TestLatency:
    def test_delays_every_response(self, start: Start) -> None:
        client = ApiClient(start(latency=0.2).address)

        assert client.get("/v1/faults").elapsed > timedelta(seconds=0.19)
