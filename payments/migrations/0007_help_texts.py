from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0006_reconcile_hourly'),
    ]

    operations = [
        migrations.AlterField(
            model_name='capture',
            name='captured_at',
            field=models.DateTimeField(help_text='When it was recorded.'),
        ),
        migrations.AlterField(
            model_name='capture',
            name='reference',
            field=models.CharField(blank=True, help_text="The gateway's id.", max_length=100),
        ),
        migrations.AlterField(
            model_name='capture',
            name='returned',
            field=models.BigIntegerField(default=0, help_text='Refunded or being refunded, in minor units.'),
        ),
        migrations.AlterField(
            model_name='capture',
            name='surplus',
            field=models.BooleanField(default=False, help_text='Not what the order requested: a duplicate, or another amount.'),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='asks',
            field=models.PositiveSmallIntegerField(default=0, help_text='Repeated queries to the gateway, made or scheduled.'),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='customer_id',
            field=models.CharField(blank=True, help_text='Empty if an earlier release placed the order.', max_length=64),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='failure_reason',
            field=models.CharField(blank=True, help_text="The gateway's code for the failure.", max_length=100),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='gateway',
            field=models.CharField(blank=True, help_text='The dotted path of the adapter that opened it.', max_length=200),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='page',
            field=models.CharField(blank=True, help_text='The address where the customer may still authorize the payment.', max_length=500),
        ),
        migrations.AlterField(
            model_name='paymentintent',
            name='withdrawn_at',
            field=models.DateTimeField(help_text='When the order no longer needed the payment.', null=True),
        ),
        migrations.AlterField(
            model_name='refund',
            name='failure_reason',
            field=models.CharField(blank=True, help_text="The gateway's code for the failure.", max_length=100),
        ),
        migrations.AlterField(
            model_name='refund',
            name='reason',
            field=models.CharField(help_text='Shown to the customer.', max_length=100),
        ),
        migrations.AlterField(
            model_name='webhookevent',
            name='amount',
            field=models.BigIntegerField(help_text='As the webhook claims, in minor units.'),
        ),
        migrations.AlterField(
            model_name='webhookevent',
            name='conflicts',
            field=models.PositiveIntegerField(default=0, help_text='Later webhooks with this id and other content.'),
        ),
        migrations.AlterField(
            model_name='webhookevent',
            name='currency',
            field=models.CharField(help_text='As the webhook claims.', max_length=3),
        ),
        migrations.AlterField(
            model_name='webhookevent',
            name='event_id',
            field=models.CharField(help_text="The gateway's id.", max_length=255, unique=True),
        ),
        migrations.AlterField(
            model_name='webhookevent',
            name='outcome',
            field=models.CharField(help_text='As the webhook claims.', max_length=10),
        ),
    ]
