from django.urls import include, path
from rest_framework.routers import SimpleRouter

from . import api, introspection, pages

router = SimpleRouter()
router.register("tokens", api.TokenViewSet, basename="token")
router.register("signing-keys", api.SigningKeyViewSet, basename="signing-key")

urlpatterns = [
    path("language/", pages.choose_language, name="set-language"),
    path("account/password/", pages.PasswordPage.as_view(), name="password"),
    path("account/forgotten-password/", pages.ForgottenPasswordPage.as_view(), name="forgotten-password"),
    path("account/password-reset/<token>/", pages.PasswordResetPage.as_view(), name="password-reset"),
    path("account/sign-up/", pages.SignUpPage.as_view(), name="sign-up"),
    path("account/sign-up/<token>/", pages.SignUpConfirmationPage.as_view(), name="sign-up-confirmation"),
    path("api/auth/login/", pages.LoginPage.as_view()),
    path("api/auth/", include("rest_framework.urls")),
    path("api/v1/account/", api.AccountView.as_view(), name="account"),
    path("api/v1/account/password/", api.PasswordView.as_view()),
    path("api/v1/password-resets/", api.PasswordResetView.as_view()),
    path("api/v1/password-resets/confirm/", api.PasswordResetConfirmView.as_view()),
    path("api/v1/sign-ups/", api.SignUpView.as_view()),
    path("api/v1/sign-ups/confirm/", api.SignUpConfirmView.as_view()),
    path("api/v1/introspect/", introspection.IntrospectionView.as_view()),
    path("api/v1/", include(router.urls)),
]
