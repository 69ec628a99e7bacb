"""
The containers of compose.yaml use settings, commands and files that exist, with pinned images and health checks.

`docker compose config` and a linter of Dockerfiles check more, where they are installed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from shop.management.split import PATHS
from tests.processes import manage, run

ROOT = settings.BASE_DIR
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "shop:local"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CADDYFILE = (ROOT / "docs/examples/compose/Caddyfile").read_text(encoding="utf-8")
PINNED = re.compile(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?")
FOR_GUNICORN = {"FORWARDED_ALLOW_IPS"}
TOOLS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def variables_of_the_shop() -> set[str]:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^#([A-Z][A-Z_]+)=", example, re.MULTILINE))


def resolved(value: str, variables: Mapping[str, str]) -> str:
    """Return a value of compose.yaml as the engine's client reads it."""
    return re.sub(r"\$\{([A-Z_]+):-([^}]*)\}", lambda match: variables.get(match[1]) or match[2], value)


def environment_of(name: str, variables: Mapping[str, str]) -> dict[str, str]:
    return {key: resolved(value, variables) for key, value in SERVICES[name]["environment"].items()}


def commands_in(command: list[str]) -> Iterator[str]:
    """Return the management commands of a container's command line or shell script."""
    words = [word for part in command for word in shlex.split(part.replace(";", " ; "))]
    return (after for word, after in pairwise(words) if word == "manage.py")


def variables_in(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def files_of_environments() -> list[Path]:
    return sorted((ROOT / "docs/examples/compose").glob("*.env"))


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_has_known_variables_and_commands(name):
    assert set(OURS[name]["environment"]) - FOR_GUNICORN - variables_of_the_shop() == set()
    assert set(commands_in(OURS[name].get("command", []))) - set(get_commands()) == set()


def test_the_image_runs_the_web_server_and_the_others_a_command():
    assert {name for name in OURS if "command" not in OURS[name]} == {"web"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_a_pinned_image_and_a_health_check_or_says_why_not(name):
    service = SERVICES[name]

    assert PINNED.fullmatch(service["image"]) or name in OURS
    assert "test" in service.get("healthcheck", {}) or name in OURS
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_a_container_starts_after_others_that_become_healthy():
    checked = {name for name, service in SERVICES.items() if not service.get("healthcheck", {}).get("disable")}
    awaited = {
        other
        for service in SERVICES.values()
        for other, about in service.get("depends_on", {}).items()
        if about["condition"] == "service_healthy"
    }

    assert awaited <= checked


@pytest.mark.parametrize("file", files_of_environments(), ids=lambda file: file.stem)
def test_an_environment_selects_a_profile_and_its_broker(file):
    variables = variables_in(file)
    host = variables["TRANSPORT_URL"].partition("://")[2].rpartition("@")[2].partition(":")[0]

    assert variables["COMPOSE_PROFILES"] == file.stem
    assert SERVICES[host].get("profiles", [file.stem]) == [file.stem]
    assert {name for name, service in OURS.items() if file.stem in service.get("profiles", [])} == set(PATHS)


@pytest.mark.parametrize("name", ["web", "payments"])
def test_settings_of_services_and_of_the_whole_shop_pass_the_checks(name):
    variables = {} if name == "web" else variables_in(ROOT / "docs/examples/compose/split-redis.env")

    checked = run(manage("check"), **environment_of(name, variables))

    assert checked.status == 0, checked.errors


def test_the_proxy_sends_each_service_its_paths():
    listed = dict(re.findall(r"^\t@(\w+) path (.*)$", CADDYFILE, re.MULTILINE))

    assert {context: paths.split() for context, paths in listed.items()} == PATHS


def test_the_image_is_pinned_not_of_root_and_locked():
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(set(images)) == 1
    assert PINNED.fullmatch(images[0])
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert "pip install --require-hashes" in DOCKERFILE
    assert set(re.findall(r"-r (\S+)", DOCKERFILE)) == {path.name for path in ROOT.glob("requirements-*.lock")}


def test_the_context_of_the_build_is_what_runs():
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)

    packages = {name for name in allowed if (ROOT / name / "__init__.py").exists()}
    assert set(allowed) - packages == {"manage.py", "LICENSE", "requirements*.lock"}
    assert packages == {"shop", "orders", "inventory", "payments", "notifications", "messaging"}


def problems_by(*command: str) -> str:
    """Return what a tool of requirements-dev.txt or of this machine says about a file."""
    program = shutil.which(command[0], path=TOOLS)
    if not program:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "option", ["--profile=observability", *(f"--env-file={file}" for file in files_of_environments())]
)
def test_docker_compose_accepts_the_file(option):
    assert problems_by("docker-compose", option, "config", "--quiet") == ""


def test_hadolint_accepts_the_dockerfile():
    assert problems_by("hadolint", "Dockerfile") == ""
