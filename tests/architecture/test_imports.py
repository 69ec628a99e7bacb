import pytest
from django.conf import settings
from importlinter import api
from importlinter.application import use_cases
from importlinter.application.user_options import UserOptions

CONTEXTS = ("orders", "inventory", "payments", "notifications")


@pytest.fixture(scope="module")
def options() -> UserOptions:
    api.configuration.configure()
    options = use_cases.read_user_options(str(settings.BASE_DIR / "pyproject.toml"))
    use_cases._register_contract_types(options)
    return options


@pytest.fixture
def import_graph(options):
    """
    The graph of the project's imports, for tests to add to.
    """
    return use_cases._build_graph(
        root_package_names=options.session_options["root_packages"],
        cache_dir=None,
        include_external_packages=False,
        exclude_type_checking_imports=False,
        verbose=False,
    )


def broken_contracts(options: UserOptions, import_graph) -> list[str]:
    """
    Return the contracts that this graph breaks, by the part of their name before the colon.
    """
    report = use_cases._build_report(
        graph=import_graph,
        graph_building_duration=0,
        user_options=options,
        limit_to_contracts=(),
        show_timings=False,
        verbose=False,
    )
    return [contract.name.partition(":")[0] for contract, check in report.get_contracts_and_checks() if not check.kept]


def names_of(options: UserOptions, *, exhaustive: bool = False) -> set[str]:
    """
    Return the contracts, or only those that list all their files, by the part of their name before the colon.
    """
    contracts = [contract for contract in options.contracts_options if not exhaustive or contract.get("exhaustive")]
    return {contract["name"].partition(":")[0] for contract in contracts}


WRONG_IMPORTS = [
    ("orders.services", "inventory.models", "The project"),
    ("messaging.relay", "orders.services", "The project"),
    ("messaging.transports.protocol", "messaging.transports.redis_streams", "Transports"),
    ("notifications.services", "shop.settings", "The project"),
    ("shop.http.problems", "orders.models", "The project"),
    ("orders.api", "shop.accounts.models", "The project"),
    ("shop.accounts.api", "orders.models", "What every context uses"),
    ("shop.openapi.schema", "orders.serializers", "What every context uses"),
    ("shop.links", "payments.urls", "What every context uses"),
    ("orders.models", "orders.services", "A context"),
    ("inventory.handlers", "inventory.admin", "A context"),
    ("payments.charges.services", "payments.handlers", "A context"),
    ("shop.accounts.models", "shop.accounts.services", "A context"),
    ("payments.charges.services", "payments.webhooks.processing", "Payments"),
    ("payments.webhooks.inbox", "payments.charges.outcomes", "Payments"),
    ("payments.refunds", "payments.charges.captures", "Payments"),
    ("payments.gateway.protocol", "payments.gateway.calls", "The packages of payments"),
    ("payments.charges.captures", "payments.charges.outcomes", "The packages of payments"),
    ("payments.simulator.ledger", "messaging.contracts", "The simulator"),
    ("payments.simulator.ledger", "payments.gateway.protocol", "The simulator"),
    ("payments.simulator.ledger", "payments.simulator.server", "Inside the simulator"),
    ("payments.charges.services", "payments.simulator.server", "Who runs the simulator"),
    ("payments.gateway.calls", "payments.simulator.behaviours", "Who runs the simulator"),
    ("messaging.kernel.money", "messaging.models", "Messaging"),
    ("messaging.contracts", "messaging.models", "Messaging"),
    ("messaging.outbox", "messaging.relay", "Messaging"),
    ("messaging.kernel.ids", "messaging.kernel.admin", "The kernel"),
    ("shop.settings", "shop.accounts.api", "The shop"),
    ("shop.monitoring.metrics", "shop.monitoring.views", "Monitoring"),
    ("shop.settings.environment", "shop.settings.groups", "Settings"),
    ("shop.operations.audit.checks", "shop.operations.audit.report", "The audit"),
    ("shop.desk.menu", "shop.desk.site", "The desk"),
    ("shop.desk.outbox", "orders.models", "What every context uses"),
    ("shop.http.error_codes", "shop.http.problems", "The web floor"),
]

UNLISTED_FILES = [
    *[(f"{context}.utils", "A context") for context in (*CONTEXTS, "shop.accounts")],
    *[(f"payments.{package}.misc", "The packages of payments") for package in ("charges", "webhooks", "gateway")],
    ("payments.simulator.common", "Inside the simulator"),
    ("messaging.helpers", "Messaging"),
    ("messaging.kernel.misc", "The kernel"),
    ("messaging.transports.common", "Transports"),
    ("shop.common", "The shop"),
    ("shop.monitoring.misc", "Monitoring"),
    ("shop.settings.misc", "Settings"),
    ("shop.operations.audit.misc", "The audit"),
    ("shop.desk.misc", "The desk"),
    ("shop.http.misc", "The web floor"),
]


class TestContracts:
    def test_are_kept(self, options, import_graph):
        assert broken_contracts(options, import_graph) == []

    def test_are_all_broken_by_a_test_below(self, options):
        assert {contract for *_, contract in WRONG_IMPORTS} == names_of(options)
        assert {contract for _, contract in UNLISTED_FILES} == names_of(options, exhaustive=True)

    @pytest.mark.parametrize(("importer", "imported", "contract"), WRONG_IMPORTS)
    def test_are_broken_by_an_import_in_the_wrong_direction(self, options, import_graph, importer, imported, contract):
        assert {importer, imported} <= import_graph.modules

        import_graph.add_import(importer=importer, imported=imported)

        assert contract in broken_contracts(options, import_graph)

    @pytest.mark.parametrize(("module", "contract"), UNLISTED_FILES)
    def test_are_broken_by_an_unlisted_file(self, options, import_graph, module, contract):
        import_graph.add_module(module)

        assert broken_contracts(options, import_graph) == [contract]
