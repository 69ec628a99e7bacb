from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from payments.simulator.ledger import EntryKind
from tests.payments.simulator.bench import Bench
from tests.simulators import ApiClient

LOST = ConnectionAbortedError
"""What a client of the bench sees when the connection is closed without a response."""


def result(response: requests.Response) -> tuple[int, dict]:
    return response.status_code, response.json()


def error(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


class TestCharge:
    def test_is_processing_until_the_delay_has_passed(self, bench: Bench, client: ApiClient) -> None:
        accepted = client.charge()
        bench.wait(0.4)
        repeated = client.charge()
        bench.wait(0.1)
        decided = client.charge()

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
            "page": f"http://localhost/payments/{reference}",
        }
        captured = {"status": "succeeded", "captured": {"amount": 4_500, "currency": "GBP"}}
        assert result(accepted) == result(repeated) == (202, state)
        assert result(decided) == (200, state | captured)

    @pytest.mark.parametrize("other", [{"amount": 4_501}, {"currency": "EUR"}])
    def test_rejects_a_key_used_for_another_amount_or_currency(self, client: ApiClient, other: dict) -> None:
        client.charge()

        detail = "charge-1 was used for 4500 GBP."
        assert result(client.charge(**other)) == (422, {"error": "idempotency_key_reused", "detail": detail})

    @pytest.mark.parametrize(
        "wrong",
        [
            *({"amount": amount} for amount in (0, -1, 1.5, True, "4500", 10**30, None)),
            *({"currency": currency} for currency in ("gbp", "ZZZ", ["GBP"])),
            *({"payment_method": token} for token in ("", 7)),
            *({"order_id": order_id} for order_id in ("a/b", "\ud800", "x" * 201)),
        ],
    )
    def test_rejects_invalid_fields(self, client: ApiClient, wrong: dict) -> None:
        response = client.charge(**wrong)

        assert error(response) == (400, "invalid_request")
        assert next(iter(wrong)) in response.json()["detail"]

    @pytest.mark.parametrize("key", ["", "a b", "a/b", "x" * 201, "caf\xe9"])
    def test_rejects_invalid_keys(self, client: ApiClient, key: str) -> None:
        assert client.charge(key).status_code == 400

    @pytest.mark.parametrize("body", [b"", b"{", b"[" * 60_000, b'"\xff"', b"NaN,"])
    def test_rejects_malformed_json(self, client: ApiClient, body: bytes) -> None:
        response = client.post("/v1/charges", data=body, headers={"Idempotency-Key": "charge-1"})

        assert result(response) == (400, {"error": "malformed_json", "detail": "The body is not valid JSON."})

    def test_is_made_once_by_concurrent_requests_with_one_key(self, bench: Bench, client: ApiClient) -> None:
        with ThreadPoolExecutor(20) as pool:
            responses = list(pool.map(lambda _: client.charge(), range(20)))
        bench.wait(1)

        assert len({response.json()["reference"] for response in responses}) == 1
        charge = bench.processor.find("charge-1")
        assert (len(charge.of_kind(EntryKind.CHARGED)), len(charge.of_kind(EntryKind.CAPTURED))) == (1, 1)


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "response"),
        [("error_once", (500, "internal_error", None)), ("rate_limited", (429, "rate_limited", "1"))],
    )
    def test_reject_the_first_request(self, bench: Bench, client: ApiClient, name: str, response: tuple) -> None:
        rejected = client.charge(token=f"tok_{name}")

        assert (*error(rejected), rejected.headers.get("Retry-After")) == response
        self.assert_only_the_next_charges(bench, client, name)

    def test_drop_the_first_request(self, bench: Bench, client: ApiClient) -> None:
        with pytest.raises(LOST):
            client.charge(token="tok_answer_lost_uncharged")

        self.assert_only_the_next_charges(bench, client, "answer_lost_uncharged")

    def assert_only_the_next_charges(self, bench: Bench, client: ApiClient, name: str) -> None:
        assert client.status() == "unknown"
        assert client.charge(token=f"tok_{name}").status_code == 202
        bench.wait(1)
        assert client.status() == "succeeded"
        assert bench.ledger.faults() == {name: 1}

    @pytest.mark.parametrize("token", ["tok_answer_lost_charged", "tok_timeout"])
    def test_capture_without_a_response(self, bench: Bench, client: ApiClient, token: str) -> None:
        with pytest.raises(LOST):
            client.charge(token=token)

        bench.wait(0.4)
        assert (client.status(), client.charge(token=token).status_code, bench.sent) == ("succeeded", 200, [])
        bench.wait(0.1)
        assert bench.sent_types() == ["payment.succeeded"]
        assert bench.ledger.faults() == {"answer_lost_charged": 1}

    def test_respond_slowly_to_the_first_request(self, bench: Bench, client: ApiClient) -> None:
        for _ in range(2):
            client.charge(token="tok_slow")

        assert bench.slow_responses == 1

    def test_drop_the_first_look_up(self, bench: Bench, client: ApiClient) -> None:
        client.charge(token="tok_lookup_lost")
        bench.wait(1.9)
        with pytest.raises(LOST):
            client.status()

        assert (client.status(), bench.sent) == ("succeeded", [])
        bench.wait(0.1)
        assert bench.sent_types() == ["payment.succeeded"]

    def test_are_counted(self, bench: Bench, client: ApiClient) -> None:
        for n, name in enumerate(["error_once", "error_once", "slow"]):
            bench.charge(f"tok_{name}", key=f"charge-{n}")

        assert result(client.get("/v1/faults")) == (200, {"counts": {"error_once": 2, "slow": 1}})


