import pytest
from django.core.checks import run_checks
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client

from notifications.attempts import settle
from notifications.models import Notification, Suppression
from notifications.outcomes import Outcome, Result
from tests.notifications import tracking
from tests.notifications.events import NOON, anomaly, confirmed, make_notification, notify, queue
from tests.notifications.tracking import mailgun, post, postmark, sparkpost, state_of, use_provider
from tests.outbox import allowed_for_a_hundredfold, counting_statements
from tests.refusals import problem_of, refused
from tests.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def notification() -> Notification:
    return make_notification(confirmed(email="Ada@Example.com"))


@pytest.fixture(autouse=True)
def _postmark(settings):
    use_provider(settings, "postmark")


def listed() -> list[tuple[str, str, str]]:
    return list(Suppression.objects.order_by("recipient").values_list("channel", "recipient", "reason"))


class TestState:
    @pytest.mark.parametrize(
        ("reported", "state", "entry"),
        [
            ({"record": "Delivery"}, ("delivered", ""), None),
            ({"record": "Bounce", "Type": "HardBounce"}, ("bounced", "no_mailbox"), "bounced"),
            ({"record": "Bounce", "Type": "BadEmailAddress"}, ("bounced", "no_mailbox"), "bounced"),
            ({"record": "Bounce", "Type": "DMARCPolicy"}, ("bounced", "rejected"), None),
            ({"record": "Bounce", "Type": "SoftBounce"}, ("bounced", "rejected"), None),
            ({"record": "Bounce", "Type": "Transient"}, ("accepted", ""), None),
            ({"record": "SpamComplaint", "Type": "SpamComplaint"}, ("delivered", ""), "complained"),
            ({"record": "SubscriptionChange", "SuppressSending": True}, ("accepted", ""), "unsubscribed"),
            ({"record": "Open"}, ("accepted", ""), None),
            ({"record": "SomethingNew"}, ("accepted", ""), None),
        ],
    )
    def test_follows_the_report_and_lists_who_gets_nothing_more(self, notification, reported, state, entry):
        answer = post(postmark(notification, **reported))

        assert (answer.status_code, answer.json()) == (200, {"received": True})
        assert state_of(notification) == state
        assert listed() == ([("email", "ada@example.com", entry)] if entry else [])

    def test_keeps_the_answer_of_the_mail_server_without_addresses(self, notification):
        post(postmark(notification, "Bounce", Type="HardBounce", Details="550 no mailbox Ada@Example.com\0 \ud800"))

        assert Notification.objects.get().error == "550 no mailbox (address)"

    @pytest.mark.parametrize(
        ("first", "then"), [("Delivery", "Delivery"), ("Bounce", "Delivery"), ("Delivery", "Bounce")]
    )
    def test_never_goes_back(self, notification, first, then):
        for record in (first, then, first, then):
            assert post(postmark(notification, record, Type="HardBounce")).status_code == 200

        assert state_of(notification)[0] == ("bounced" if "Bounce" in {first, then} else "delivered")

    @pytest.mark.parametrize("status", ["sending", "unknown"])
    def test_settles_what_was_accepted_before_its_sender_knew(self, status):
        queue(confirmed())
        Notification.objects.update(status=status, attempts=1)

        post(postmark(Notification.objects.get(), "Delivery"))

        notification = Notification.objects.get()
        assert (notification.status, notification.provider_id) == ("delivered", "pm-1")
        assert notification.accepted_at

    @pytest.mark.parametrize("status", ["queued", "failed", "suppressed"])
    def test_stays_if_it_was_not_being_sent(self, notification, status):
        Notification.objects.update(status=status)

        assert post(postmark(notification, "Delivery")).status_code == 200

        assert state_of(notification)[0] == status

    @pytest.mark.parametrize("status", ["sending", "unknown"])
    def test_follows_all_reports_about_an_attempt_after_it_was_sent_again(self, settings, status):
        use_provider(settings, "sparkpost")
        notification = make_notification(confirmed())
        Notification.objects.update(status=status, provider_id="sp-earlier", attempts=2)

        post([sparkpost(notification, "injection")])
        assert state_of(notification)[0] == "accepted"
        post([sparkpost(notification, "delivery")])

        assert state_of(notification)[0] == "delivered"

    @pytest.mark.parametrize(
        ("status", "provider_id"), [("sending", "pm-1"), ("unknown", "pm-1"), ("accepted", "pm-2")]
    )
    def test_ignores_reports_about_an_attempt_before_it_was_sent_again(self, notification, status, provider_id):
        Notification.objects.update(status=status, provider_id=provider_id, attempts=2)

        post(postmark(notification, "Bounce", Type="HardBounce"))

        assert state_of(notification) == (status, "")
        assert listed() == [("email", "ada@example.com", "bounced")]

    def test_is_found_by_the_providers_id(self, notification):
        Notification.objects.update(provider_id="pm-1")

        post(postmark(None, "Delivery"))

        assert state_of(notification)[0] == "delivered"

    @pytest.mark.parametrize("metadata", [{"notification": "x"}, {"notification": "0" * 32}, {"other": 1}, None])
    def test_ignores_reports_about_unknown_mails(self, notification, metadata):
        answer = post(postmark(None, "Bounce", Type="HardBounce", Metadata=metadata or {}))

        assert answer.status_code == 200
        assert state_of(notification)[0] == "accepted"
        assert listed() == []

    def test_costs_as_many_statements_for_two_hundred_reports_as_for_two(self, settings):
        use_provider(settings, "sparkpost")
        notify(*[confirmed(email=f"c{number}@example.com") for number in range(202)])
        few, many = (list(Notification.objects.order_by("pk")[some]) for some in (slice(2), slice(2, 202)))
        kinds = ({"kind": "delivery"}, {"kind": "bounce", "bounce_class": "10"})

        with counting_statements() as for_two:
            post([sparkpost(row, **kind) for row, kind in zip(few, kinds, strict=True)])
        with counting_statements() as for_many:
            post([sparkpost(row, **kinds[number % 2]) for number, row in enumerate(many)])

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert Notification.objects.filter(status="delivered").count() == 101
        assert Suppression.objects.count() == 101


