"""
The dotted paths of the gateway adapters, which are stored with payments. Settings import this module: it imports none.
"""

PACKAGE = "payments.gateway.adapters."
FORMER_PACKAGE = "payments.adapters."
"""The package of the adapters in earlier releases: settings and payments may still name it."""


def present_path(path: str) -> str:
    """
    Return the path of an adapter in the present package.
    """
    return path.replace(FORMER_PACKAGE, PACKAGE)


def stored_paths(path: str) -> list[str]:
    """
    Return the paths that payments at this adapter may be stored with: the present one and the former one.
    """
    return [path, path.replace(PACKAGE, FORMER_PACKAGE)]
