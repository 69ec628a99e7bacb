"""
The API as a collection of Postman (format 2.1.0), which Bruno and Insomnia import too: the requests of `stories.yaml`,
described by the OpenAPI document.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

STORIES = Path(__file__).with_name("stories.yaml")
FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
DESCRIPTION = (
    "Stories of a customer in the demo of the shop (`make run`). Import the environment beside this file too. Run the "
    "whole collection, or the folder *Token* and then a story. If you send requests one by one, send those that follow "
    "an order again until it is final: only a run of the collection repeats them."
)
ENVIRONMENT = {"address": "http://127.0.0.1:8000", "username": "ada", "password": "ada-counts-chairs"}
SET_BY_SCRIPTS = ("token", "token_id", "idempotency_key", "order_id", "etag", "round")

PARSE = "const response = pm.response.code !== 204 && pm.response.code !== 304 ? pm.response.json() : {};"
# The next request begins when the timers of a script have ended. The shop waits for changes of open orders only.
FOLLOW = """\
const round = Number(pm.environment.get("round") || 0) + 1;
pm.environment.set("etag", pm.response.headers.get("ETag") || pm.environment.get("etag"));
if (!(%(until)s) && round < 100) {
    pm.environment.set("round", round);
    pm.execution.setNextRequest(pm.info.requestName);
    if (!pm.response.headers.has("Preference-Applied")) setTimeout(() => {}, 500);
} else {
    pm.environment.unset("round");
    pm.test("The end is reached", () => pm.expect(%(until)s).to.be.true);
%(after)s
}"""


def collection(described: Mapping[str, Any]) -> str:
    """
    Return the collection in JSON.

    :param described: the OpenAPI document.
    :raise KeyError: if a story names an operation that the document does not have.
    """
    operations = {
        operation["operationId"]: operation | {"method": method.upper(), "path": path}
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    components = described["components"]
    folders = [
        {
            "name": story["name"],
            "description": story["description"],
            "item": [_item(request, operations[request["operation"]], components) for request in story["requests"]],
        }
        for story in yaml.safe_load(STORIES.read_text(encoding="utf-8"))
    ]
    info = {"name": described["info"]["title"], "description": DESCRIPTION, "schema": FORMAT}
    return _as_json({"info": info, "item": folders})


def environment() -> str:
    """
    Return the environment for the demo in JSON: address and login, and the variables that scripts set.
    """
    variables = ENVIRONMENT | dict.fromkeys(SET_BY_SCRIPTS, "")
    values = [{"key": key, "value": value, "type": "default", "enabled": True} for key, value in variables.items()]
    return _as_json({"name": "Demo of the shop", "values": values, "_postman_variable_scope": "environment"})


def _item(request: Json, operation: Json, components: Json) -> Json:
    descriptions = _descriptions(operation, components["parameters"])
    scripts = {"prerequest": request.get("before", ""), "test": _checks(request)}
    return {
        "name": request["name"],
        "event": [
            {"listen": listen, "script": {"type": "text/javascript", "exec": script.splitlines()}}
            for listen, script in scripts.items()
            if script
        ],
        "request": {
            "method": operation["method"],
            "description": operation.get("description", operation["summary"]),
            "header": _headers(request, operation, descriptions),
            "url": _url(request, operation["path"], descriptions),
        }
        | _body(request, operation, components["schemas"]),
    }


def _descriptions(operation: Json, shared: Json) -> dict[str, str]:
    parameters = [
        shared[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
        for parameter in operation.get("parameters", [])
    ]
    return {parameter["name"]: parameter.get("description", "") for parameter in parameters}


def _checks(request: Json) -> str:
    statuses, after = request["status"], request.get("after", "").rstrip()
    title = " or ".join(map(str, statuses))
    expect = f'pm.test("Status {title}", () => pm.expect(pm.response.code).to.be.oneOf({statuses}));'
    if "until" in request:
        after = FOLLOW % {"until": request["until"], "after": _indented(after)}
    return f"{expect}\n{PARSE}\n{after}"


def _indented(script: str) -> str:
    return "\n".join(f"    {line}" for line in script.splitlines())


def _headers(request: Json, operation: Json, descriptions: Mapping[str, str]) -> list[Json]:
    headers = {"Accept": "application/json"}
    if {"token": []} in operation["security"]:
        headers["Authorization"] = "Token {{token}}"
    if "body" in request:
        headers["Content-Type"] = "application/json"
    return _variables(headers | request.get("headers", {}), descriptions)


def _variables(values: Mapping[str, str], descriptions: Mapping[str, str]) -> list[Json]:
    """Return headers or parameters; the parameter `quantity[RED-CHAIR]` has the description of `quantity`."""
    described = {name: descriptions.get(name.partition("[")[0]) for name in values}
    return [
        {"key": name, "value": value} | ({"description": described[name]} if described[name] else {})
        for name, value in values.items()
    ]


def _url(request: Json, path: str, descriptions: Mapping[str, str]) -> Json:
    for name in request.get("path", {}):
        path = path.replace(f"{{{name}}}", f":{name}")
    query = request.get("query", {})
    address = "{{address}}" + path
    url: Json = {"host": ["{{address}}"], "path": path.split("/")[1:]}
    if query:
        address += "?" + "&".join(f"{name}={value}" for name, value in query.items())
        url["query"] = _variables(query, descriptions)
    if "path" in request:
        url["variable"] = _variables(request["path"], descriptions)
    return {"raw": address} | url


def _body(request: Json, operation: Json, schemas: Json) -> Json:
    if "body" not in request:
        return {}
    schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    [example] = schemas[schema]["examples"]
    body = json.dumps(example | request["body"], indent=2, ensure_ascii=False)
    return {"body": {"mode": "raw", "raw": body, "options": {"raw": {"language": "json"}}}}


def _as_json(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
