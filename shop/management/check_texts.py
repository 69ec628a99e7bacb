"""
The texts of checks as the source has them: for the reference, which cannot provoke each of them.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

MAKERS = {"error", "warning", "checks.Error", "checks.Warning"}
NUMBER = re.compile(r"[EW]\d{3}")
UNKNOWN = "…"
"""What a text has in the place of a value that is known only when the check finds something."""


class CheckText(NamedTuple):
    name: str
    problem: str
    hint: str


def check_texts(module: ModuleType) -> Iterator[CheckText]:
    """
    Yield the texts of each check that a module makes.
    """
    constants = {name: value for name, value in vars(module).items() if name.isupper()}
    for function in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(function, ast.FunctionDef):
            yield from _made_by(function, constants)


def _made_by(function: ast.FunctionDef, constants: Mapping[str, Any]) -> Iterator[CheckText]:
    assigned: dict[str, ast.expr] = {}
    in_order = (node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.Call))
    for node in sorted(in_order, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node, ast.Assign):
            assigned[ast.unparse(node.targets[0])] = node.value
        elif ast.unparse(node.func) in MAKERS:
            yield from _texts_of(node, assigned, constants)


def _texts_of(call: ast.Call, assigned: Mapping[str, ast.expr], constants: Mapping[str, Any]) -> Iterator[CheckText]:
    """
    Yield the texts of a call of `error` or `warning`, or of Django's classes, which take hint and id by name. It has
    several ids if a condition chooses one.
    """
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    number, problem, hint = (named["id"], call.args[0], named["hint"]) if named else call.args
    problem, hint = (assigned.get(ast.unparse(node), node) for node in (problem, hint))
    for name in (node.value for node in ast.walk(number) if isinstance(node, ast.Constant)):
        if isinstance(name, str) and NUMBER.search(name):
            in_full = name if named else f"shop.{name}"
            yield CheckText(in_full, text_of(problem, constants), text_of(hint, constants))


def text_of(node: ast.expr, constants: Mapping[str, Any]) -> str:
    """
    Return the text that an expression makes of constants, with `UNKNOWN` for everything else.
    """
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.FormattedValue) else part for part in node.values)
        return "".join(text_of(part, constants) for part in parts)
    try:
        return str(eval(compile(ast.Expression(node), "", "eval"), dict(constants)))  # noqa: S307  (our own source)
    except NameError:
        return UNKNOWN
