import pytest

from tests.factories import api_of, make_customer, make_product
from tests.outbox import counting_statements
from tests.signing import ORDER_BODY, ORDERS, SENT, send, signer_of

pytestmark = pytest.mark.django_db(transaction=True)


class TestPlace:
    @pytest.mark.parametrize("is_signed", [False, True])
    def test_costs_at_most_twelve_statements(self, is_signed):
        """
        All of them, those after the commit included, but for the words that begin and end a transaction.
        """
        make_product(sku="RED-CHAIR", price=4_500)
        headers = signer_of(make_customer(), headers=SENT).sign("POST", ORDERS, ORDER_BODY) if is_signed else SENT
        api = api_of("ada")

        with counting_statements() as statements:
            assert send(api, headers).status_code == 201

        asked = [statement["sql"] for statement in statements if statement["sql"].split()[0] not in {"BEGIN", "COMMIT"}]
        assert len(asked) <= 12, "\n".join(asked)
