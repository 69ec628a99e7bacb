import pytest

from shop.settings.environment import Environment


@pytest.fixture
def env(monkeypatch) -> Environment:
    """
    An empty environment.
    """
    environment = Environment()
    monkeypatch.setattr(environment, "ENVIRON", {})
    return environment
