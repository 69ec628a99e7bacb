"""
Admin of notifications, read-only.
"""

from django.contrib import admin

from messaging.kernel.admin import ReadOnly, WholeValueSearch, moment

from .models import Notification


@admin.register(Notification)
class NotificationAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = (moment("created_at"), "status", "kind", "recipient", "order_id", moment("accepted_at"), "channel")
    list_filter = ("status", "kind", "channel")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    search_fields = ("order_id", "customer_id", "recipient", "message_id")
    search_help_text = "The whole id of an order, a customer or a message, or a whole e-mail address."
    show_full_result_count = False
