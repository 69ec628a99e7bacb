from django.db import migrations
from django.db.models import Q, Sum

BATCH = 1_000


def book(apps, schema_editor):
    """
    Book the money of each payment that has succeeded, as a capture with the payment's own id, and move its refunds there.
    Until now there was only one gateway to open payments at.
    """
    opened = apps.get_model("payments", "PaymentIntent").objects
    opened.update(gateway="payments.adapters.instant.InstantGateway")
    intents = opened.filter(status="succeeded", amount__gt=0)
    captures, refunds = (apps.get_model("payments", name).objects for name in ("Capture", "Refund"))
    rows = []
    for intent in intents.annotate(returned=Sum("refunds__amount", filter=~Q(refunds__status="failed"))).iterator(BATCH):
        rows.append(
            captures.model(
                id=intent.pk,
                intent=intent,
                reference=intent.provider_reference,
                amount=intent.amount,
                currency=intent.currency,
                returned=min(intent.returned or 0, intent.amount),
                captured_at=intent.created_at,
            )
        )
    captures.bulk_create(rows, BATCH)
    for refund in refunds.all().iterator(BATCH):
        refunds.filter(pk=refund.pk).update(capture_id=refund.intent_id)


def unbook(apps, schema_editor):
    """
    Move refunds back to their payments, as far as those know of them: what is unknown there is pending.
    """
    refunds, captures = (apps.get_model("payments", name).objects for name in ("Refund", "Capture"))
    refunds.filter(status="unknown").update(status="pending")
    for refund in refunds.select_related("capture").iterator(BATCH):
        refunds.filter(pk=refund.pk).update(intent_id=refund.capture.intent_id, capture_id=None)
    captures.all().delete()


class Migration(migrations.Migration):
    dependencies = [("payments", "0003_captures_and_webhooks")]

    operations = [migrations.RunPython(book, unbook)]