def test_requests_to_the_api_are_counted_by_operation(client: ApiClient) -> None:
    client.charge()
    for _ in range(2):
        client.status()
    client.get("/")

    assert result(client.get("/v1/requests")) == (200, {"counts": {"charge": 1, "look_up": 2, "requests": 1}})


class TestLookUp:
    def test_returns_404_for_an_unknown_key(self, client: ApiClient) -> None:
        detail = "No charge has the key or reference charge-1."
        assert result(client.get("/v1/charges/charge-1")) == (404, {"error": "no_such_charge", "detail": detail})

    def test_accepts_the_reference(self, client: ApiClient) -> None:
        accepted = client.charge(token="tok_pending").json()

        assert result(client.get(f"/v1/charges/{accepted['reference']}")) == (200, accepted)


class TestCancel:
    def test_ends_an_undecided_charge(self, bench: Bench, client: ApiClient) -> None:
        accepted = client.charge().json()

        cancelled = client.post("/v1/charges/charge-1/cancel")
        bench.wait(10)

        assert result(cancelled) == (200, accepted | {"status": "cancelled"})
        assert client.status() == "cancelled"
        assert bench.sent_types() == ["payment.cancelled"]

    @pytest.mark.parametrize("token", ["tok_visa", "tok_late", "tok_timeout", "tok_callback_before_answer"])
    def test_prevents_a_charge_that_arrives_later(self, bench: Bench, client: ApiClient, token: str) -> None:
        before = client.post("/v1/charges/charge-1/cancel").json()
        after = client.charge(token=token)
        bench.wait(1_200)

        assert (before["status"], before["amount"], before["currency"]) == ("cancelled", None, None)
        assert result(after) == (200, before | {"order_id": "order-1", "amount": 4_500, "currency": "GBP"})
        assert (client.status(), bench.sent, bench.ledger.open_entries()) == ("cancelled", [], [])

    def test_rejects_an_invalid_key(self, client: ApiClient) -> None:
        assert client.post("/v1/charges/caf%C3%A9/cancel").status_code == 400


class TestRefund:
    def test_is_made_once_and_can_be_looked_up(self, bench: Bench, client: ApiClient) -> None:
        charge = bench.paid()

        refund = client.refund(amount=1_000).json()

        assert refund == {
            "key": "refund-1",
            "charge_key": "charge-1",
            "reference": refund["reference"],
            "status": "succeeded",
            "reason": "",
            "amount": 1_000,
            "currency": "GBP",
        }
        assert client.refund(of=charge.reference, amount=1_000).json() == refund
        assert client.get("/v1/charges/charge-1/refunds/refund-1").json() == refund

    def test_never_exceeds_the_capture_by_concurrent_requests(self, bench: Bench, client: ApiClient) -> None:
        bench.paid()

        with ThreadPoolExecutor(20) as pool:
            refunds = list(pool.map(lambda n: client.refund(f"refund-{n}", amount=1_000).json(), range(20)))

        assert sorted(refund["status"] for refund in refunds) == ["declined"] * 16 + ["succeeded"] * 4
        assert {refund["reason"] for refund in refunds if refund["status"] == "declined"} == {"exceeds_capture"}

    def test_returns_404_for_unknown_keys(self, bench: Bench, client: ApiClient) -> None:
        bench.paid()

        paths = ["/v1/charges/unknown/refunds/refund-1", "/v1/charges/charge-1/refunds/unknown"]
        responses = [client.refund(of="unknown"), *map(client.get, paths)]

        assert [*map(error, responses)] == [(404, "no_such_charge")] * 2 + [(404, "no_such_refund")]

    @pytest.mark.parametrize("wrong", [{"amount": 0}, {"currency": ""}, {"key": ""}])
    def test_rejects_invalid_fields(self, bench: Bench, client: ApiClient, wrong: dict) -> None:
        bench.paid()

        assert error(client.refund(**wrong)) == (400, "invalid_request")

    def test_succeeds_without_a_response(self, bench: Bench, client: ApiClient) -> None:
        bench.paid("tok_refund_answer_lost")

        with pytest.raises(LOST):
            client.refund()
        refund = client.get("/v1/charges/charge-1/refunds/refund-1").json()
        assert (refund["status"], client.refund().json()) == ("succeeded", refund)
