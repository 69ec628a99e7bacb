import pytest

from tests.factories import ProductFactory
from tests.signing import SENT, Signer, signer_of


@pytest.fixture(autouse=True)
def _product(db) -> None:
    ProductFactory()


@pytest.fixture(params=["hmac-sha256", "ed25519"])
def signer(request, ada) -> Signer:
    """
    A program of Ada's that signs the placing of an order, by a key of either kind.
    """
    return signer_of(ada, request.param, headers=SENT)
