"""
Admin pages of users, with their accounts, and of tokens and signing keys, which can be revoked.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import PROTECT, Model, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils import timezone

from messaging.kernel.admin import BoundedPaginator, ReadOnly, WholeValueSearch, found_by_any, moment
from messaging.kernel.lookups import Bytewise, begins_with
from shop.accounts import services
from shop.accounts.models import Account, SigningKey, SigningKeyQuerySet, Token
from shop.http.order_panels import panels_of_customer

INDEXED_FOLDED = (Bytewise(Lower("email")), Bytewise(Lower("last_name")))
"""Each has an index: see the migration 0011."""

admin.site.unregister([get_user_model(), Group])


class AccountInline(admin.StackedInline):
    model = Account
    verbose_name_plural = "account"
    can_delete = False


class ByCheckbox:
    """
    Mixin for pages on which permissions and groups are chosen by checkboxes. Screen readers cannot read the labels of
    Django's two lists.
    """

    filter_horizontal = ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None, **kwargs: Any) -> Any:
        widget = forms.CheckboxSelectMultiple(attrs={"class": "choices"})
        return super().formfield_for_manytomany(db_field, request, widget=widget, **kwargs)


@admin.register(Group)
class RoleAdmin(ByCheckbox, GroupAdmin):
    pass


@admin.register(get_user_model())
class CustomerAdmin(ByCheckbox, UserAdmin):
    # Django's search for parts of names, and its two counts, read all customers several times.
    search_fields = ("username", "email", "last_name")
    search_help_text = "The beginning of a username, an e-mail address or a last name."
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = ReadOnly.list_per_page

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        texts = {Bytewise("username"): term, **{text: term.lower() for text in INDEXED_FOLDED}}
        return found_by_any(queryset, [queryset.filter(begins_with(*each)) for each in texts.items()]), False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """
        Say what protects users from deletion, such as orders, without reading and listing each of thousands.
        """
        relations = [relation for relation in self.opts.related_objects if relation.on_delete is PROTECT]
        protecting = [
            relation.related_model._meta.verbose_name_plural
            for relation in relations
            if relation.related_model._default_manager.filter(**{f"{relation.field.name}__in": objs}).exists()  # noqa: SLF001  (its public name is unknown)
        ]
        return ([], {}, set(), protecting) if protecting else super().get_deleted_objects(objs, request)

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> tuple[type[admin.StackedInline], ...]:
        return (AccountInline,) if obj else ()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """
        Render the page of a user, with what the contexts know of the customer.
        """
        user = context.get("original")
        panels = panels_of_customer(str(user.pk), may=request.user.has_perm) if user else []
        return super().render_change_form(request, {**context, "panels": panels}, *args, **kwargs)


class Revocable(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    """
    Rows that only their owner creates, and that an operator can revoke.
    """

    ordering = ("-id",)
    show_full_result_count = False
    actions = ("revoke",)

    def revoke_each(
        self, request: HttpRequest, chosen: QuerySet[Any], flag: int, revoke: Callable[[Any], None]
    ) -> None:
        """
        Revoke the chosen rows, and log the operator.
        """
        rows: list[Model] = list(chosen)
        with transaction.atomic():
            LogEntry.objects.log_actions(str(request.user.pk), rows, flag, "Revoked.")
            for row in rows:
                revoke(row)
        name = self.opts.verbose_name if len(rows) == 1 else self.opts.verbose_name_plural
        self.message_user(request, f"Revoked {len(rows)} {name}.")


@admin.register(Token)
class TokenAdmin(Revocable):
    list_display = ("name", "user", moment("created"), moment("expiry"))
    list_select_related = ("user",)
    search_fields = ("id", "user__username")
    search_help_text = "The whole id of a token, or its owner's whole name."
    fields = ("id", "name", "user", "created", "expiry")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("shop.delete_token")

    @admin.action(description="Revoke tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Token]) -> None:
        self.revoke_each(request, chosen, DELETION, services.revoke_token)


@admin.register(SigningKey)
class SigningKeyAdmin(Revocable):
    list_display = ("name", "owner", "algorithm", moment("created_at"), moment("expires_at"), moment("revoked_at"))
    list_select_related = ("owner",)
    search_fields = ("id", "owner__username")
    search_help_text = "The whole id of a key, or its owner's whole name."
    fields = ("id", "name", "owner", "algorithm", "public_key", "created_at", "expires_at", "revoked_at")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("shop.change_signingkey")

    @admin.action(description="Revoke signing keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: SigningKeyQuerySet) -> None:
        usable = chosen.usable(timezone.now())
        self.revoke_each(request, usable, CHANGE, lambda key: services.revoke_key(key, now=timezone.now()))
