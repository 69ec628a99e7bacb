from django.db import migrations, models

from messaging.kernel.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("payments", "0009_customer_facing_fields")]

    operations = [
        AddIndexConcurrently("capture", models.Index(fields=["reference"], name="captures_by_reference")),
        AddIndexConcurrently("paymentintent", models.Index(fields=["provider_reference"], name="payments_by_reference")),
        AddIndexConcurrently("refund", models.Index(fields=["provider_reference"], name="refunds_by_reference")),
    ]
