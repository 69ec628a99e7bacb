import pytest
from django.http import HttpResponse
from django.test import Client

from tests.shop.http.readers import PERSON, Ask, code_of


@pytest.fixture(params=["program", "person"])
def ask(request) -> Ask:
    """
    Ask as a program or as a person would, and see the same facts told in either form.
    """

    def ask(path: str, method: str = "GET", *, client: Client | None = None, code: str, **told: object) -> HttpResponse:
        client = client or Client(raise_request_exception=False)
        headers = dict(told.pop("headers", {})) | (PERSON if request.param == "person" else {})
        answer = client.generic(method, path, headers=headers, **told)
        assert code_of(answer, as_page=request.param == "person") == code
        return answer

    return ask
