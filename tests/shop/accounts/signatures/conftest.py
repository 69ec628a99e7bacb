import pytest
from django.contrib.auth.models import User

from tests.factories import make_customer, make_product
from tests.signing import SENT, Signer, signer_of


@pytest.fixture
def ada() -> User:
    make_product(sku="RED-CHAIR", price=4_500)
    return make_customer()


@pytest.fixture(params=["hmac-sha256", "ed25519"])
def signer(request, ada) -> Signer:
    """
    A program of Ada's that signs the placing of an order, by a key of either kind.
    """
    return signer_of(ada, request.param, headers=SENT)
