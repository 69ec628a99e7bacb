"""
Serializers and filters of notifications and of what customers choose about them.
"""

from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers

from shop.http.fields import Choice, Flag, Input, Rows

from . import preferences
from .models import Notification, Preference


class NotificationOutput(serializers.ModelSerializer[Notification]):
    url = serializers.HyperlinkedIdentityField(view_name="notifications:notification-detail")
    order_id = serializers.UUIDField(allow_null=True, help_text="Null if it is about your account.")

    class Meta:
        model = Notification
        fields = (
            "url",
            "id",
            "order_id",
            "kind",
            "channel",
            "recipient",
            "status",
            "subject",
            "body",
            "created_at",
            "accepted_at",
        )


class NotificationFilters(django_filters.FilterSet):
    include = django_filters.ChoiceFilter(
        choices=[("pending", "pending")], method="including", help_text="`pending`: also those on their way to you."
    )

    class Meta:
        model = Notification
        fields = ("order_id", "kind", "status")

    def including(self, queryset: QuerySet[Notification], name: str, value: str) -> QuerySet[Notification]:
        return queryset

    def filter_queryset(self, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        filtered: QuerySet[Notification] = super().filter_queryset(queryset)
        pending = Notification.UNSENT if self.form.cleaned_data["include"] else frozenset()
        return filtered.filter(status__in=Notification.SENT | pending)


class PreferenceInput(Input):
    code = "invalid_preferences"

    kind = Choice(code="invalid_preferences", choices=preferences.KINDS)
    channel = Choice(code="invalid_preferences", choices=Notification.Channel.choices)
    is_on = Flag(code="invalid_preferences")


class PreferencesInput(Input):
    preferences = Rows(
        code="invalid_preferences", child=PreferenceInput(), required=False, help_text="Those to change."
    )


class PreferenceOutput(serializers.ModelSerializer[Preference]):
    kind = serializers.ChoiceField(choices=preferences.KINDS)
    title = serializers.SerializerMethodField(help_text="Of the kind, in the language of the request.")
    is_required = serializers.SerializerMethodField(help_text="Whether it cannot be switched off.")

    class Meta:
        model = Preference
        fields = ("kind", "title", "channel", "is_on", "is_required")

    def get_title(self, preference: Preference) -> str:
        return preferences.title_of(preference.kind)

    def get_is_required(self, preference: Preference) -> bool:
        return preferences.is_required(preference.kind, preference.channel)


class PreferencesOutput(serializers.Serializer[Any]):
    preferences = PreferenceOutput(many=True)
