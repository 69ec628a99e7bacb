"""
The API collection: generated from the OpenAPI document, and valid by it.
"""

import json
import re
from typing import Any

import pytest
import yaml
from django.conf import settings
from jsonschema import Draft202012Validator

from shop.management.commands.demo import CUSTOMER
from shop.openapi.collection import collection
from tests.commands import run

EXAMPLES = settings.BASE_DIR / "docs/examples"
FILES = ("shop.postman_collection.json", "shop.postman_environment.json")
DESCRIBED = yaml.safe_load((settings.BASE_DIR / "docs/openapi.yaml").read_text(encoding="utf-8"))
FOLDERS = json.loads(collection(DESCRIBED))["item"]
ITEMS = {item["name"]: item for folder in FOLDERS for item in folder["item"]}
ENVIRONMENT = json.loads((EXAMPLES / FILES[1]).read_text(encoding="utf-8"))


def operation_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return the operation of the document that has the method and path of a request."""
    path = "/" + "/".join(request["url"]["path"])
    return DESCRIBED["paths"][re.sub(r":(\w+)", r"{\1}", path)][request["method"].lower()]


def parameters_of(operation: dict[str, Any], where: str) -> dict[str, bool]:
    """Return the parameters of an operation in the header, path or query, and whether they are required."""
    shared = {f"#/components/parameters/{name}": found for name, found in DESCRIBED["components"]["parameters"].items()}
    parameters = [shared.get(found.get("$ref"), found) for found in operation.get("parameters", [])]
    return {found["name"]: found.get("required", False) for found in parameters if found["in"] == where}


def assert_parameters(operation: dict[str, Any], where: str, names: set[str]) -> None:
    declared = parameters_of(operation, where)
    assert {name for name, required in declared.items() if required} <= names <= declared.keys()


class TestFiles:
    def test_are_the_ones_that_the_command_writes(self, tmp_path):
        run("export_collection", f"--folder={tmp_path}")

        for file in FILES:
            generated, committed = (folder / file for folder in (tmp_path, EXAMPLES))
            assert generated.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8"), "Run `make schema`."

    def test_have_the_login_of_the_demo(self):
        values = {variable["key"]: variable["value"] for variable in ENVIRONMENT["values"]}

        assert (values["username"], values["password"]) == (CUSTOMER.name, CUSTOMER.password)

    def test_define_every_variable_that_a_request_uses(self):
        used = set(re.findall(r"{{(\w+)}}", json.dumps(FOLDERS)))

        assert used <= {variable["key"] for variable in ENVIRONMENT["values"]}


class TestStories:
    def test_lead_to_every_outcome(self):
        assert [folder["name"] for folder in FOLDERS] == [
            "Token",
            "Order to confirmation",
            "Out of stock",
            "Declined payment",
            "Cancel and refund",
            "Repeat safely",
            "Log out",
        ]

    def test_have_a_name_of_its_own_for_each_request(self):
        assert len(ITEMS) == sum(len(folder["item"]) for folder in FOLDERS)  # by which a request is repeated

    @pytest.mark.parametrize("name", ITEMS)
    def test_have_requests_that_the_document_describes(self, name):
        request = ITEMS[name]["request"]
        operation, url = operation_of(request), request["url"]
        headers = {header["key"] for header in request["header"]}

        assert_parameters(operation, "path", {variable["key"] for variable in url.get("variable", [])})
        assert_parameters(operation, "query", {query["key"].partition("[")[0] for query in url.get("query", [])})
        assert_parameters(operation, "header", headers - {"Accept", "Authorization", "Content-Type"})
        assert ("Authorization" in headers) == ({"token": []} in operation["security"])

    @pytest.mark.parametrize("name", ITEMS)
    def test_have_bodies_that_the_document_allows(self, name):
        request = ITEMS[name]["request"]
        contents = operation_of(request).get("requestBody", {}).get("content", {})

        assert ("body" in request) == bool(contents)
        if contents:
            schema = contents["application/json"]["schema"] | {"components": DESCRIBED["components"]}
            Draft202012Validator(schema).validate(json.loads(request["body"]["raw"]))

    @pytest.mark.parametrize("name", ITEMS)
    def test_expect_a_status_that_the_document_has(self, name):
        [script] = [event["script"]["exec"] for event in ITEMS[name]["event"] if event["listen"] == "test"]
        statuses = re.findall(r"\d+", script[0].partition(",")[0])

        assert statuses
        assert set(statuses) <= operation_of(ITEMS[name]["request"])["responses"].keys()
