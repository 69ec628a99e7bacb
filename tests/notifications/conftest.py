from dataclasses import replace

import pytest


@pytest.fixture(autouse=True)
def _shop(settings):
    settings.SHOP = replace(settings.SHOP, name="Ada's Chairs", operator_email="olga@example.com")
