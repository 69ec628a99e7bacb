"""
Tracking webhooks of the mail provider, verified and read by the views of anymail.
"""

import logging
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from anymail.exceptions import AnymailConfigurationError, AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from anymail.webhooks.base import AnymailBaseWebhookView
from django.conf import settings
from django.http import HttpRequest

from messaging.kernel.ids import parse_id
from shop.http.parsers import INVALID_CHARACTERS

from .mail import METADATA
from .models import Notification, Suppression
from .reports import Report

logger = logging.getLogger(__name__)

Status, Reason, Listed = Notification.Status, Notification.Reason, Suppression.Reason

ENDING = re.compile(r"_(tracking_)?webhook")
STATUSES = {
    EventType.QUEUED: Status.ACCEPTED,
    EventType.SENT: Status.ACCEPTED,
    EventType.DELIVERED: Status.DELIVERED,
    EventType.COMPLAINED: Status.DELIVERED,
    EventType.BOUNCED: Status.BOUNCED,
    EventType.REJECTED: Status.BOUNCED,
    EventType.FAILED: Status.BOUNCED,
}
SUPPRESSIONS = {
    (EventType.BOUNCED, None): Listed.BOUNCED,
    (EventType.BOUNCED, RejectReason.BOUNCED): Listed.BOUNCED,
    (EventType.BOUNCED, RejectReason.INVALID): Listed.BOUNCED,
    (EventType.REJECTED, RejectReason.BOUNCED): Listed.BOUNCED,
    (EventType.REJECTED, RejectReason.INVALID): Listed.BOUNCED,
    (EventType.REJECTED, RejectReason.SPAM): Listed.COMPLAINED,
    (EventType.REJECTED, RejectReason.UNSUBSCRIBED): Listed.UNSUBSCRIBED,
}
"""By the event and its reason. The provider rejects recipients whom its own list has."""

KINDS_OF_BOUNCE = {
    "Amazon SES": ("bounce", "bounceType"),
    "Brevo": ("event",),
    "MailerSend": ("data", "type"),
    "Mailjet": ("hard_bounce",),
    "Mandrill": ("event",),
    "Postmark": ("Type",),
    "Resend": ("data", "bounce", "type"),
    "SendGrid": ("type",),
    "SparkPost": ("msys", "message_event", "bounce_class"),
}
"""Where providers say whether a bounce is for good, which anymail leaves out."""
TRANSIENT = {
    *("Transient", "Temporary", "Undetermined", "SoftBounce", "soft_bounce", "soft_bounced", "blocked", "False"),
    *("1", "20", "21", "22", "23", "24", "40", "70"),  # of SparkPost
}
TRANSIENT_REPLY = re.compile(r"(smtp;\s*)?4\d\d\b", re.ASCII)


class NoTracking(Exception):
    """
    The shop has no provider whose webhooks it could verify.
    """


class InvalidSignature(Exception):
    """
    The provider has not signed the webhook, or it lacks the secret.
    """


class MalformedWebhook(Exception):
    """
    The webhook is genuine, but cannot be read.
    """


def read(request: HttpRequest) -> list[Report]:
    """
    Verify a tracking webhook, and return what it reports.

    :raises NoTracking: if the setting EMAIL_TRACKING names no provider, or its webhooks cannot be verified.
    :raises InvalidSignature: if it is not genuine.
    :raises MalformedWebhook: if it cannot be read.
    """
    view = new_view()
    try:
        view.run_validators(request)
        events = view.parse_events(request)
        return [_report(event, view.esp_name) for event in events if isinstance(event, AnymailTrackingEvent)]
    except AnymailWebhookValidationFailure as error:
        raise InvalidSignature("The provider has not signed this webhook, or the secret is wrong.") from error
    except Exception as error:
        # Anymail's views index and call what the body holds, before some of them verify it.
        logger.warning("A webhook of %s cannot be read: %s.", view.esp_name, type(error).__name__)
        raise MalformedWebhook("The webhook cannot be read.") from error


def new_view() -> AnymailBaseWebhookView:
    """
    Return a new view of anymail for the webhooks of the provider that the setting EMAIL_TRACKING names.

    :raises NoTracking: if the setting names none, or its webhooks cannot be verified, with what to set.
    """
    name = settings.NOTIFICATIONS.email_tracking
    if not name:
        raise NoTracking("EMAIL_TRACKING names no provider.")
    if name not in _views():
        raise NoTracking(f"EMAIL_TRACKING is {name!r}, which is not one of {', '.join(sorted(_views()))}.")
    try:
        view = _views()[name]()
    except (AnymailConfigurationError, ImportError) as error:
        raise NoTracking(str(error)) from error
    if not _is_verified(view):
        raise NoTracking(f"Webhooks of {view.esp_name} would be accepted from anyone.")
    return view


def _is_verified(view: Any) -> bool:
    """
    Return whether a view checks a secret or a signature.
    """
    # Mandrill's misses its key only when a webhook arrives.
    return bool(view.basic_auth or not view.warn_if_no_basic_auth) and getattr(view, "webhook_key", "") is not None


@cache
def _views() -> Mapping[str, type[AnymailBaseWebhookView]]:
    from anymail.urls import urlpatterns  # imports the views of all providers

    outbound = [pattern for pattern in urlpatterns if "inbound" not in pattern.name]
    return {ENDING.sub("", pattern.name): pattern.callback.view_class for pattern in outbound}


def _report(event: AnymailTrackingEvent, provider: str) -> Report:
    status = STATUSES.get(event.event_type, "")
    suppression = _suppression_of(event, provider)
    reason = Reason.NO_MAILBOX if suppression == Listed.BOUNCED else Reason.REJECTED
    return Report(
        notification_id=parse_id(str((event.metadata or {}).get(METADATA, ""))),
        provider_id=_text(event.message_id)[: Notification._meta.get_field("provider_id").max_length],
        status=status,
        reason=reason if status == Status.BOUNCED else "",
        error=_text(event.mta_response or event.description) if status == Status.BOUNCED else "",
        suppression=suppression,
    )


def _suppression_of(event: AnymailTrackingEvent, provider: str) -> str:
    match event.event_type:
        case EventType.COMPLAINED:
            return Listed.COMPLAINED
        case EventType.UNSUBSCRIBED:
            return Listed.UNSUBSCRIBED
        case EventType.BOUNCED if _is_transient(event, provider):
            return ""
        case kind:
            return SUPPRESSIONS.get((kind, event.reject_reason), "")


def _is_transient(event: AnymailTrackingEvent, provider: str) -> bool:
    """
    Return whether a bounce says nothing about later messages, such as that of a full mailbox.
    """
    kind = event.esp_event
    for name in KINDS_OF_BOUNCE.get(provider, ()):
        kind = kind.get(name, {})
    return str(kind) in TRANSIENT or bool(TRANSIENT_REPLY.match(_text(event.mta_response)))


def _text(value: object) -> str:
    """
    Return a text without characters that the database does not store.
    """
    return INVALID_CHARACTERS.sub("", str(value or ""))
