"""
Pages of accounts beyond the API: the login, passwords, and the language switch that every page has.
"""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from django.views.generic import FormView
from django.views.i18n import set_language
from rest_framework.exceptions import ValidationError as InvalidInput

from shop.accounts import passwords, services, signing_up
from shop.accounts.links import link_attempt
from shop.accounts.models import Confirmation
from shop.http.error_handlers import problem_response
from shop.http.fields import EmailText
from shop.http.problems import problem
from shop.http.throttling import consume_account_mail
from shop.http.views import account_language

MOST_CHARACTERS = 4_096
"""Of a password."""


def _password(label: Any, autocomplete: str, help_text: Any = "") -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, strip=False, max_length=MOST_CHARACTERS, widget=widget, help_text=help_text)


class AddressForm(forms.Form):
    email = forms.CharField(
        label=_("E-mail address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
        max_length=254,
    )

    def clean_email(self) -> str:
        """
        Return an address that the API accepts, too.
        """
        try:
            return str(EmailText(code="invalid_email").run_validation(self.cleaned_data["email"].strip()))
        except InvalidInput as error:
            raise ValidationError(_("Enter one plain e-mail address.")) from error


class SignUpForm(AddressForm):
    email = forms.CharField(
        label=_("E-mail address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
        max_length=signing_up.MOST_CHARACTERS,
    )


class NewPasswordForm(forms.Form):
    new_password = _password(_("New password"), "new-password", _("At least 8 characters, and no common password."))
    repeated = _password(_("New password again"), "new-password")

    def clean(self) -> None:
        """
        Reject two passwords that differ.
        """
        new, repeated = self.cleaned_data.get("new_password"), self.cleaned_data.get("repeated")
        if new and repeated and new != repeated:
            self.add_error("repeated", _("The two passwords differ."))


class PasswordForm(NewPasswordForm):
    current_password = _password(_("Present password"), "current-password")

    field_order = ("current_password", "new_password", "repeated")


@method_decorator(sensitive_post_parameters(), name="dispatch")
class AccountPage(FormView):  # type: ignore[type-arg]  # not generic at run time
    """
    A form about an account, with a title, a sentence that says what it does, and a button.
    """

    http_method_names = ("get", "head", "options", "post")
    template_name = "accounts/form.html"
    title: Any
    lead: Any
    button: Any

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        return super().get_context_data(**about, title=self.title, lead=self.lead, button=self.button)


class PasswordPage(LoginRequiredMixin, AccountPage):
    form_class = PasswordForm
    success_url = reverse_lazy("password")
    title = button = _("Change your password")
    lead = _("A new password ends all other sessions and revokes all API tokens. Signing keys stay.")

    def form_valid(self, form: forms.Form) -> HttpResponse:
        username = self.request.user.get_username()
        user = authenticate(self.request, username=username, password=form.cleaned_data["current_password"])
        if not isinstance(user, User):
            form.add_error("current_password", _("This is not your present password."))
            return self.form_invalid(form)
        try:
            passwords.change(user, form.cleaned_data["new_password"])
        except ValidationError as error:
            form.add_error("new_password", error)
            return self.form_invalid(form)
        except passwords.ChangedMeanwhile:
            return problem_response(self.request, problem("invalid_state"))
        update_session_auth_hash(self.request, user)
        messages.success(self.request, gettext("Your password is changed. We have sent you an e-mail about it."))
        return super().form_valid(form)


class ForgottenPasswordPage(AccountPage):
    form_class = AddressForm
    success_url = reverse_lazy("forgotten-password")
    title = _("Forgot your password?")
    lead = _("We send you a link by which you set a new one.")
    button = _("Send the link")

    def form_valid(self, form: forms.Form) -> HttpResponse:
        """
        Have the link sent if there is an account; the page is the same if there is none.
        """
        consume_account_mail(self.request, form.cleaned_data["email"])
        passwords.request_reset(form.cleaned_data["email"], now=timezone.now())
        minutes = settings.ACCOUNTS.password_reset_minutes
        text = gettext(
            "If an account has this address, we have sent a link to it. It is valid for %(minutes)s minutes."
        ) % {"minutes": minutes}
        messages.success(self.request, text)
        return super().form_valid(form)


class LinkPage(AccountPage):
    """
    The page of a link in a mail, by which its owner chooses a password: a GET changes nothing, as scanners of mail
    follow links.
    """

    form_class = NewPasswordForm
    success_url = reverse_lazy("rest_framework:login")
    done: Any
    """What the next page says."""

    def find(self, token: str, *, now: datetime) -> Confirmation:
        """
        Return what the link confirms.

        :raises InvalidLink: if it is not valid.
        """
        raise NotImplementedError

    def confirm(self, confirmation: Confirmation, password: str) -> None:
        """
        Set the password.

        :raises ValidationError: if it is too weak.
        """
        raise NotImplementedError

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with link_attempt(request):
            self.confirmation = self.find(kwargs["token"], now=timezone.now())
            return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.Form) -> HttpResponse:
        try:
            self.confirm(self.confirmation, form.cleaned_data["new_password"])
        except ValidationError as error:
            form.add_error("new_password", error)
            return self.form_invalid(form)
        messages.success(self.request, str(self.done))
        return super().form_valid(form)


class PasswordResetPage(LinkPage):
    title = button = _("Set a new password")
    lead = PasswordPage.lead
    done = _("Your new password is set. Log in with it.")

    def find(self, token: str, *, now: datetime) -> Confirmation:
        return passwords.find_reset(token, now=now)

    def confirm(self, confirmation: Confirmation, password: str) -> None:
        passwords.reset(confirmation, password)


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


class SignUpPage(AccountPage):
    form_class = SignUpForm
    success_url = reverse_lazy("sign-up")
    title = button = _("Sign up")
    lead = _("We send you a link by which you confirm your e-mail address and choose a password.")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _require_sign_up()
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.Form) -> HttpResponse:
        """
        Have the mail sent; the page is the same if there is an account with this address.
        """
        consume_account_mail(self.request, form.cleaned_data["email"])
        signing_up.request(form.cleaned_data["email"], now=timezone.now())
        hours = settings.ACCOUNTS.sign_up_hours
        text = gettext("We have sent you an e-mail with a link. It is valid for %(hours)s hours.") % {"hours": hours}
        messages.success(self.request, text)
        return super().form_valid(form)


class SignUpConfirmationPage(LinkPage):
    title = _("Choose a password")
    button = _("Sign up")
    lead = _("Your e-mail address is the name with which you log in.")
    done = _("You are signed up. Log in with your e-mail address.")

    def find(self, token: str, *, now: datetime) -> Confirmation:
        _require_sign_up()
        return signing_up.find(token, now=now)

    def confirm(self, confirmation: Confirmation, password: str) -> None:
        signing_up.confirm(confirmation, password)


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


def _require_sign_up() -> None:
    """
    Answer 404 unless customers may sign up.
    """
    if not settings.ACCOUNTS.sign_up:
        raise Http404
