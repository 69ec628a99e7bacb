"""
Pages of accounts beyond the API: the login, and the language switch that every page has.
"""

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from shop.accounts import services
from shop.http.error_handlers import problem_response
from shop.http.problems import problem
from shop.http.views import account_language


class LoginPage(LoginView):
    """
    The login, after which pages are in the language of the account, if it has one.
    """

    template_name = "rest_framework/login.html"

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        if language := account_language(form.get_user()):
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                language,
                max_age=settings.LANGUAGE_COOKIE_AGE,
                secure=settings.LANGUAGE_COOKIE_SECURE,
                httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
                samesite="Lax",
            )
        return response


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """
    Keep the language that a person chose: in a cookie, and in the account of one who is logged in. Return to the page.
    """
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        return problem_response(request, problem("invalid_language"))
    if isinstance(request.user, User):
        services.set_language(request.user, language)
    return set_language(request)
