"""
The OpenAPI document against the API: requests generated from docs/openapi.yaml, valid and invalid ones.

They are the same in every run. They are generated when a test runs: during collection, each worker of pytest-xdist
would spend seconds on them. `make contract` generates more of them; CONTRACT_SEED selects others.
"""

import os
from collections.abc import Mapping
from typing import Any

import pytest
import schemathesis
import yaml
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from inventory.models import StockItem
from tests.access.callers import Caller, create_resources, undone
from tests.factories import CustomerFactory, make_stock

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connection_stays_open")]

DESCRIPTION = settings.BASE_DIR / "docs" / "openapi.yaml"
SEED = int(os.environ.get("CONTRACT_SEED", "9457"))
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "3"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))


def schema_of(document: dict[str, Any], *enabled: str) -> Any:
    """
    Return the document as a schema that generates requests in these phases.
    """
    phases = {phase: {"enabled": phase in enabled} for phase in ("examples", "coverage", "fuzzing")}
    # Responses must not change the requests that follow, or a failure could not be reproduced.
    phases["fuzzing"] |= {"extra-data-sources": {"responses": False}, "error-feedback": {"enabled": False}}
    generation = {"max-examples": EXAMPLES, "database": "none", "with-security-parameters": False}
    config = {"seed": SEED, "generation": generation, "phases": phases}
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(config))
    schema.app = WSGIHandler()
    return schema


@pytest.fixture(scope="module")
def generated(document) -> Any:
    return schema_of(document, "examples", "fuzzing")


@pytest.fixture(scope="module")
def at_the_limits(document) -> Any:
    return schema_of(document, "coverage")


def code_conformance(context: Any, response: Any, case: Any) -> None:
    """
    Check that the code of an error is documented for the operation.
    """
    document = case.operation.schema.raw_schema
    described = document["paths"][case.operation.path].get(case.method.lower(), {}).get("responses", {})
    answer = described.get(str(response.status_code), {})
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    if problem := answer.get("content", {}).get("application/problem+json"):
        assert response.json()["code"] in problem["examples"]


CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.allow_header_conformance,
    checks.unsupported_method,
    code_conformance,
]


@pytest.fixture(autouse=True)
def _has_node_id(request) -> None:
    """
    Set the attribute that schemathesis reads and changes; pytest has had it under another name since 9.2.
    """
    request.node._nodeid = request.node.nodeid


@pytest.fixture
def olga() -> dict[str, str]:
    """
    The headers of Olga, a customer who may view the stock.
    """
    olga = CustomerFactory(username="olga", is_staff=True, is_superuser=True)
    return Caller(olga).token


@pytest.fixture
def stock(db) -> StockItem:
    return make_stock(100)


@pytest.fixture
def hers(olga, drain) -> Mapping[str, str]:
    """
    Ids of Olga's resources, by collection.
    """
    return create_resources(CustomerFactory(username="olga"), drain)


def call(case: Any, headers: Mapping[str, str]) -> None:
    with undone():
        case.call_and_validate(headers={"Host": "testserver", **headers}, checks=CHECKS)


@schemathesis.pytest.from_fixture("generated").parametrize()
@hypothesis(suppress_health_check=list(HealthCheck))
def test_responds_to_anonymous_requests_as_documented(case):
    call(case, {})


@schemathesis.pytest.from_fixture("generated").parametrize()
@hypothesis(suppress_health_check=list(HealthCheck))
def test_responds_to_an_owner_as_documented(case, olga, hers):
    _, _, _, resource, *_ = case.path.split("/")
    case.path_parameters = dict.fromkeys(case.path_parameters, hers.get(resource))
    call(case, olga)


@schemathesis.pytest.from_fixture("at_the_limits").parametrize()
@hypothesis(suppress_health_check=list(HealthCheck))
def test_responds_to_values_at_their_limits_as_documented(case, olga, stock):
    call(case, olga)


def test_responds_to_sequences_as_documented(generated, olga, hers):
    """
    Values of a response go into the next request: an order is placed, fetched, cancelled, cancelled again.
    """

    class Sequence(generated.as_state_machine()):
        def setup(self) -> None:
            self.transaction = undone()
            self.transaction.__enter__()

        def teardown(self) -> None:
            self.transaction.__exit__(None, None, None)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"Host": "testserver", **olga}}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    steps = {"max_examples": 5 * EXAMPLES, "stateful_step_count": 8, "deadline": None, "derandomize": True}
    Sequence.run(settings=hypothesis(**steps, database=None, suppress_health_check=list(HealthCheck)))
