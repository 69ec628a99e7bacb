"""Packages of Node that tests use: those of `docs/examples/package.json`."""

from pathlib import Path

from django.conf import settings


class NoPackage(Exception):
    """
    A package of Node is not installed. `make browser` and `make collection` install all.
    """


def package_of_node(name: str) -> Path:
    """
    Return the folder of a package.

    :raises NoPackage: if it is not installed.
    """
    folder = settings.BASE_DIR / ".venv/node/node_modules" / name
    if not folder.is_dir():
        raise NoPackage(f"{name} is not installed: `make browser` installs it")
    return folder