class TestBounce:
    @pytest.mark.parametrize(("kind", "entries"), [("hard_bounce", 1), ("soft_bounce", 0)])
    def test_lists_its_recipient_only_if_it_is_for_good(self, settings, notification, kind, entries):
        use_provider(settings, "brevo")

        post({"event": kind, "X-Mailin-custom": f'{{"notification": "{notification.pk}"}}'})

        assert Suppression.objects.count() == entries
        assert state_of(notification)[0] == "bounced"

    @pytest.mark.parametrize(("kind", "entries"), [("10", 1), ("30", 1), ("22", 0), ("70", 0), ("51", 0)])
    def test_lists_by_the_class_that_sparkpost_names(self, settings, notification, kind, entries):
        use_provider(settings, "sparkpost")

        post([sparkpost(notification, "bounce", bounce_class=kind)])

        assert Suppression.objects.count() == entries

    @pytest.mark.parametrize(("reply", "entries"), [("550 5.1.1 no such user", 1), ("452 4.2.2 over quota", 0)])
    def test_is_not_for_good_if_the_mail_server_said_so(self, notification, reply, entries):
        post(postmark(notification, "Bounce", Type="HardBounce", Details=reply))

        assert Suppression.objects.count() == entries


class TestTrust:
    @pytest.mark.parametrize("authorization", ["", "Basic wrong", "Basic YTpi", "Token x"])
    def test_rejects_what_lacks_the_secret(self, notification, authorization):
        answer = post(postmark(notification, "Delivery"), authorization=authorization)

        assert problem_of(answer)["code"] == "invalid_signature"
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="WEBHOOK_SECRET"'
        assert state_of(notification)[0] == "accepted"

    @pytest.mark.parametrize(("key", "status"), [("key-1", "delivered"), ("key-2", "accepted")])
    def test_verifies_the_signature_of_a_provider_that_signs(self, settings, notification, key, status):
        use_provider(settings, "mailgun", MAILGUN_WEBHOOK_SIGNING_KEY="key-1")

        answer = post(mailgun(notification, "delivered", key=key), authorization="")

        assert answer.status_code == (200 if status == "delivered" else 401)
        assert state_of(notification)[0] == status

    @pytest.mark.parametrize(
        "body", [b"", b"[7]", b"7", b'{"RecordType": []}', b"[" * 100_000, b"\xff", b'{"RecordType": "Inbound"}']
    )
    @pytest.mark.parametrize("provider", ["postmark", "mailgun", "sparkpost", "amazon_ses"])
    def test_rejects_what_cannot_be_read(self, settings, notification, provider, body):
        keys = {"MAILGUN_WEBHOOK_SIGNING_KEY": "key-1"} if provider == "mailgun" else {}
        use_provider(settings, provider, **keys)

        answer = refused(Client(), "POST", tracking.URL, body, Authorization=tracking.AUTHORIZATION)

        assert answer["code"] in {"malformed_event", "invalid_signature", "not_found"}

    def test_answers_providers_that_verify_the_url(self):
        assert Client().head(tracking.URL).status_code == 200

    @pytest.mark.filterwarnings("ignore::anymail.exceptions.AnymailInsecureWebhookWarning")
    @pytest.mark.parametrize(
        ("provider", "anymail"),
        [
            ("", {"WEBHOOK_SECRET": tracking.SECRET}),
            ("carrier-pigeon", {"WEBHOOK_SECRET": tracking.SECRET}),
            *(
                (provider, {"SEND_DEFAULTS": "x"})
                for provider in ("postmark", "mailgun", "mandrill", "postal", "resend")
            ),
        ],
    )
    def test_needs_a_provider_whose_webhooks_can_be_verified(self, settings, notification, provider, anymail):
        use_provider(settings, provider, **anymail)

        assert problem_of(post(postmark(notification, "Delivery")))["code"] == "not_found"
        assert [error.id for error in run_checks()] == (["shop.E016"] if provider else [])

    def test_takes_larger_bodies_than_others(self, settings, notification):
        use_provider(settings, "sparkpost")
        events = [sparkpost(notification, "delivery", raw_reason="x" * 500)] * 1_000

        assert post(events).status_code == 200
        assert problem_of(post(events * 2))["code"] == "body_too_large"


