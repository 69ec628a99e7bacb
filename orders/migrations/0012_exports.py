from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0011_pictures_and_few_left'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='order',
            options={'permissions': (('export_order', 'Can export orders'),)},
        ),
    ]
