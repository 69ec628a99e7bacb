
import django.db.models.deletion
import messaging.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('subscriber', models.CharField(max_length=100)),
                ('key', models.CharField(max_length=100)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('dead', 'Dead'), ('discarded', 'Discarded')], default='pending', max_length=10)),
                ('due_at', models.DateTimeField()),
                ('delayed', models.BooleanField(default=False, help_text='Published for later: it does not hold its key until it is tried.')),
                ('suspect', models.BooleanField(default=False, help_text='A worker died with it: it is delivered alone.')),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('deferrals', models.PositiveSmallIntegerField(default=0)),
                ('claim_token', models.UUIDField(null=True)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('error_class', models.CharField(blank=True, max_length=200)),
                ('fingerprint', models.CharField(blank=True, help_text='Equal for failures at the same place.', max_length=16)),
            ],
            options={
                'verbose_name_plural': 'deliveries',
            },
        ),
        migrations.CreateModel(
            name='OutboxMessage',
            fields=[
                ('id', models.UUIDField(default=messaging.models.new_id, editable=False, primary_key=True, serialize=False)),
                ('type', models.CharField(max_length=100)),
                ('version', models.PositiveSmallIntegerField()),
                ('key', models.CharField(db_index=True, max_length=100)),
                ('payload', models.TextField()),
                ('correlation_id', models.UUIDField(help_text='The message that began this story.')),
                ('causation_id', models.UUIDField(help_text='The message whose handling published this one.', null=True)),
                ('traceparent', models.CharField(blank=True, help_text='W3C trace context of the first request.', max_length=55)),
                ('published_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('failed_at', models.DateTimeField()),
                ('error_class', models.CharField(max_length=200)),
                ('error', models.TextField()),
                ('traceback', models.TextField(help_text='The end of it, at most 8 KB.')),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='failures', to='messaging.delivery')),
            ],
        ),
        migrations.AddField(
            model_name='delivery',
            name='message',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='messaging.outboxmessage'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('delivered_at', None), ('status', 'pending')), fields=['subscriber', 'due_at'], name='pending_by_due'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('delayed', False), ('status', 'pending')), fields=['subscriber', 'key', 'id'], name='pending_by_key'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status', 'dead')), fields=['subscriber', 'error_class'], name='dead_letters'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('message', 'subscriber'), name='one_delivery_per_subscriber'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('delivered_at__isnull', False), ('status', 'delivered')), models.Q(models.Q(('status', 'delivered'), _negated=True), ('delivered_at__isnull', True)), _connector='OR'), name='delivered_at_its_time'),
        ),
    ]
