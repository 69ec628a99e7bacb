import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0004_book_what_was_captured'),
    ]

    operations = [
        migrations.AlterField(
            model_name='refund',
            name='capture',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='payments.capture'),
        ),
        migrations.RemoveField(
            model_name='refund',
            name='intent',
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('settled_at__isnull', True), ('status__in', ['pending', 'unknown'])), models.Q(models.Q(('status__in', ['pending', 'unknown']), _negated=True), ('settled_at__isnull', False)), _connector='OR'), name='refund_open_until_settled'),
        ),
    ]
