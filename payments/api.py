"""
The payments of the customer who asks, and what of them went back.
"""

from django.db.models import Prefetch, QuerySet
from rest_framework import serializers, viewsets

from .models import PaymentIntent, Refund


class RefundOutput(serializers.ModelSerializer[Refund]):
    class Meta:
        model = Refund
        fields = ("id", "amount", "status", "reason", "requested_at", "settled_at")


class PaymentOutput(serializers.ModelSerializer[PaymentIntent]):
    url = serializers.HyperlinkedIdentityField(view_name="payments:payment-detail")
    refunds = RefundOutput(many=True, read_only=True)

    class Meta:
        model = PaymentIntent
        fields = ("url", "id", "order_id", "amount", "currency", "status", "created_at", "refunds")


class PaymentViewSet(viewsets.ReadOnlyModelViewSet[PaymentIntent]):
    """
    Your payments, one for each order whose stock was there. Amounts are in minor units, such as pence.
    """

    serializer_class = PaymentOutput
    filterset_fields = ("order_id", "status")
    pages = {"list": "payments/payments.html"}

    def get_queryset(self) -> QuerySet[PaymentIntent]:
        mine = PaymentIntent.objects.filter(customer_id=str(self.request.user.pk))
        return mine.prefetch_related(Prefetch("refunds", Refund.objects.order_by("id")))
