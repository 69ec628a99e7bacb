
import django.db.models.deletion
import messaging.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('order_id', models.UUIDField(unique=True)),
                ('status', models.CharField(choices=[('held', 'Held'), ('committed', 'Committed'), ('released', 'Released')], default='held', max_length=10)),
                ('created_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', True), ('status', 'held')), models.Q(models.Q(('status', 'held'), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='reservation_held_until_it_ends')],
            },
        ),
        migrations.CreateModel(
            name='StockItem',
            fields=[
                ('sku', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('on_hand', models.BigIntegerField(default=0, help_text='In the warehouse, promised or not.')),
                ('reserved', models.BigIntegerField(default=0, help_text='Promised to orders that are not confirmed yet.')),
                ('revision', models.BigIntegerField(default=0, help_text='How often it ran out or came back.')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('reserved__gte', 0)), name='reserved_not_negative'), models.CheckConstraint(condition=models.Q(('on_hand__gte', models.F('reserved'))), name='promised_within_on_hand')],
            },
        ),
        migrations.CreateModel(
            name='StockMovement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sku', models.CharField(max_length=64)),
                ('kind', models.CharField(choices=[('opening', 'Opening'), ('received', 'Received'), ('withdrawn', 'Withdrawn'), ('shipped', 'Shipped')], max_length=10)),
                ('quantity', models.BigIntegerField(help_text='What it adds to the stock on hand; negative for what leaves.')),
                ('order_id', models.UUIDField(null=True)),
                ('at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('kind', 'shipped')), fields=('order_id', 'sku'), name='shipped_once_per_order_and_sku'), models.UniqueConstraint(condition=models.Q(('kind', 'opening')), fields=('sku',), name='opened_once'), models.CheckConstraint(condition=models.Q(models.Q(('kind__in', ['shipped', 'withdrawn']), ('quantity__lt', 0)), models.Q(('kind__in', ['opening', 'received']), ('quantity__gt', 0)), _connector='OR'), name='movement_in_its_direction'), models.CheckConstraint(condition=models.Q(models.Q(('kind', 'shipped'), ('order_id__isnull', False)), models.Q(models.Q(('kind', 'shipped'), _negated=True), ('order_id__isnull', True)), _connector='OR'), name='shipped_for_an_order')],
            },
        ),
        migrations.CreateModel(
            name='ReservationLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sku', models.CharField(max_length=64)),
                ('quantity', models.PositiveIntegerField()),
                ('reservation', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='inventory.reservation')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('reservation', 'sku'), name='one_reservation_line_per_sku'), models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='reserved_quantity_positive')],
            },
        ),
    ]
