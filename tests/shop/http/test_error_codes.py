import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import Client
from rest_framework.exceptions import APIException, ValidationError

from shop.http.error_codes import BY_STATUS, CATALOGUE, UnknownErrorCode, resolve
from shop.http.problems import describe
from tests.factories import ProductFactory

pytestmark = pytest.mark.django_db


class TestCatalogue:
    def test_is_shown_on_one_page(self):
        ProductFactory()

        page = Client().get("/problems/").content.decode()

        assert re.findall(r'<tr id="(\w+)">', page) == list(CATALOGUE)
        assert all(f'href="#{code}"' in page for code in CATALOGUE)

    def test_has_the_codes_that_are_used_and_no_others(self):
        used, mentioned = set(), set()
        for source in sources():
            for node in ast.walk(ast.parse(source.read_text())):
                used |= codes_set_by(node)
                mentioned |= {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()

        assert used <= CATALOGUE.keys()
        assert CATALOGUE.keys() - mentioned <= set(BY_STATUS.values())

    def test_has_a_default_code_for_each_status(self):
        assert {status: CATALOGUE[code].status for status, code in BY_STATUS.items()} == {
            status: status for status in BY_STATUS
        }


class TestResolve:
    @pytest.mark.parametrize("strict", [True, False])
    @pytest.mark.parametrize("code", ["required", "parse_error", ""])
    def test_returns_the_default_for_what_says_no_more(self, settings, code, strict):
        settings.STRICT_ERROR_CODES = strict

        assert resolve(code, default="bad_request") == "bad_request"

    def test_raises_an_unknown_code_where_it_is_strict(self):
        with pytest.raises(UnknownErrorCode, match="unheard_of"):
            describe(ValidationError({"a": "no"}, code="unheard_of"))

    def test_logs_an_unknown_code_elsewhere(self, settings, caplog):
        settings.STRICT_ERROR_CODES = False

        assert describe(APIException("no", code="unheard_of"))["code"] == "internal_error"
        assert "'unheard_of' is not in the catalogue" in caplog.text

    def test_is_strict_here(self, settings):
        assert settings.STRICT_ERROR_CODES


def sources() -> Iterator[Path]:
    """
    Yield the files that may raise errors; not those that describe errors, nor adapters and the simulator,
    whose errors have a gateway's codes.
    """
    for app in ("shop", "orders", "inventory", "payments", "notifications", "messaging"):
        files = (django_settings.BASE_DIR / app).rglob("*.py")
        files = (file for file in files if not {"adapters", "simulator"} & set(file.parts))
        yield from (file for file in files if file.name not in {"error_codes.py", "error_responses.py"})


def codes_set_by(node: ast.AST) -> set[str]:
    """
    Return the error code that a node of the source sets.
    """
    match node:
        case ast.keyword(arg="code" | "default_code", value=ast.Constant(value=str(code))):
            return {code}
        case ast.Assign(targets=[ast.Name(id="code" | "default_code")], value=ast.Constant(value=str(code))):
            return {code}
        case ast.Call(func=ast.Name(id="problem"), args=[ast.Constant(value=str(code)), *_]):
            return {code}
        case ast.Call(func=ast.Name(id="ErrorDetail"), args=[_, ast.Constant(value=str(code))]):
            return {code}
    return set()
