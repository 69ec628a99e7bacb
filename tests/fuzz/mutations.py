"""Mutated requests: a valid one to some route, changed in up to three ways."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.access.routes import BODIES, FORMS, QUERIES, Route, every_route
from tests.fuzz.fixed_rows import CSRF, CUSTOMERS, IDS, session_of, token_of

OFTEN, BASKETS = 5, 100
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Request:
    """A request as it is sent, each byte as a character of Latin-1."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


Mutation = Callable[[Any, Request], Request]

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "X")
PARAMETERS = (
    *("cursor", "format", "search", "sold_out", "status", "placed_after", "placed_before", "number", "sku_prefix"),
    *("order_id", "kind", "quantity[RED-CHAIR]", "quantity[]", "quantity[OLD-LAMP]", "page", "next", "lang", ""),
    "_method",
)
FIELDS = (
    *("username", "password", "name", "expires_in_days", "algorithm", "public_key", "csrfmiddlewaretoken", "next"),
    *("quantity[RED-CHAIR]", "expected_total", "currency", "payment_method", "email", "phone", "note"),
    "idempotency_key",
)
HEADERS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Digest", "Content-Encoding", "Cookie"),
    *("Content-Length", "Content-Type", "Forwarded", "Host", "Idempotency-Key", "If-Match", "If-Modified-Since"),
    *("If-None-Match", "Origin", "Prefer", "Range", "Referer", "Signature", "Signature-Input", "Transfer-Encoding"),
    *("X-CSRFToken", "X-Forwarded-For", "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Request-Id", "traceparent"),
    *("webhook-id", "webhook-signature", "webhook-timestamp"),
)
WORDS = (
    *("", " ", "0", "-1", "1e400", "NaN", "null", "true", "5 ", "１", "9" * 20, "9" * 5_000, "x" * 300, "-", "on"),
    *("\0", "a\0b", "\x7f", "\xff", "é", "😀", "\u202e", "%", "%00", "%zz", "..", "../", "*", "*/*", ",", ";"),
    *("' OR 1=1 --", "<script>", "{{7*7}}", "${x}", "RED-CHAIR", "red-chair", "OLD-LAMP", "placed", "confirmed"),
    *("json", "api", "html", "text/html", JSON, FORM, "application/xml", "multipart/form-data; boundary=x"),
    *("text/plain; charset=utf-16", "application/json; charset=klingon", "application/json; indent=4"),
    *("gzip", "chunked", "wait=5", 'W/"placed-0"', "sig1=:AAAA:", "basket-0", "basket-1", "cD0x", "cj0xJnA9eA=="),
    *("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *("testserver", "evil.example", "testserver:x", "http://testserver", "127.0.0.1, ::1"),
    *("Token", "Token x", "Bearer x", *(f"Token {token_of(name)}" for name in CUSTOMERS)),
    *(f"sessionid={session_of(name)}; csrftoken={CSRF}" for name in CUSTOMERS),
    *('sessionid="\\000abcdefgh"', 'csrftoken="\\000"', "sessionid=x"),
    *IDS.values(),
)
NUMBERS = (0, 1, -1, 2, 1_000, 1_001, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 10**20, 4_500, 9_000, 0.5, 1.0, 1e300)

words = st.sampled_from(WORDS) | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.floats() | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=8
)


def generate(number: int, *, seed_number: int) -> list[Request]:
    """Return so many requests, the same for the same seed."""
    generated: list[Request] = []

    @seed(seed_number)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def collect(request: Request) -> None:
        generated.append(request)

    collect()
    return generated


@st.composite
def requests(draw: Any) -> Request:
    request = _valid(draw(st.sampled_from(ROUTES)), draw(st.sampled_from(CALLERS)), draw(st.integers(0, BASKETS)))
    for mutation in draw(st.lists(st.sampled_from(MUTATIONS), max_size=3)):
        request = mutation(draw, request)
    return request


def _routes() -> Iterator[Route]:
    """Return every route except those of the admin; of these only the login is sent requests."""
    for route in every_route():
        if not route.pattern.startswith("/admin/") or route.pattern == "/admin/login/":
            yield from [route] * (OFTEN if str(route) in BODIES or route.pattern in QUERIES else 1)


def _callers() -> Iterator[dict[str, str]]:
    """Return the credentials to choose from: tokens more often than sessions, and sessions more often than none."""
    for name in CUSTOMERS:
        yield from [{"Authorization": f"Token {token_of(name)}"}] * OFTEN
        yield from [{"Cookie": f"sessionid={session_of(name)}; csrftoken={CSRF}"}] * 2
    yield {}