class TestCommit:
    @pytest.mark.django_db(transaction=True)
    def test_comes_before_the_answer(self, notification, monkeypatch):
        def fail(*_: object) -> None:
            raise OperationalError("The disk is full.")

        bounce = postmark(notification, "Bounce", Type="HardBounce")
        with monkeypatch.context() as patched:
            patched.setattr(BaseDatabaseWrapper, "_commit", fail)
            assert problem_of(post(bounce))["code"] == "unavailable"
        assert (state_of(notification), listed()) == (("accepted", ""), [])

        assert post(bounce).status_code == 200
        assert state_of(notification) == ("bounced", "no_mailbox")

    @pytest.mark.django_db(transaction=True)
    def test_of_our_own_answer_may_come_before_or_after_that_of_a_report(self):
        for _ in range(5):
            queue(confirmed())
            Notification.objects.filter(status="queued").update(status="sending", attempts=1)
            row = Notification.objects.get(status="sending")

            at_once(
                lambda row=row: post(postmark(row, "Delivery")),
                lambda row=row: settle({row: Outcome(Result.ACCEPTED, provider_id="pm-1")}, now=NOON),
            )

        assert set(Notification.objects.values_list("status", "provider_id")) == {("delivered", "pm-1")}

    @pytest.mark.django_db(transaction=True)
    def test_of_the_same_reports_in_other_orders_waits_for_no_other(self, settings):
        use_provider(settings, "sparkpost")
        notify(*[confirmed(email=f"c{number}@example.com") for number in range(20)])
        rows = list(Notification.objects.order_by("pk"))
        bounces = [sparkpost(row, "bounce", bounce_class="10") for row in rows]
        deliveries = [sparkpost(row, "delivery") for row in rows]

        webhooks = [bounces, bounces[::-1], deliveries, deliveries[::-1], [*deliveries, *bounces]]
        answers = at_once(*[lambda body=body: post(body).status_code for body in webhooks])

        assert answers == [200] * 5
        assert set(Notification.objects.values_list("status", flat=True)) == {"bounced"}
        assert Suppression.objects.count() == 20


def test_lists_no_recipient_who_was_erased(notification):
    Notification.objects.update(recipient="")

    post(postmark(notification, "Bounce", Type="HardBounce"))

    assert listed() == []


def test_alerts_the_operator_nevertheless(mailoutbox):
    alert = make_notification(anomaly("late_capture"))
    post(postmark(alert, "Bounce", Type="HardBounce"))

    notify(anomaly("late_capture"))

    assert [message.to for message in mailoutbox] == [["olga@example.com"]] * 2
