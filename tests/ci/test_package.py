"""
The wheel holds everything that the code of a checkout reads, and runs a shop in a folder without a checkout.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from django.conf import settings

from tests.ci.test_dependencies import PROJECT
from tests.processes import Finished, run
from tests.programs import Up
from tests.waiting import eventually

PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
SHOP = [sys.executable, "-P", "-m", "shop"]
ADA = {"username": "ada", "password": "ada-counts-chairs", "name": "package"}
PRODUCTS = """
from shop.management.commands.demo import CUSTOMER, SAMPLE, add_demo_products, ensure_user, open_demo_stock
ensure_user(CUSTOMER), open_demo_stock(), add_demo_products(), print(SAMPLE.exists())
"""
ORDER = {"lines": [{"sku": "RED-CHAIR", "quantity": 1}], "payment_method": "tok_visa", "expected_total": 4_500}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=settings.BASE_DIR, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a shop that is installed beside its dependencies, with its defaults."""
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return {"PYTHONPATH": str(site), "PATH": os.environ["PATH"]}


class Installed(Up):
    """`shop up`, as the wheel's entry point runs it, in the folder of its log."""

    def __init__(self, log: Path, *, environment: dict[str, str]) -> None:
        super().__init__(log, environment=environment)
        self.command = [*SHOP, "up", "--workers=1", "--port=0", "--simulator-port=0"]
        self.folder = log.parent

    def manage(self, *arguments: str) -> Finished:
        return run([*SHOP, *arguments], **self.environment)


@pytest.fixture
def shop(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    monkeypatch.setattr("tests.processes.PROJECT", tmp_path)
    with Installed(tmp_path / "output.txt", environment=environment) as shop:
        shop.wait_until_open()
        yield shop


def post(shop: Installed, resource: str, body: object, **headers: str) -> dict[str, str]:
    address = f"{shop.address}/api/v1/{resource}/"
    request = Request(address, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urlopen(request) as response:
        return json.load(response)


def get(shop: Installed, path: str, **headers: str) -> bytes:
    with urlopen(Request(f"{shop.address}{path}", headers=headers)) as response:
        return response.read()


def test_the_wheel_has_every_file_of_the_packages(wheel):
    tracked = subprocess.check_output(["git", "ls-files", *PACKAGES], cwd=settings.BASE_DIR, text=True).splitlines()

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert packed == set(tracked)


def test_an_installed_shop_takes_an_order_in_an_empty_folder(shop):
    stocked = shop.manage("shell", "--no-imports", "-c", PRODUCTS)
    token = {"Authorization": f"Token {post(shop, 'tokens', ADA)['token']}"}
    order = post(shop, "orders", ORDER, **token, **{"Idempotency-Key": "package"})

    def is_confirmed() -> bool:
        return json.loads(get(shop, f"/api/v1/orders/{order['id']}/", **token))["status"] == "confirmed"

    eventually(is_confirmed)
    assert stocked.output == "True\n", stocked.errors
    assert b"Bestellung" in get(shop, "/", **{"Accept": "text/html", "Accept-Language": "de"})
    assert get(shop, "/static/shop/shop.css") == (settings.BASE_DIR / "shop/static/shop/shop.css").read_bytes()
    assert {path.name for path in shop.folder.glob("*.sqlite3")} == {"shop.sqlite3", "payment_simulator.sqlite3"}
