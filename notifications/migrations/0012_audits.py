from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0011_preferences"),
    ]

    operations = [
        migrations.AlterField(
            model_name="notification",
            name="kind",
            field=models.CharField(
                choices=[
                    ("order_received", "Order Received"),
                    ("order_confirmed", "Order Confirmed"),
                    ("out_of_stock", "Out Of Stock"),
                    ("payment_failed", "Payment Failed"),
                    ("payment_due_soon", "Payment Due Soon"),
                    ("order_expired", "Order Expired"),
                    ("order_cancelled", "Order Cancelled"),
                    ("payment_refunded", "Payment Refunded"),
                    ("payment_anomaly", "Payment Anomaly"),
                    ("dead_letter", "Dead Letter"),
                    ("cap_reached", "Cap Reached"),
                    ("audit_violation", "Audit Violation"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="preference",
            name="kind",
            field=models.CharField(
                choices=[
                    ("order_received", "Order Received"),
                    ("order_confirmed", "Order Confirmed"),
                    ("out_of_stock", "Out Of Stock"),
                    ("payment_failed", "Payment Failed"),
                    ("payment_due_soon", "Payment Due Soon"),
                    ("order_expired", "Order Expired"),
                    ("order_cancelled", "Order Cancelled"),
                    ("payment_refunded", "Payment Refunded"),
                    ("payment_anomaly", "Payment Anomaly"),
                    ("dead_letter", "Dead Letter"),
                    ("cap_reached", "Cap Reached"),
                    ("audit_violation", "Audit Violation"),
                ],
                max_length=20,
            ),
        ),
    ]
