import json

import pytest
from rest_framework.exceptions import APIException, ErrorDetail, NotFound, Throttled, ValidationError

from shop.http.error_codes import CATALOGUE
from shop.http.problems import describe


class TestDescribe:
    @pytest.mark.parametrize(
        ("error", "code", "faults"),
        [
            (ValidationError([]), "bad_request", None),
            (ValidationError({}), "bad_request", None),
            (ValidationError({"a": []}), "bad_request", None),
            (ValidationError({"a": {"b": []}}), "bad_request", None),
            (ValidationError("no"), "invalid_field", ["#"]),
            (ValidationError(["no", "neither"]), "invalid_field", ["#", "#"]),
            (ValidationError({"a": "no"}, code="unknown_sku"), "unknown_sku", ["#/a"]),
            (ValidationError({1: {2: ["no"]}}), "invalid_field", ["#/1/2"]),
            (ValidationError({"a/b": ["no"]}), "invalid_field", ["#/a/b"]),
            (ValidationError({None: "no"}), "invalid_field", ["#/None"]),
            (ValidationError({"a": [{}, {"b": "no"}, [["no"]]]}), "invalid_field", ["#/a/1/b", "#/a/2/0"]),
            (ValidationError({"~": "no"}), "invalid_field", ["#"]),
            (ValidationError({"a": None}), "invalid_field", ["#/a"]),
            (NotFound("Order 5 is Bob's"), "not_found", None),
            (Throttled(wait=5), "throttled", None),
            (APIException("no"), "internal_error", None),
        ],
    )
    def test_describes(self, error, code, faults):
        problem = describe(error)

        assert problem["code"] == code
        assert problem["status"] == error.status_code
        assert [fault["pointer"] for fault in problem["errors"]] == faults if faults else "errors" not in problem
        assert json.loads(json.dumps(problem)) == problem

    @pytest.mark.parametrize("detail", [None, 5, "no", b"no", [None], {"a": 5}, ["no", {"a": ["no"]}]])
    def test_never_fails_for_a_detail_of_any_type(self, detail):
        error = APIException()
        error.detail = detail

        assert json.dumps(describe(error))

    def test_gives_no_detail_of_a_404(self):
        assert describe(NotFound("Order 5 is Bob's"))["detail"] == CATALOGUE["not_found"].advice

    def test_names_a_query_parameter(self):
        problem = describe(ValidationError({"status": [ErrorDetail("no", "invalid_choice")]}), safe=True)

        assert problem["errors"] == [{"code": "invalid_parameter", "detail": "no", "parameter": "status"}]
