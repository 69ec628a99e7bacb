import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.utils import timezone

from shop.accounts import services
from shop.accounts.models import Account, SigningKey, Token
from tests.factories import CustomerFactory, make_signing_key
from tests.operators import act, open_every_page_of, operator_who_may, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def token() -> Token:
    return Token.objects.create(CustomerFactory(), name="till")[0]


@pytest.fixture
def key() -> SigningKey:
    return make_signing_key()


def test_every_page_opens(admin_client, token, key):
    assert open_every_page_of("shop", admin_client) == {"Token": 200, "SigningKey": 200}


@pytest.mark.parametrize("kind", ["changelist", "change"])
def test_no_page_shows_a_secret(admin_client, token, key, kind):
    for row in (token, key):
        text = admin_client.get(page(type(row), kind, *([row.pk] if kind == "change" else []))).content.decode()

        assert not any(secret in text for secret in (token.digest, token.token_key, key.sealed_secret))


@pytest.mark.parametrize("model", [Token, SigningKey])
def test_no_row_is_edited_by_hand(admin_client, token, key, model):
    row = model.objects.get()

    answers = [
        admin_client.post(page(model, "add")),
        admin_client.post(page(model, "change", row.pk), {"name": "mine"}),
        admin_client.post(page(model, "delete", row.pk), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


class TestRevoke:
    def test_deletes_tokens(self, token):
        operator = operator_who_may("shop.view_token", "shop.delete_token")

        answer = act(operator, "revoke", token)

        assert "Revoked 1 token." in answer
        assert not Token.objects.exists()
        assert LogEntry.objects.get().object_repr == "till of ada"

    def test_revokes_usable_keys(self, key):
        other, _ = services.rotate_key(key, now=timezone.now())
        ended = services.rotate_key(other, now=timezone.now())[0]
        services.revoke_key(ended, now=timezone.now())
        operator = operator_who_may("shop.view_signingkey", "shop.change_signingkey")

        answer = act(operator, "revoke", key, other, ended)

        assert "Revoked 2 signing keys." in answer
        assert not SigningKey.objects.usable(timezone.now()).exists()
        assert LogEntry.objects.count() == 2

    @pytest.mark.parametrize("permission", ["shop.view_token", "shop.view_signingkey"])
    def test_needs_more_than_the_permission_to_view(self, token, key, permission):
        row = token if "token" in permission else key

        act(operator_who_may(permission), "revoke", row)

        assert Token.objects.exists()
        assert SigningKey.objects.usable(timezone.now()).exists()


class TestUser:
    def test_can_be_required_to_sign(self, admin_client):
        ada = CustomerFactory()
        shown = admin_client.get(page(get_user_model(), "change", ada.pk)).context["adminform"].form.initial
        inline = {"account-TOTAL_FORMS": 1, "account-INITIAL_FORMS": 0, "account-0-user": ada.pk}
        when = {"date_joined_0": f"{ada.date_joined:%Y-%m-%d}", "date_joined_1": f"{ada.date_joined:%H:%M:%S}"}
        form = {name: shown[name] for name in ("username", "email")} | when | inline | {"account-0-must_sign": "on"}

        answer = admin_client.post(page(get_user_model(), "change", ada.pk), form)

        assert answer.status_code == 302
        assert Account.objects.get().user == ada
        assert Account.objects.get().must_sign

    def test_can_be_added(self, admin_client):
        assert admin_client.get(page(get_user_model(), "add")).status_code == 200
