
import django.db.models.deletion
import messaging.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('idempotency_key', models.CharField(help_text='One order per customer and key.', max_length=255)),
                ('fingerprint', models.CharField(help_text='Of the request, to tell a repeat from another order.', max_length=64)),
                ('status', models.CharField(choices=[('placed', 'Placed'), ('awaiting_payment', 'Awaiting Payment'), ('confirmed', 'Confirmed'), ('cancelled', 'Cancelled'), ('refunded', 'Refunded')], default='placed', max_length=20)),
                ('cancel_reason', models.CharField(blank=True, choices=[('out_of_stock', 'Out Of Stock'), ('payment_failed', 'Payment Failed'), ('expired', 'Expired'), ('by_customer', 'By Customer'), ('by_operator', 'By Operator')], max_length=20)),
                ('currency', models.CharField(max_length=3)),
                ('total', models.BigIntegerField(help_text='In minor units, such as pence.')),
                ('refunded', models.BigIntegerField(default=0, help_text='In minor units, such as pence.')),
                ('email', models.EmailField(blank=True, max_length=254)),
                ('payment_method', models.CharField(max_length=64)),
                ('placed_at', models.DateTimeField()),
                ('customer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='orders', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='HistoryEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('previous', models.CharField(blank=True, max_length=20)),
                ('status', models.CharField(max_length=20)),
                ('at', models.DateTimeField()),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='history', to='orders.order')),
            ],
            options={
                'verbose_name_plural': 'history entries',
            },
        ),
        migrations.CreateModel(
            name='OrderLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sku', models.CharField(max_length=64)),
                ('name', models.CharField(max_length=200)),
                ('quantity', models.PositiveIntegerField()),
                ('unit_price', models.BigIntegerField(help_text='In minor units, such as pence.')),
                ('order', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='orders.order')),
            ],
        ),
        migrations.CreateModel(
            name='Product',
            fields=[
                ('sku', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('price', models.BigIntegerField(help_text='In minor units, such as pence.')),
                ('sold_out', models.BooleanField(default=True, help_text='Until inventory says that there is some.')),
                ('stock_revision', models.BigIntegerField(default=0, editable=False, help_text="Which of inventory's changes `sold_out` tells of.")),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('price__gte', 0)), name='product_price_not_negative')],
            },
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['customer', '-id'], name='orders_of_a_customer'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.UniqueConstraint(fields=('customer', 'idempotency_key'), name='one_order_per_idempotency_key'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('total__gte', 0)), name='order_total_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('refunded__gte', 0), ('refunded__lte', models.F('total'))), name='order_refunded_within_total'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'cancelled'), models.Q(('cancel_reason', ''), _negated=True)), models.Q(models.Q(('status', 'cancelled'), _negated=True), ('cancel_reason', '')), _connector='OR'), name='order_cancelled_for_a_reason'),
        ),
        migrations.AddConstraint(
            model_name='orderline',
            constraint=models.UniqueConstraint(fields=('order', 'sku', 'unit_price'), name='one_line_per_sku_and_price'),
        ),
        migrations.AddConstraint(
            model_name='orderline',
            constraint=models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='line_quantity_positive'),
        ),
        migrations.AddConstraint(
            model_name='orderline',
            constraint=models.CheckConstraint(condition=models.Q(('unit_price__gte', 0)), name='line_price_not_negative'),
        ),
    ]
