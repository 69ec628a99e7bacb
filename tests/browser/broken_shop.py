"""A demo shop that is broken on purpose, as `make run FAULTS=1` starts it, with a shell beside it."""

from pathlib import Path

from tests.processes import Finished, manage, run
from tests.programs import Up
from tests.waiting import eventually

COMMAND_SECONDS = 60
BREAKING_SECONDS = 180

RITA = "rita@example.com"
"""The provider refused her refund."""


class BrokenShop(Up):
    """Running during the `with` block; all of its faults have happened."""

    def __init__(self, folder: Path) -> None:
        environment = {
            "DATABASE_URL": f"sqlite:///{folder}/shop.sqlite3",
            "PAYMENT_SIMULATOR_LEDGER": str(folder / "ledger.sqlite3"),
        }
        super().__init__(folder / "output.txt", "--demo", "--faults", "--port=0", environment=environment)

    def start(self) -> None:
        self.launch()
        eventually(lambda: "is open" in self.output, within=BREAKING_SECONDS, every=0.5)
        self.wait_until_open()

    @property
    def variables(self) -> dict[str, str]:
        """The variables of commands in another shell."""
        return self.environment | {"PAYMENT_SIMULATOR_URL": self.wait_for(r"export PAYMENT_SIMULATOR_URL=(\S+)")[1]}

    def run(self, *arguments: str) -> Finished:
        """Run a command of `manage.py` in another shell."""
        return run(manage(*arguments), within=COMMAND_SECONDS, **self.variables)
