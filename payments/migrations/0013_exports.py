from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0012_gateway_calls'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='paymentintent',
            options={'permissions': (('export_paymentintent', 'Can export payments'),)},
        ),
        migrations.AlterModelOptions(
            name='refund',
            options={'permissions': (('export_refund', 'Can export refunds'),)},
        ),
    ]
