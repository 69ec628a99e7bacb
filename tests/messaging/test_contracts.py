import pytest

from messaging.contracts import Line, OrderPlaced, Undecodable, decode, encode

PLACED = OrderPlaced(order_id="order-1", lines=(Line(sku="RED-CHAIR", quantity=2),))


class TestDecode:
    def test_reads_what_encode_wrote(self):
        assert decode("orders.order_placed", encode(PLACED)) == PLACED

    def test_ignores_the_fields_of_a_newer_publisher(self):
        payload = '{"order_id": "order-1", "lines": [{"sku": "RED-CHAIR", "quantity": 2}], "gift": true}'

        assert decode("orders.order_placed", payload) == PLACED

    @pytest.mark.parametrize(
        "payload", ['{"order_id": "order-1"}', '{"order_id": 1, "lines": []}', '{"order_id": "order-1"', "null", ""]
    )
    def test_rejects_an_invalid_payload(self, payload):
        with pytest.raises(Undecodable, match=r"^orders\.order_placed: "):
            decode("orders.order_placed", payload)

    def test_rejects_an_unknown_type(self):
        with pytest.raises(Undecodable, match=r"'orders.order_archived'.*deploy the code"):
            decode("orders.order_archived", "{}")
