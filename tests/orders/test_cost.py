import pytest

from tests.factories import CustomerFactory, ProductFactory, api_of
from tests.outbox import counting_statements
from tests.signing import ORDER_BODY, ORDERS, SENT, send, signer_of

pytestmark = pytest.mark.django_db(transaction=True)


class TestPlace:
    @pytest.mark.parametrize("is_signed", [False, True])
    def test_costs_at_most_twelve_statements(self, is_signed):
        """
        Count every statement of the request, those after the commit included, except BEGIN and COMMIT.
        """
        ProductFactory(sku="RED-CHAIR", price=4_500)
        headers = signer_of(CustomerFactory(), headers=SENT).sign("POST", ORDERS, ORDER_BODY) if is_signed else SENT
        api = api_of("ada")

        with counting_statements() as captured:
            assert send(api, headers).status_code == 201

        statements = [query["sql"] for query in captured if query["sql"].split()[0] not in {"BEGIN", "COMMIT"}]
        assert len(statements) <= 12, "\n".join(statements)
