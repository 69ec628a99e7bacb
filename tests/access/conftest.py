from collections.abc import Mapping
from dataclasses import replace

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from messaging.models import Resolution
from shop.settings.groups import TWILIO_SMS
from tests.access.callers import Caller, create_resources
from tests.factories import PASSWORD, place_order


@pytest.fixture(autouse=True)
def _secrets(settings):
    """
    Providers whose webhooks can be verified, a secret of other services, and sign-up.
    """
    settings.ACCOUNTS = replace(settings.ACCOUNTS, sign_up=True)
    settings.SERVICE = replace(settings.SERVICE, introspection_secret=32 * "s")
    settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, email_tracking="postmark", sms_backend=TWILIO_SMS)
    settings.ANYMAIL = {"WEBHOOK_SECRET": "postmark:secret"}


@pytest.fixture
def people(db) -> Mapping[str, Caller]:
    """
    Two customers and three members of staff: Carl without permissions, Sue who may view everything, Olga a superuser.
    """
    create = get_user_model().objects.create_user
    ada, bob = create("ada", "ada@example.com", PASSWORD), create("bob", "bob@example.com", PASSWORD)
    carl, sue = create("carl", is_staff=True), create("sue", is_staff=True)
    olga = create("olga", is_staff=True, is_superuser=True)
    sue.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    users = {"guest": None, "bob": bob, "ada": ada, "carl": carl, "sue": sue, "olga": olga}
    return {name: Caller(user) for name, user in users.items()}


@pytest.fixture
def ids(people, drain) -> Mapping[str, str]:
    """
    Ids of Ada's resources, by collection, among them a confirmed order and a newer open one; and of a row of each model
    by its name.
    """
    ada = people["ada"].user
    hers = create_resources(ada, drain) | {"orders": str(place_order(customer_id=ada.pk).pk)}
    rows = {model._meta.model_name: model.objects.first() for model in admin.site._registry}
    replay = Resolution.objects.create(kind="replay", resolved_at=timezone.now(), resolved_by="olga")
    return {name: str(row.pk) for name, row in rows.items() if row} | hers | {"resolutions": str(replay.pk)}
