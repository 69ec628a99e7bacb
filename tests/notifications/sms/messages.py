from notifications.sms import SmsMessage


def sms(body: str = "Your order K7Q4-M2XN is paid.", **changes: object) -> SmsMessage:
    """Return a message to Ada, with these changes."""
    fields = {"to": "+441134960001", "body": body, "reference": "0199a5c0", "valid_seconds": 3600}
    return SmsMessage(**fields | changes)
