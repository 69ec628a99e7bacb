import pytest

from messaging.contracts import Line, OrderPlaced, StockDepleted, StockReserved, Undecodable, decode, encode

PLACED = OrderPlaced(order_id="order-1", lines=(Line(sku="RED-CHAIR", quantity=2),))


class TestKey:
    def test_is_the_order_whose_story_it_belongs_to(self):
        assert StockReserved(order_id="order-1").key == "order-1"

    def test_is_the_sku_for_a_product(self):
        assert StockDepleted(sku="RED-CHAIR").key == "RED-CHAIR"


class TestDecode:
    def test_reads_what_encode_wrote(self):
        assert decode("orders.order_placed", encode(PLACED)) == PLACED

    def test_ignores_the_fields_of_a_newer_publisher(self):
        payload = '{"order_id": "order-1", "lines": [{"sku": "RED-CHAIR", "quantity": 2}], "gift": true}'

        assert decode("orders.order_placed", payload) == PLACED

    @pytest.mark.parametrize(
        "payload", ['{"order_id": "order-1"}', '{"order_id": 1, "lines": []}', '{"order_id": "order-1"', "null", ""]
    )
    def test_refuses_a_payload_that_does_not_fit(self, payload):
        with pytest.raises(Undecodable, match=r"^orders\.order_placed: "):
            decode("orders.order_placed", payload)

    def test_refuses_a_type_that_no_contract_describes(self):
        with pytest.raises(Undecodable, match=r"'orders.order_dreamt'.*deploy the code"):
            decode("orders.order_dreamt", "{}")
