from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('messaging', '0009_deliveries_by_their_end'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='delivery',
            options={'permissions': (('export_delivery', 'Can export deliveries'),), 'verbose_name_plural': 'deliveries'},
        ),
    ]
