from django.contrib import admin

from .models import Attempt, Delivery, OutboxMessage

admin.site.register([OutboxMessage, Delivery, Attempt])
