"""
Pages of the admin for the second factor: to set it up, and to prove it after the login.
"""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.mixins import UserPassesTestMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from shop.desk import second_factor


class CodeForm(forms.Form):
    code = forms.CharField(
        max_length=16,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )

    def clean_code(self) -> str:
        """
        Return the code without the spaces that apps show in it, and a backup code in small letters.
        """
        return "".join(self.cleaned_data["code"].split()).lower()


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class _Page(UserPassesTestMixin, FormView):  # type: ignore[type-arg]  # not generic at run time
    """
    A page for active staff that is logged in by password; the second factor may be missing.
    """

    form_class = CodeForm
    http_method_names = ("get", "head", "options", "post")
    request: HttpRequest

    @property
    def user(self) -> User:
        return cast("User", self.request.user)

    def test_func(self) -> bool:
        return self.request.user.is_active and self.request.user.is_staff

    def handle_no_permission(self) -> HttpResponse:  # type: ignore[override]  # never another class
        return redirect("admin:login")

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        frame = {**admin.site.each_context(self.request), "is_nav_sidebar_enabled": False, "title": "Second factor"}
        return super().get_context_data(**about, **frame)


class SecondFactor(_Page):
    """
    Set up an authenticator; for those who have one, replace the backup codes or remove it.
    """

    template_name = "desk/second_factor.html"

    def handle_no_permission(self) -> HttpResponse:  # type: ignore[override]  # never another class
        return redirect_to_login(self.request.path, reverse("admin:login"))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if self.test_func() and second_factor.is_enrolled(self.user) and not second_factor.is_satisfied(request):
            return redirect("admin:second_factor_code")
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        is_enrolled = second_factor.is_enrolled(self.user)
        device = None if is_enrolled else second_factor.device_to_confirm(self.user)
        setup = {"secret": second_factor.secret_of(device), "qr_code": second_factor.qr_code(device)} if device else {}
        required = {"is_required": settings.ACCOUNTS.second_factor_required, "is_enrolled": is_enrolled}
        return super().get_context_data(**about, **setup, **required)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        match request.POST.get("action"):
            case "codes" if second_factor.is_enrolled(self.user):
                return self._show_codes(second_factor.replace_backup_codes(self.user), "New backup codes.")
            case "remove" if not settings.ACCOUNTS.second_factor_required:
                second_factor.remove(self.user)
                self._log("Removed the second factor.")
                messages.success(request, "Your second factor is removed.")
                return redirect("admin:index")
            case _:
                return super().post(request, *args, **kwargs)

    def form_valid(self, form: CodeForm) -> HttpResponse:
        if second_factor.is_enrolled(self.user):
            return redirect("admin:second_factor")
        device = second_factor.device_to_confirm(self.user)
        try:
            codes = second_factor.enrol(self.request, device, form.cleaned_data["code"])
        except ValidationError as error:
            form.add_error("code", error)
            return self.form_invalid(form)
        return self._show_codes(codes, "Set up a second factor.")

    def _show_codes(self, codes: list[str], logged: str) -> HttpResponse:
        self._log(logged)
        return self.render_to_response(self.get_context_data(codes=codes))

    def _log(self, message: str) -> None:
        LogEntry.objects.log_actions(str(self.user.pk), [self.user], CHANGE, message)


class SecondFactorCode(_Page):
    """
    Ask for a code after the login.
    """

    template_name = "desk/second_factor_code.html"

    def form_valid(self, form: CodeForm) -> HttpResponse:
        try:
            second_factor.prove(self.request, form.cleaned_data["code"])
        except ValidationError as error:
            form.add_error("code", error)
            return self.form_invalid(form)
        return redirect(self._next())

    def _next(self) -> str:
        wanted = self.request.GET.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            wanted, {self.request.get_host()}, require_https=self.request.is_secure()
        )
        return wanted if is_ours else "admin:index"


def urls() -> list[URLPattern]:
    """
    Return the URLs of these pages, within the admin.
    """
    return [
        path("second-factor/", SecondFactor.as_view(), name="second_factor"),
        path("second-factor/code/", SecondFactorCode.as_view(), name="second_factor_code"),
    ]
