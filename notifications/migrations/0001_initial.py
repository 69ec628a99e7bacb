
import messaging.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Notification',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('message_id', models.UUIDField(help_text='The event that it tells of.')),
                ('order_id', models.UUIDField(db_index=True)),
                ('kind', models.CharField(choices=[('order_confirmed', 'Order Confirmed'), ('order_cancelled', 'Order Cancelled'), ('payment_due_soon', 'Payment Due Soon'), ('payment_refunded', 'Payment Refunded')], max_length=20)),
                ('channel', models.CharField(choices=[('email', 'Email')], default='email', max_length=10)),
                ('recipient', models.EmailField(blank=True, max_length=254)),
                ('status', models.CharField(choices=[('sending', 'Sending'), ('accepted', 'Accepted'), ('suppressed', 'Suppressed')], default='sending', max_length=10)),
                ('subject', models.CharField(max_length=200)),
                ('body', models.TextField()),
                ('created_at', models.DateTimeField()),
                ('accepted_at', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('message_id', 'channel', 'recipient'), name='one_notification_per_message_and_recipient')],
            },
        ),
    ]
