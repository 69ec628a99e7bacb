
import django.db.models.deletion
import messaging.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='PaymentIntent',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('order_id', models.UUIDField(unique=True)),
                ('amount', models.BigIntegerField(help_text='In minor units, such as pence.')),
                ('currency', models.CharField(max_length=3)),
                ('payment_method', models.CharField(max_length=64)),
                ('email', models.EmailField(blank=True, max_length=254)),
                ('status', models.CharField(choices=[('created', 'Created'), ('processing', 'Processing'), ('unknown', 'Unknown'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='created', max_length=10)),
                ('provider_reference', models.CharField(blank=True, max_length=100)),
                ('withdrawn_at', models.DateTimeField(help_text='When the order stopped wanting this money.', null=True)),
                ('asks', models.PositiveSmallIntegerField(default=0, help_text='How often we had to ask again, or will next.')),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gte', 0)), name='intent_amount_not_negative')],
            },
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('amount', models.BigIntegerField(help_text='In minor units, such as pence.')),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('succeeded', 'Succeeded'), ('failed', 'Failed')], default='pending', max_length=10)),
                ('reason', models.CharField(max_length=100)),
                ('provider_reference', models.CharField(blank=True, max_length=100)),
                ('requested_at', models.DateTimeField()),
                ('settled_at', models.DateTimeField(null=True)),
                ('intent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='payments.paymentintent')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='refund_amount_positive'), models.CheckConstraint(condition=models.Q(models.Q(('settled_at__isnull', True), ('status', 'pending')), models.Q(models.Q(('status', 'pending'), _negated=True), ('settled_at__isnull', False)), _connector='OR'), name='refund_pending_until_settled')],
            },
        ),
    ]
