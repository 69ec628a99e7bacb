import json
from uuid import UUID

import django.db.models.deletion
from django.db import migrations, models

CHUNK = 1_000
CAUSES = {
    "by the shop": "operator",
    "order cancelled": "cancelled",
    "paid after the order was cancelled": "cancelled",
    "paid when the order was over": "late",
    "paid twice": "double",
    "not what the order costs": "wrong_amount",
}
"""By the words for it in the messages of earlier releases."""


def record(apps, schema_editor):
    """
    Record the refunds whose messages are still kept, each at the moment at which orders learned of it. Of older ones
    only the order's `refunded` remains.
    """
    deliveries = apps.get_model("messaging", "Delivery").objects.filter(
        subscriber="orders.record_refund", status="delivered"
    )
    rows = deliveries.order_by("id").values_list("pk", "message__payload", "delivered_at")
    orders, refunds = (apps.get_model("orders", name).objects for name in ("Order", "OrderRefund"))
    last = 0
    while chunk := list(rows.filter(pk__gt=last)[:CHUNK]):
        last = chunk[-1][0]
        payloads = [(json.loads(payload), at) for _, payload, at in chunk]
        known = set(orders.filter(pk__in=[payload["order_id"] for payload, _ in payloads]).values_list("pk", flat=True))
        refunds.bulk_create(
            [_refund(refunds.model, payload, at) for payload, at in payloads if UUID(payload["order_id"]) in known],
            ignore_conflicts=True,
        )


def _refund(model, payload, at):
    return model(
        refund_id=payload["refund_id"],
        order_id=payload["order_id"],
        amount=payload["amount"],
        currency=payload["currency"],
        surplus=payload.get("surplus", False),
        cause=payload.get("cause") or CAUSES.get(payload.get("reason"), ""),
        at=at,
    )


class Migration(migrations.Migration):
    dependencies = [("messaging", "0004_worker"), ("orders", "0005_number_and_language")]

    operations = [
        migrations.AlterField(
            model_name='order',
            name='refunded',
            field=models.BigIntegerField(default=0, help_text='Of the total, without surplus money. In minor units, such as pence.'),
        ),
        migrations.CreateModel(
            name='OrderRefund',
            fields=[
                ('refund_id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('amount', models.BigIntegerField(help_text='In minor units, such as pence.')),
                ('currency', models.CharField(max_length=3)),
                ('surplus', models.BooleanField(help_text='Whether the order did not ask for this money: it is no part of its total.')),
                ('cause', models.CharField(blank=True, choices=[('operator', 'Operator'), ('cancelled', 'Cancelled'), ('late', 'Late'), ('double', 'Double'), ('wrong_amount', 'Wrong Amount')], help_text='Empty if an earlier release refunded it.', max_length=40)),
                ('at', models.DateTimeField()),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='refunds', to='orders.order')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='order_refund_amount_positive')],
            },
        ),
        migrations.RunPython(record, migrations.RunPython.noop),
    ]
