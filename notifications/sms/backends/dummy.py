"""
The backend of the demo: it sends nothing.
"""

from notifications.sms import SmsMessage

from .base import BaseSmsBackend


class SmsBackend(BaseSmsBackend):
    def send(self, message: SmsMessage) -> str:
        return ""
