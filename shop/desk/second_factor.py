"""
The second factor of those who use the admin, by django-otp: the codes of an authenticator app (TOTP, RFC 6238), and
backup codes that are valid once.
"""

from base64 import b32encode
from typing import cast

import django_otp
import segno
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from shop.http.throttling import ADDRESS_FAILURES, USERNAME_FAILURES, client_address

BACKUP_CODES = 10
SATISFIED_USER = "_second_factor_satisfied_user"
"""The attribute of a request with the id of the user for whom `is_satisfied` has returned true; never for false."""

WRONG = "The code is wrong, was used, or is no longer valid."


def is_satisfied(request: HttpRequest) -> bool:
    """
    Return whether the user of a request has proven the second factor in this session, or needs none. One statement, and
    none when asked again: a page of the admin asks for its view and for its header.
    """
    attributes = vars(request)
    if SATISFIED_USER in attributes and attributes[SATISFIED_USER] == request.user.pk:
        return True
    if satisfied := _is_satisfied(request):
        attributes[SATISFIED_USER] = request.user.pk
    return satisfied


def _is_satisfied(request: HttpRequest) -> bool:
    if device := _device_of_session(request):
        return bool(device.user_id == request.user.pk and device.confirmed)
    return not (settings.ACCOUNTS.second_factor_required or is_enrolled(cast("User", request.user)))


def is_enrolled(user: User) -> bool:
    """
    Return whether a user has a second factor.
    """
    return bool(TOTPDevice.objects.devices_for_user(user, confirmed=True).exists())


def device_to_confirm(user: User) -> TOTPDevice:
    """
    Return the authenticator that a user is setting up. Its key stays the same until it is confirmed.
    """
    device, _ = TOTPDevice.objects.get_or_create(user=user, confirmed=False, defaults={"name": "authenticator"})
    return device


def qr_code(device: TOTPDevice) -> str:
    """
    Return the QR code that authenticator apps scan, as an SVG element without inline styles.
    """
    return str(segno.make(device.config_url, micro=False).svg_inline(scale=5, light="#fff"))


def secret_of(device: TOTPDevice) -> str:
    """
    Return the key of an authenticator in base32, in groups of four, as people type it.
    """
    text = b32encode(device.bin_key).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def enrol(request: HttpRequest, device: TOTPDevice, code: str) -> list[str]:
    """
    Confirm an authenticator by one of its codes, and return new backup codes, which are shown once.

    :raises ValidationError: if the code is wrong.
    :raises Throttled: if too many codes or passwords were wrong.
    """
    _verify(request, device, code)
    with transaction.atomic():
        TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
        codes = replace_backup_codes(cast("User", request.user))
    django_otp.login(request, device)
    return codes


def prove(request: HttpRequest, code: str) -> None:
    """
    Prove the second factor for this session, by a code of the authenticator or a backup code.

    :raises ValidationError: if the code is wrong.
    :raises Throttled: if too many codes or passwords were wrong.
    """
    kind = TOTPDevice if code.isdecimal() else StaticDevice
    device = kind.objects.devices_for_user(request.user, confirmed=True).first()
    _verify(request, device, code)
    request.session.cycle_key()
    django_otp.login(request, device)


@transaction.atomic
def replace_backup_codes(user: User) -> list[str]:
    """
    Replace the backup codes of a user, and return the new ones.
    """
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="backup codes")
    codes = [StaticToken.random_token() for _ in range(BACKUP_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


@transaction.atomic
def remove(user: User) -> int:
    """
    Remove the second factor of a user, and return how many authenticators it had. No session has proven it any more.
    """
    StaticDevice.objects.filter(user=user).delete()
    _, deleted = TOTPDevice.objects.filter(user=user).delete()
    return int(deleted.get(TOTPDevice._meta.label, 0))


def _device_of_session(request: HttpRequest) -> Device | None:
    id_ = request.session.get(django_otp.DEVICE_ID_SESSION_KEY)
    return Device.from_persistent_id(id_) if id_ else None


def _verify(request: HttpRequest, device: Device | None, code: str) -> None:
    """
    Use up a code of a device. A wrong one counts as a wrong password of the user, and of the client's address.
    """
    username, address = request.user.get_username(), client_address(request)
    USERNAME_FAILURES.check(username)
    ADDRESS_FAILURES.check(address)
    if device is None or not django_otp.verify_token(request.user, device.persistent_id, code):
        USERNAME_FAILURES.record(username)
        ADDRESS_FAILURES.record(address)
        raise ValidationError(WRONG)
