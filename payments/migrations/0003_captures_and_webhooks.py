import django.db.models.deletion
import messaging.models
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0002_customer_id'),
    ]

    operations = [
        migrations.CreateModel(
            name='Capture',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('reference', models.CharField(blank=True, help_text="The gateway's own name for it.", max_length=100)),
                ('amount', models.BigIntegerField(help_text='In minor units, such as pence.')),
                ('currency', models.CharField(max_length=3)),
                ('surplus', models.BooleanField(default=False, help_text='Not what the order asked for: it came twice, or wrong.')),
                ('returned', models.BigIntegerField(default=0, help_text='Of it, what went back or is on its way, in minor units.')),
                ('captured_at', models.DateTimeField(help_text='When we learned of it.')),
            ],
        ),
        migrations.CreateModel(
            name='WebhookEvent',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('event_id', models.CharField(help_text="The gateway's.", max_length=255, unique=True)),
                ('body', models.BinaryField()),
                ('fingerprint', models.CharField(max_length=64)),
                ('conflicts', models.PositiveIntegerField(default=0, help_text='How often something else came under this id.')),
                ('charge_key', models.CharField(max_length=100)),
                ('order_id', models.UUIDField(null=True)),
                ('reference', models.CharField(blank=True, max_length=100)),
                ('outcome', models.CharField(help_text='As claimed.', max_length=10)),
                ('amount', models.BigIntegerField(help_text='As claimed, in minor units.')),
                ('currency', models.CharField(help_text='As claimed.', max_length=3)),
                ('status', models.CharField(choices=[('received', 'Received'), ('parked', 'Parked'), ('disputed', 'Disputed'), ('settled', 'Settled')], default='received', max_length=10)),
                ('received_at', models.DateTimeField()),
                ('settled_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='refund',
            name='refund_pending_until_settled',
        ),
        # Without it, this could not be taken back.
        migrations.AlterField(
            model_name='refund',
            name='intent',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='payments.paymentintent'),
        ),
        migrations.AddField(
            model_name='paymentintent',
            name='failure_reason',
            field=models.CharField(blank=True, help_text="In the gateway's word.", max_length=100),
        ),
        migrations.AddField(
            model_name='paymentintent',
            name='gateway',
            field=models.CharField(blank=True, help_text='The adapter by which it was opened.', max_length=200),
        ),
        migrations.AddField(
            model_name='paymentintent',
            name='page',
            field=models.CharField(blank=True, help_text='Where the customer may still agree to pay.', max_length=500),
        ),
        migrations.AddField(
            model_name='refund',
            name='failure_reason',
            field=models.CharField(blank=True, help_text="In the gateway's word.", max_length=100),
        ),
        migrations.AlterField(
            model_name='refund',
            name='status',
            field=models.CharField(choices=[('pending', 'Pending'), ('unknown', 'Unknown'), ('succeeded', 'Succeeded'), ('failed', 'Failed')], default='pending', max_length=10),
        ),
        migrations.AddField(
            model_name='capture',
            name='intent',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='captures', to='payments.paymentintent'),
        ),
        migrations.AddField(
            model_name='refund',
            name='capture',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='payments.capture'),
        ),
        migrations.AddIndex(
            model_name='webhookevent',
            index=models.Index(fields=['charge_key'], name='webhooks_of_a_charge'),
        ),
        migrations.AddIndex(
            model_name='webhookevent',
            index=models.Index(fields=['order_id'], name='webhooks_of_an_order'),
        ),
        migrations.AddConstraint(
            model_name='capture',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='capture_amount_positive'),
        ),
        migrations.AddConstraint(
            model_name='capture',
            constraint=models.CheckConstraint(condition=models.Q(('returned__gte', 0), ('returned__lte', models.F('amount'))), name='returned_within_capture'),
        ),
        migrations.AddConstraint(
            model_name='capture',
            constraint=models.UniqueConstraint(fields=('intent', 'reference'), name='one_capture_per_movement'),
        ),
        migrations.AddConstraint(
            model_name='capture',
            constraint=models.UniqueConstraint(condition=models.Q(('surplus', False)), fields=('intent',), name='one_capture_per_order'),
        ),
    ]
