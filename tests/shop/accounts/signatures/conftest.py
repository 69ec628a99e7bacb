import pytest
from django.contrib.auth.models import User

from tests.factories import CustomerFactory, ProductFactory
from tests.signing import SENT, Signer, signer_of


@pytest.fixture
def ada() -> User:
    ProductFactory(sku="RED-CHAIR", price=4_500)
    return CustomerFactory()


@pytest.fixture(params=["hmac-sha256", "ed25519"])
def signer(request, ada) -> Signer:
    """
    A program of Ada's that signs the placing of an order, by a key of either kind.
    """
    return signer_of(ada, request.param, headers=SENT)
