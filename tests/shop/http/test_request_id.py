import pytest
from django.test import Client

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def line_of(caplog):
    """
    Request a page that does not exist, and return its response with its log record.
    """

    def request(**headers):
        response = Client().get("/nowhere/", headers=headers)
        [record] = caplog.records
        return response, record

    return request


class TestRequestId:
    @pytest.mark.parametrize("traceparent", ["", "garbage", f"00-{'0' * 32}-{'b' * 16}-01"])
    def test_is_the_trace_id_of_a_request_without_a_valid_trace(self, line_of, traceparent):
        response, record = line_of(traceparent=traceparent)

        request_id = response.headers["X-Request-Id"]
        assert response.json()["request_id"] == request_id
        assert (record.request_id, record.trace_id, record.ids) == (request_id, request_id, request_id)

    def test_stays_our_own_beside_the_trace_of_the_caller(self, line_of):
        response, record = line_of(traceparent=f"00-{TRACE_ID}-{'b' * 16}-01")

        request_id = response.headers["X-Request-Id"]
        assert response.json()["request_id"] == request_id != TRACE_ID
        assert (record.request_id, record.trace_id, record.ids) == (request_id, TRACE_ID, f"{request_id} {TRACE_ID}")
