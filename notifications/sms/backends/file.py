"""
A backend that appends messages to the file SMS_FILE, one JSON object a line. Other processes can read what was sent.
"""

import json
from dataclasses import asdict
from pathlib import Path

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder

from notifications.sms import SmsMessage

from .base import BaseSmsBackend


class SmsBackend(BaseSmsBackend):
    def send(self, message: SmsMessage) -> str:
        line = json.dumps(asdict(message), cls=DjangoJSONEncoder, ensure_ascii=False)
        # One unbuffered write in append mode: lines of several processes do not mix.
        with Path(settings.NOTIFICATIONS.sms_file).open("ab", buffering=0) as file:
            file.write(f"{line}\n".encode())
        return ""
