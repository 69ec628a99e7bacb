"""
Forms of the admin pages for dead letters.
"""

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import User

from . import dead_letters
from .contracts import event_types
from .inbox import UNDECODABLE
from .models import Delivery, DeliveryQuerySet

MOST_AT_ONCE = 5_000
"""Dead letters that one request replays or discards."""

MAX_ID = 2**63 - 1


class LettersForm(forms.Form):
    """
    Which dead letters: those that match all values, or with `exact` those of one group, whose values may be empty.
    """

    id = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID)
    exact = forms.BooleanField(required=False)
    subscriber = forms.CharField(required=False, max_length=100)
    event_type = forms.CharField(required=False, max_length=100)
    error = forms.CharField(required=False, max_length=200)
    fingerprint = forms.CharField(required=False, max_length=16)
    since = forms.DateTimeField(required=False, label="Failed since")

    def clean_event_type(self) -> str:
        """
        Refuse a type that the code lacks: its dead letters would be looked for among the messages of all of them.
        """
        name: str = self.cleaned_data["event_type"]
        if name and name not in {*event_types(), UNDECODABLE}:
            raise forms.ValidationError(
                "There is no such event. Those of former versions are listed by list_dead_letters --type."
            )
        return name

    def letters(self) -> DeliveryQuerySet:
        chosen = self.cleaned_data
        if chosen["exact"]:
            return Delivery.objects.dead_of(**self.group())
        return dead_letters.matching(
            ids=[chosen["id"]] if chosen["id"] else [],
            subscriber=chosen["subscriber"],
            event_type=chosen["event_type"],
            error=chosen["error"],
            fingerprint=chosen["fingerprint"],
            since=chosen["since"],
        )

    def group(self) -> dict[str, Any]:
        chosen = self.cleaned_data
        return {
            "subscriber": chosen["subscriber"],
            "error_class": chosen["error"],
            "fingerprint": chosen["fingerprint"],
        }

    def describe(self) -> str:
        """
        Return the filters, such as "subscriber notifications.send_email, error ValueError".
        """
        chosen = {name: value for name, value in self.cleaned_data.items() if name in LettersForm.base_fields and value}
        chosen.pop("exact", None)
        return ", ".join(f"{name} {_written(value)}" for name, value in chosen.items())


class ReplayForm(LettersForm):
    rate = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10_000,
        label="At most so many a second",
        help_text="Empty: at once.",
    )
    reason = forms.CharField(required=False, max_length=500, label="Reason", help_text="For the log; may be empty.")

    shown: ClassVar = ("rate", "reason")


class DiscardForm(LettersForm):
    reason = forms.CharField(max_length=500, label="Reason", help_text="Why they need not be delivered.")

    shown: ClassVar = ("reason",)


class NoteForm(forms.Form):
    note = forms.CharField(max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))


class AssignForm(forms.Form):
    assignee: "forms.ModelChoiceField[User]" = forms.ModelChoiceField(
        queryset=User.objects.filter(is_staff=True, is_active=True).order_by("username"),
        required=False,
        empty_label="nobody",
    )


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
