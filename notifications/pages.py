"""
The page by which customers switch a kind of e-mail off without a login.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from shop.http.error_handlers import problem_response
from shop.http.problems import problem

from . import preferences, unsubscribing


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """
    Ask whether to switch a kind off, as scanners of mail follow links; switch it off on POST, which mail programs send
    without cookies (RFC 8058). The token is the credential, so no CSRF token is needed.
    """
    try:
        unsubscription = unsubscribing.read(token)
    except unsubscribing.InvalidToken:
        return problem_response(request, problem("invalid_link"))
    is_done = request.method == "POST"
    if is_done:
        unsubscribing.unsubscribe(unsubscription)
    page = {"title": preferences.title_of(unsubscription.kind), "is_done": is_done}
    return render(request, "notifications/unsubscribe.html", page)


urlpatterns = [path("<token>/", unsubscribe, name="unsubscribe")]
