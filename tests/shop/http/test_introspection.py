"""
How a service asks the one with the accounts: caching, simultaneous requests, and failures.
"""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.core.signals import request_started
from django.test import Client

from shop.accounts.models import Token
from shop.http.exceptions import AccountsUnavailable
from shop.http.introspection import DEADLINE_SECONDS, SESSION, TOKEN, introspect, introspect_signed
from shop.http.signatures import SignedMessage
from tests.factories import PASSWORD
from tests.programs import LOCALHOST, free_port
from tests.waiting import eventually

SECRET = "a-secret-of-all-services-of-a-shop"
MESSAGE = SignedMessage("GET", "http://testserver/", {}, has_body=False)


@pytest.fixture
def service(settings, live_server) -> Callable[..., None]:
    """
    Set how this service asks for accounts: by default the live server.
    """

    def service(**changes: object) -> None:
        settings.SERVICE = replace(settings.SERVICE, **changes)

    service(accounts_url=live_server.url, introspection_secret=SECRET)
    return service


@pytest.fixture
def token(ada, service) -> str:
    return Token.objects.create(user=ada, name="till")[1]


@pytest.fixture
def requests(service) -> Iterator[list[str]]:
    """
    The paths of the requests that the live server gets.
    """
    paths: list[str] = []

    def note(environ: dict[str, str], **_: object) -> None:
        paths.append(environ["PATH_INFO"])

    request_started.connect(note)
    yield paths
    request_started.disconnect(note)


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """
    Run a server that gives each POST this answer; an empty one closes the connection. Yield its URL.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(raw)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """
            Log nothing.
            """

    with ThreadingHTTPServer((LOCALHOST, 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{LOCALHOST}:{server.server_port}"
        server.shutdown()
        thread.join()


class TestIntrospect:
    def test_asks_once_within_the_cache_time(self, ada, token, requests):
        answers = [introspect(token, TOKEN) for _ in range(3)]

        assert [(answer.active, answer.sub) for answer in answers] == [(True, str(ada.pk))] * 3
        assert requests == ["/api/v1/introspect/"]

    def test_asks_once_for_simultaneous_requests(self, token, requests):
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: introspect(token, TOKEN), range(8)))

        assert all(answer.active for answer in answers)
        assert len(requests) == 1

    def test_asks_each_time_without_a_cache_time(self, service, token, requests):
        service(introspection_cache_seconds=0)

        assert all(introspect(token, TOKEN).active for _ in range(2))
        assert len(requests) == 2

    def test_forgets_a_revoked_token_after_the_cache_time(self, service, token):
        service(introspection_cache_seconds=1)
        introspect(token, TOKEN)

        Token.objects.all().delete()

        assert eventually(lambda: not introspect(token, TOKEN).active) < 3

    def test_forgets_sooner_that_a_session_is_not_active(self, ada, service):
        service(introspection_cache_seconds=60)
        browser = Client()
        browser.login(username="ada", password=PASSWORD)
        session = SessionStore(browser.session.session_key)
        data = session.load()
        session.delete()
        assert not introspect(session.session_key, SESSION).active

        session.update(data)
        session.save(must_create=True)

        eventually(lambda: introspect(session.session_key, SESSION).active, within=10)

    def test_distinguishes_tokens_from_sessions(self, token):
        assert introspect(token, TOKEN).active
        assert not introspect(token, SESSION).active

    def test_stores_no_token(self, token):
        introspect(token, TOKEN)

        assert len(cache._cache) == 1
        assert token not in str(cache._cache)

    def test_never_stores_an_answer_about_a_signed_request(self, token, requests):
        answers = [introspect_signed(token, MESSAGE) for _ in range(2)]

        assert [(answer.active, answer.code) for answer in answers] == [(False, "invalid_signature")] * 2
        assert len(requests) == 2
        assert not cache._cache


class TestService:
    def test_that_is_down_leaves_valid_what_was_so_within_the_cache_time_only(self, service, token):
        service(introspection_cache_seconds=1)
        introspect(token, TOKEN)
        service(accounts_url=f"http://{LOCALHOST}:{free_port()}")

        def is_unavailable() -> bool:
            with pytest.raises(AccountsUnavailable):
                assert introspect(token, TOKEN).active
            return True

        eventually(is_unavailable, ignoring=pytest.fail.Exception)

    def test_that_hangs_is_waited_for_until_the_deadline(self, service, token):
        with socket.create_server((LOCALHOST, 0)) as listener:
            service(accounts_url=f"http://{LOCALHOST}:{listener.getsockname()[1]}")
            began = time.monotonic()

            with pytest.raises(AccountsUnavailable):
                introspect(token, TOKEN)

        assert DEADLINE_SECONDS <= time.monotonic() - began < 2 * DEADLINE_SECONDS

    def test_that_rejects_the_secret_is_logged(self, service, token, caplog):
        with answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as url:
            service(accounts_url=url)

            with pytest.raises(AccountsUnavailable):
                introspect(token, TOKEN)

        assert "The service with the accounts answers with status 401." in caplog.messages

    @pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"active": "yes"}', b'{"active": true, "sub": 7}'])
    def test_that_answers_something_else_is_unavailable(self, service, token, body):
        with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as url:
            service(accounts_url=url)

            with pytest.raises(AccountsUnavailable):
                introspect(token, TOKEN)

    def test_may_answer_more_than_is_known(self, service, token):
        body = b'{"active": true, "sub": "7", "username": "ada", "scope": "all"}'
        with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as url:
            service(accounts_url=url)

            assert introspect(token, TOKEN).sub == "7"

    def test_that_closes_the_connection_is_unavailable(self, service, token):
        with answering(b"") as url:
            service(accounts_url=url)

            for ask in (lambda: introspect(token, TOKEN), lambda: introspect_signed(token, MESSAGE)):
                with pytest.raises(AccountsUnavailable):
                    ask()
