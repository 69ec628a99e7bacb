import pytest
from django.http import HttpResponse
from django.test import Client

from tests.shop.http.readers import PERSON, Ask, code_of


@pytest.fixture(params=["program", "person"])
def ask(request) -> Ask:
    """
    Send a request as a program and as a browser, and check that the response has the same error code.
    """

    def ask(path: str, method: str = "GET", *, client: Client | None = None, code: str, **sent: object) -> HttpResponse:
        client = client or Client(raise_request_exception=False)
        headers = dict(sent.pop("headers", {})) | (PERSON if request.param == "person" else {})
        answer = client.generic(method, path, headers=headers, **sent)
        assert code_of(answer, as_page=request.param == "person") == code
        return answer

    return ask
