"""
Delivery receipts as Twilio sends and signs them.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence

from .twilio_server import TOKEN

RECEIPTS = "/api/v1/webhooks/sms/"


def receipt_of(reference: str, *, sid: str = "SM1", **fields: str) -> tuple[str, dict[str, list[str]]]:
    """
    Return the URL that Twilio calls about a notification, and the form that it sends.
    """
    form = {"MessageSid": sid, "SmsSid": sid, "To": "+441134960001", "From": "+441134960999"} | fields
    return f"https://shop.example{RECEIPTS}?notification={reference}", {name: [form[name]] for name in form}


def signature_of(url: str, form: Mapping[str, Sequence[str]]) -> str:
    text = url + "".join(name + form[name][0] for name in sorted(form))
    return b64encode(hmac.digest(TOKEN.encode(), text.encode(), "sha1")).decode()
