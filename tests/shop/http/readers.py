"""
Problems as JSON and as pages.
"""

import re
from collections.abc import Callable

from django.http import HttpResponse

from shop.http.error_codes import CATALOGUE
from tests.refusals import problem_of

PERSON = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

Ask = Callable[..., HttpResponse]


def code_of(answer: HttpResponse, *, as_page: bool) -> str:
    """
    Return the error code of a problem, in either form.
    """
    if not as_page:
        return problem_of(answer)["code"]
    page = answer.content.decode()
    assert answer.headers["Content-Type"].startswith("text/html")
    status, code = re.search(r'(\d+) <a href="/problems/#\w+">(\w+)</a>', page).groups()
    assert int(status) == answer.status_code == CATALOGUE[code].status
    assert CATALOGUE[code].title in page or "Please log in" in page
    assert answer.headers["X-Request-Id"] in page
    return code
