import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
RUN_TIME = PROJECT["project"]["dependencies"]
STRIPE = PROJECT["project"]["optional-dependencies"]["stripe"]
SENTRY = PROJECT["project"]["optional-dependencies"]["sentry"]
OTLP = PROJECT["project"]["optional-dependencies"]["otlp"]
BROKERS = [pin for extra in ("amqp", "kafka") for pin in PROJECT["project"]["optional-dependencies"][extra]]
SPLIT = PROJECT["project"]["optional-dependencies"]["split"]
TEST, DEV, DOCS = (PROJECT["dependency-groups"][group] for group in ("test", "dev", "docs"))
LOCKS_OF_EXTRAS = settings.BASE_DIR.glob("requirements-*.lock")
PRODUCT = [*PROJECT["tool"]["importlinter"]["root_packages"], "manage.py"]


def lines_of(name: str) -> list[str]:
    """
    Return the lines of a file in the project's folder, without comments.
    """
    lines = (settings.BASE_DIR / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def versions(requirements: list[str]) -> dict[str, str]:
    """
    Return version specifiers by the normalised names of distributions.
    """
    parsed = [Requirement(line) for line in requirements]
    return {canonicalize_name(requirement.name): str(requirement.specifier) for requirement in parsed}


def locked(name: str) -> list[str]:
    """
    Return the requirements of a lock, each in one line.
    """
    text = "\n".join(lines_of(name)).replace("\\\n", "")
    return [line for line in text.splitlines() if not line.startswith("-r ")]


def locked_versions(name: str) -> dict[str, str]:
    return versions([requirement.partition(" --hash=")[0] for requirement in locked(name)])


class TestRequirements:
    def test_list_what_pyproject_lists(self):
        assert lines_of("requirements.txt") == [*RUN_TIME, *STRIPE, *SENTRY, *OTLP, *TEST]
        assert lines_of("requirements-brokers.txt") == BROKERS
        assert lines_of("requirements-split.txt") == SPLIT
        assert lines_of("requirements-dev.txt") == ["-r requirements.txt", *DEV]
        assert lines_of("requirements-docs.txt") == DOCS

    def test_pin_each_version(self):
        assert [
            line
            for line in (*RUN_TIME, *STRIPE, *SENTRY, *OTLP, *BROKERS, *SPLIT, *TEST, *DEV, *DOCS)
            if "==" not in line
        ] == []


class TestLocks:
    def test_pin_the_versions_of_pyproject(self):
        run_time = locked_versions("requirements.lock")

        assert versions(RUN_TIME).items() <= run_time.items()
        for extra, pins in (("stripe", STRIPE), ("sentry", SENTRY), ("otlp", OTLP)):
            assert versions(pins).items() <= (run_time | locked_versions(f"requirements-{extra}.lock")).items()

    def test_contain_no_test_or_development_tools(self):
        assert versions([*TEST, *DEV]).keys() & locked_versions("requirements.lock").keys() == set()

    def test_of_brokers_are_their_clients_alone(self):
        clients = [locked_versions(f"requirements-{extra}.lock") for extra in ("amqp", "kafka")]

        assert [versions([pin]) for pin in BROKERS] == clients

    @pytest.mark.parametrize("name", ["requirements.lock", *sorted(path.name for path in LOCKS_OF_EXTRAS)])
    def test_have_hashes_and_name_no_host(self, name):
        hashed = re.compile(r"[^ ]+==[^ ]+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+")

        assert [line for line in locked(name) if not hashed.fullmatch(line)] == []

    @pytest.mark.parametrize(("extra", "name"), [("stripe", "stripe"), ("sentry", "sentry-sdk")])
    def test_of_an_extra_extends_the_other_by_its_library_alone(self, extra, name):
        needed = versions([line for line in metadata.requires(name) or [] if "extra ==" not in line])

        assert lines_of(f"requirements-{extra}.lock")[0] == "-r requirements.lock"
        assert needed.keys() - locked_versions("requirements.lock").keys() == set()
        assert locked_versions(f"requirements-{extra}.lock").keys() == {name}


class TestImports:
    def test_of_the_product_are_run_time_dependencies(self):
        distributions = metadata.packages_distributions()
        modules = {module for root in PRODUCT for path in sources(root) for module in imported(path)}
        foreign = modules - set(sys.stdlib_module_names) - set(PRODUCT)
        declared = versions([*RUN_TIME, *STRIPE, *SENTRY, *BROKERS, *SPLIT]).keys()
        undeclared = {
            module
            for module in foreign
            # The reverse proxy is not installed with the tests: its distribution is named as its module.
            if declared.isdisjoint(map(canonicalize_name, distributions.get(module, [module])))
        }

        assert undeclared == set()


def sources(root: str) -> list[Path]:
    path = settings.BASE_DIR / root
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imported(path: Path) -> set[str]:
    """
    Return the top-level modules that a file imports absolutely.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).partition(".")[0])
    return names
