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
def house(options):
    """
    The graph of who imports whom, to break at will.
    """
    return use_cases._build_graph(
        root_package_names=options.session_options["root_packages"],
        cache_dir=None,
        include_external_packages=False,
        exclude_type_checking_imports=False,
        verbose=False,
    )


def broken_contracts(options: UserOptions, house) -> list[str]:
    """
    Name the contracts that this graph breaks, by what stands before their colon.
    """
    report = use_cases._build_report(
        graph=house,
        graph_building_duration=0,
        user_options=options,
        limit_to_contracts=(),
        show_timings=False,
        verbose=False,
    )
    return [contract.name.partition(":")[0] for contract, check in report.get_contracts_and_checks() if not check.kept]


class TestImports:
    def test_keep_to_every_contract(self, options, house):
        assert broken_contracts(options, house) == []

    @pytest.mark.parametrize(
        ("importer", "imported", "contract"),
        [
            ("orders.services", "inventory.models", "The house"),
            ("messaging.relay", "orders.services", "The house"),
            ("notifications.services", "shop.settings", "The house"),
            ("shop.http.problems", "orders.models", "The house"),
            ("orders.api", "shop.accounts.models", "The house"),
            ("shop.accounts.api", "orders.models", "What every context uses"),
            ("shop.openapi.schema", "orders.serializers", "What every context uses"),
            ("shop.links", "payments.urls", "What every context uses"),
            ("messaging.kernel.money", "messaging.models", "Messaging"),
            ("messaging.kernel.ids", "messaging.kernel.admin", "The kernel"),
            ("shop.http.error_codes", "shop.http.problems", "The web floor"),
            ("shop.accounts.models", "shop.accounts.services", "A context"),
            ("payments.charges.services", "payments.handlers", "A context"),
            ("payments.charges.services", "payments.webhooks.processing", "Payments"),
            ("payments.webhooks.inbox", "payments.charges.outcomes", "Payments"),
            ("payments.refunds", "payments.charges.captures", "Payments"),
            ("payments.gateway.protocol", "payments.gateway.calls", "The packages of payments"),
            ("payments.charges.captures", "payments.charges.outcomes", "The packages of payments"),
            ("orders.models", "orders.services", "A context"),
            ("inventory.handlers", "inventory.admin", "A context"),
            ("messaging.contracts", "messaging.models", "Messaging"),
            ("messaging.outbox", "messaging.relay", "Messaging"),
            ("shop.settings", "shop.accounts.api", "The shop itself"),
            ("shop.settings.environment", "shop.settings.groups", "Settings"),
            ("shop.operations.audit.checks", "shop.operations.audit.report", "The audit"),
        ],
    )
    def test_break_a_contract_that_goes_the_wrong_way(self, options, house, importer, imported, contract):
        house.add_import(importer=importer, imported=imported)

        assert contract in broken_contracts(options, house)

    @pytest.mark.parametrize(
        ("module", "contract"),
        [
            *[(f"{context}.utils", "A context") for context in CONTEXTS],
            *[
                (f"payments.{package}.misc", "The packages of payments")
                for package in ("charges", "webhooks", "gateway")
            ],
            ("messaging.helpers", "Messaging"),
            ("shop.common", "The shop itself"),
            ("shop.http.misc", "The web floor"),
            ("shop.accounts.utils", "A context"),
            ("messaging.kernel.misc", "The kernel"),
        ],
    )
    def test_break_a_contract_when_a_file_is_new(self, options, house, module, contract):
        house.add_module(module)

        assert broken_contracts(options, house) == [contract]
