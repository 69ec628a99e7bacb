"""
A request and its answer, whatever they are about; what cannot be meant is refused here.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

MAX_BODY_BYTES = 65_536
DRAINED_BYTES = 1_048_576

Environ = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    body: Iterable[bytes] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    """Whether the connection is closed instead of answering."""


class Refused(Exception):
    """
    The request is answered with this error and nothing else happens.
    """

    def __init__(self, status: int, error: str, detail: str = "", **headers: str) -> None:
        super().__init__(detail or error)
        told = {"error": error} | ({"detail": detail} if detail else {})
        self.answer = json_answer(told, status=status, **headers)


def json_answer(told: Any, *, status: int = 200, **headers: str) -> Answer:
    """
    Answer with JSON; underscores in the names of headers stand for hyphens.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=[json.dumps(told).encode()], headers={"Content-Type": "application/json"} | named)


@dataclass(frozen=True)
class Request:
    environ: Environ

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def path(self) -> str:
        raw = str(self.environ.get("PATH_INFO", "/"))
        return raw.encode("latin-1", "replace").decode("utf-8", "replace")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(str(self.environ.get("QUERY_STRING", "")), keep_blank_values=True))

    def header(self, name: str) -> str:
        return str(self.environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""))

    def body(self) -> bytes:
        """
        Read the body.

        :raises Refused: if it is too long, or shorter than announced.
        """
        length = self.environ.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise Refused(400, "invalid_request", "Content-Length is no number.")
        if int(length) > MAX_BODY_BYTES:
            self._drain(int(length))
            raise Refused(413, "body_too_large", f"A body has at most {MAX_BODY_BYTES} bytes.")
        read = self._read(int(length))
        if len(read) < int(length):
            raise Refused(400, "invalid_request", "The body is shorter than Content-Length.")
        return read

    def json(self) -> dict[str, Any]:
        """
        Read the body as a JSON object.

        :raises Refused: if it is none.
        """
        try:
            read = json.loads(self.body())
        except (ValueError, RecursionError):
            raise Refused(400, "malformed_json", "The body is no JSON.") from None
        if not isinstance(read, dict):
            raise Refused(400, "invalid_request", "The body is no JSON object.")
        return read

    def form(self) -> dict[str, str]:
        """
        Read the body as a form of HTML.
        """
        return dict(parse_qsl(self.body().decode("utf-8", "replace")))

    def require_host(self, ours: Collection[str]) -> None:
        """
        Refuse a name that another site may have pointed at this address, to have its pages read and press what is here.

        :raises Refused: if it is none of ours, nor this machine.
        """
        host = _split(f"//{self.header('Host')}").hostname or ""
        if host in ours or _is_loopback(host):
            return
        # Whoever serves a whole network has no one name; but only names with a dot can be others'.
        if any(map(_is_unspecified, ours)) and (_is_address(host) or (host and "." not in host)):
            return
        raise Refused(421, "unknown_host", f"There is no {host or 'nameless host'} here.")

    def require_same_origin(self) -> None:
        """
        Refuse what another site has a browser send.

        :raises Refused: if a browser sends this for a page of another site.
        """
        origin, site = self.header("Origin"), self.header("Sec-Fetch-Site")
        is_ours = not origin or origin == f"http://{self.header('Host')}"
        if not is_ours or site not in {"", "same-origin", "none"}:
            raise Refused(403, "foreign_origin", "Only the pages that are here may press buttons.")

    def _read(self, length: int) -> bytes:
        try:
            return bytes(self.environ["wsgi.input"].read(length))
        except OSError:
            return b""

    def _drain(self, length: int) -> None:
        """
        Read some of what is not wanted: a client that is still sending does not see the answer.
        """
        self._read(min(length, DRAINED_BYTES))


Route = Callable[..., Answer]


def quoted(name: str) -> str:
    return quote(name, safe="")


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_unspecified(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_unspecified
