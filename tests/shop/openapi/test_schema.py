"""
The OpenAPI document: complete, valid, and the same as in docs/.
"""

import re
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from jsonschema import Draft202012Validator

from orders.drafts import SKU
from payments.gateway.adapters.simulated import EVENT_ID, TIMESTAMP
from shop.http.error_codes import CATALOGUE
from shop.http.fields import E164
from tests.webhooks import signed

COMMITTED = settings.BASE_DIR / "docs" / "openapi.yaml"

NO_FAILURE_OF_AN_OPERATION = {"bad_request", "internal_error", "invalid_link", "invalid_price", "method_not_allowed"}
"""Codes of feeds, of links in mails, and of requests that are no operation."""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))


def operations(described: dict[str, Any]) -> dict[str, Any]:
    return {operation["operationId"]: operation for path in described["paths"].values() for operation in path.values()}


def bodies(described: dict[str, Any]) -> set[str]:
    """
    Return the names of the components that are bodies of requests or responses.
    """
    contents = [
        content["schema"]["$ref"].rpartition("/")[2]
        for operation in operations(described).values()
        for message in [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in message.get("content", {}).values()
        if "$ref" in content["schema"]
    ]
    return {name for name in contents if not name.startswith("Paginated")}


class TestDocument:
    def test_is_the_committed_one(self, tmp_path):
        generated = tmp_path / "openapi.yaml"

        call_command("spectacular", file=str(generated), validate=True, fail_on_warn=True)

        assert generated.read_text(encoding="utf-8") == COMMITTED.read_text(encoding="utf-8"), "Run `make schema`."

    def test_has_an_example_of_each_body(self, described):
        schemas = described["components"]["schemas"]

        assert {name for name in bodies(described) if "examples" not in schemas[name]} == set()

    def test_has_valid_examples(self, described):
        components = described["components"]

        for name, schema in components["schemas"].items():
            validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
            for example in schema.get("examples", []):
                validator.validate(example)

    def test_has_every_code(self, described):
        listed = re.findall(r"#/components/examples/(\w+)", COMMITTED.read_text(encoding="utf-8"))

        assert set(listed) == set(CATALOGUE) - NO_FAILURE_OF_AN_OPERATION

    def test_has_the_errors_of_an_order(self, described):
        placing = operations(described)["orders_create"]["responses"]

        assert list(placing) == ["201", "400", "401", "403", "406", "409", "411", "413", "415", "422", "429", "503"]
        assert list(placing["409"]["content"]["application/problem+json"]["examples"]) == [
            "price_changed",
            "request_in_progress",
            "too_many_open_orders",
        ]

    def test_has_the_headers_of_a_webhook(self, described):
        webhook = operations(described)["webhooks_post"]
        headers = {name: described["components"]["parameters"][name] for name in signed(b"")}

        assert [parameter["$ref"] for parameter in webhook["parameters"]] == [
            f"#/components/parameters/{name}" for name in headers
        ]
        assert all(header["required"] and header["in"] == "header" for header in headers.values())
        assert headers["webhook-id"]["schema"]["pattern"] == f"^{EVENT_ID.pattern}$"
        assert headers["webhook-timestamp"]["schema"]["pattern"] == f"^{TIMESTAMP.pattern}$"
        assert webhook["security"] == [{}]
        assert list(webhook["responses"]) == ["200", "400", "401", "406", "409", "411", "413", "415", "503"]

    def test_has_the_security_schemes_of_an_operation(self, described):
        security = {name: operation["security"] for name, operation in operations(described).items()}

        schemes = [{"token": []}, {"token": [], "signature": []}, {"session": []}]
        assert security["orders_create"] == schemes
        assert security["products_list"] == [*schemes, {}]
        assert security["tokens_create"] == [{"session": []}, {}]

    def test_has_the_patterns_of_skus_and_phone_numbers(self, described):
        schemas = described["components"]["schemas"]

        assert schemas["LineInput"]["properties"]["sku"]["pattern"] == f"^{SKU.pattern}$"
        assert schemas["OrderInput"]["properties"]["phone"]["pattern"] == f"^({E164.pattern})?$"


class TestPages:
    @pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8", "application/yaml"])
    def test_give_the_document_to_everyone(self, client, db, described, accept):
        answer = client.get("/api/v1/schema/", headers={"Accept": accept, "Authorization": "Token wrong"})

        assert answer.status_code == 200
        assert yaml.safe_load(answer.content) == described

    @pytest.mark.parametrize("page", ["docs", "redoc"])
    def test_load_nothing_from_elsewhere(self, client, db, page):
        answer = client.get(f"/api/v1/{page}/", headers={"Accept": "text/html"})
        needed = re.findall(r"""(?:src|href)="([^"]+)""", answer.content.decode())
        files = [url for url in needed if url.startswith("/static/")]

        assert answer.status_code == 200
        assert files
        assert [file for file in files if not finders.find(file.removeprefix("/static/"))] == []
        assert [client.get(url).status_code for url in needed if url not in files] in ([], [200])
        assert b"http://" not in answer.content
        assert b"https://" not in answer.content

    @pytest.mark.parametrize("page", ["schema", "docs", "redoc"])
    def test_have_the_errors_of_the_api(self, client, db, page):
        refused = [
            client.post(f"/api/v1/{page}/", headers={"Accept": "*/*"}),
            client.get(f"/api/v1/{page}/", headers={"Accept": "image/png"}),
            client.get(f"/api/v1/{page}/?format=png", headers={"Accept": "*/*"}),
        ]

        assert [answer.headers["Content-Type"] for answer in refused] == ["application/problem+json"] * 3
        assert [answer.json()["code"] for answer in refused] == ["method_not_allowed", *["not_acceptable"] * 2]

    @pytest.mark.parametrize("page", ["docs", "redoc"])
    def test_have_no_options(self, client, db, page):
        assert client.options(f"/api/v1/{page}/").status_code == 405

    def test_ignore_unknown_parameters(self, client, db):
        for page in ("schema", "docs", "redoc"):
            answer = client.get(f"/api/v1/{page}/?lang=%00&version=%0a", headers={"Accept": "*/*"})
            assert answer.status_code == 200
