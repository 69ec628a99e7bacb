from collections.abc import Callable

import pytest

TOLD = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def tell(pytestconfig) -> Callable[[str], None]:
    """
    Say something at the end of the run, be its output captured or not.
    """
    return pytestconfig.stash.setdefault(TOLD, []).append


def pytest_terminal_summary(terminalreporter, config) -> None:
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)