def _valid(route: Route, caller: dict[str, str], basket: int) -> Request:
    path, _, query = route.address(IDS).partition("?")
    # A logout would end the session for the rest of the run.
    credentials = caller if "logout" not in route.pattern else {}
    headers = {"Host": "testserver", "Idempotency-Key": f"basket-{basket}", "X-CSRFToken": CSRF, **credentials}
    headers.setdefault("Cookie", f"csrftoken={CSRF}")
    if not route.is_unsafe:
        return Request(route.method, path, query, headers)
    if route.resource == "webhooks":
        headers |= {"webhook-id": f"evt_{basket}", "webhook-signature": "good"}
    if route.is_api:
        document = json.dumps(_without_effect(BODIES.get(str(route), {})))
        return Request(route.method, path, query, headers | {"Content-Type": JSON}, document)
    form = urlencode(_without_effect(FORMS.get(str(route), {})))
    return Request(route.method, path, query, headers | {"Content-Type": FORM}, form)


def _without_effect(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values with a wrong current password: a change would end all access for the rest of the run."""
    return {**values, **({"current_password": "two red chairs"} if "current_password" in values else {})}


def _change_method(draw: Any, request: Request) -> Request:
    return replace(request, method=draw(st.sampled_from(METHODS)))


def _change_path(draw: Any, request: Request) -> Request:
    steps = request.path.split("/")
    at = draw(st.integers(0, len(steps) - 1))
    step = quote(draw(words), safe=draw(st.sampled_from(["", "/%.:*'"])), errors="surrogatepass")
    changed = draw(st.sampled_from([[*steps[:at], step, *steps[at + 1 :]], [*steps[:at], *steps[at + 1 :]]]))
    return replace(request, path="/" + "/".join(changed).lstrip("/"))


def _change_query(draw: Any, request: Request) -> Request:
    prefix = request.query if draw(st.booleans()) else ""
    return replace(request, query="&".join(filter(None, [prefix, draw(queries(st.sampled_from(PARAMETERS)))])))


def _change_header(draw: Any, request: Request) -> Request:
    name, value = draw(st.sampled_from(HEADERS)), draw(words)
    return replace(request, headers=request.headers | {name: value.encode("utf-8", "replace").decode("latin-1")})


def _change_accept(draw: Any, request: Request) -> Request:
    media_type = draw(st.sampled_from(["text/html", JSON, "*/*", "x"]))
    return replace(request, headers=request.headers | {"Accept": media_type})


def _change_value(draw: Any, request: Request) -> Request:
    try:
        document = json.loads(request.body or "{}")
    except ValueError:
        return request
    return replace(request, body=json.dumps(_changed(draw, document)))


def _changed(draw: Any, value: Any) -> Any:
    """Replace or add a value somewhere within this one."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        return value | {name: _changed(draw, value[name])}
    if isinstance(value, dict) and draw(st.booleans()):
        return value | {draw(words): draw(values)}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [_changed(draw, value[0]), *value[1:]] * draw(st.sampled_from([1, 1, 2, 101]))
    return draw(values)


def _change_bytes(draw: Any, request: Request) -> Request:
    at = draw(st.integers(0, len(request.body)))
    inserted = draw(st.binary(max_size=8)).decode("latin-1") * draw(st.sampled_from([1, 1, 1, 20_000]))
    return replace(request, body=request.body[:at] + inserted + request.body[at + draw(st.integers(0, 8)) :])


def _write_as_form(draw: Any, request: Request) -> Request:
    form = draw(queries(st.sampled_from(FIELDS)))
    return replace(request, body=form, headers=request.headers | {"Content-Type": FORM})


@st.composite
def queries(draw: Any, names: st.SearchStrategy[str]) -> str:
    pairs = draw(st.lists(st.tuples(names | words, words), max_size=5))
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)


def _quoted(text: str) -> str:
    return quote(text, safe="[]", errors="surrogatepass")


MUTATIONS: list[Mutation] = [
    *[_change_value] * 6,
    *[_change_query] * 3,
    *[_change_header] * 3,
    *[_change_bytes] * 2,
    _change_method,
    _change_path,
    _change_accept,
    _write_as_form,
]
CALLERS = list(_callers())
ROUTES = sorted(_routes(), key=str)
