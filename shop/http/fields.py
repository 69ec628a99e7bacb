"""
Serializers and fields of request bodies: strict about JSON types, with one error code per field.
"""

import re
from functools import cache
from typing import Any, NoReturn

from django.utils.translation import get_language, gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ParseError, ValidationError
from rest_framework.request import Request

INFORMAL_IN_GERMAN = (
    gettext_noop("Ensure this value is greater than or equal to {min_value}."),
    gettext_noop("Ensure this value is less than or equal to {max_value}."),
    gettext_noop("Ensure this field has no more than {max_length} characters."),
    gettext_noop("Enter a valid email address."),
)
"""Texts of Django REST framework, which the shop translates itself: customers are addressed as "Sie"."""

E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


class Input(serializers.Serializer[Any]):
    """
    A request body, or an object within one, with the declared fields and no others.
    """

    code = "invalid_field"
    """The error code of a value that is not an object."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """
        Return the validated values of the request's body.

        :raises ParseError: if the body is not a JSON object.
        :raises ValidationError: if it is invalid.
        """
        data = request.data
        if not data and not request.META.get("CONTENT_LENGTH", "").strip("0"):
            raise ParseError("The body is empty.", code="malformed_json")
        return cls.check(data)

    @classmethod
    def check(cls, data: Any) -> dict[str, Any]:
        """
        Return the validated values.

        :raises ValidationError: if they are invalid.
        """
        values: dict[str, Any] = _instance_of(cls, get_language()).run_validation(data)
        return values

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            self.fail("null")
        if unknown := {_pointer_step(name): _unknown(name) for name in data if name not in self.fields}:
            raise ValidationError(unknown)
        return super().to_internal_value(data)

    def fail(self, key: str, **values: Any) -> NoReturn:
        raise ValidationError([ErrorDetail(gettext("This is not an object."), code=self.code)])


class _OneCode(serializers.Field):  # type: ignore[type-arg]
    """
    A field with one error code.
    """

    def __init__(self, *, code: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.code = code

    def fail(self, key: str, **values: Any) -> NoReturn:
        raise ValidationError(f"{self.field_name}: {self.error_messages[key].format(**values)}", code=self.code)

    def run_validators(self, value: Any) -> None:
        try:
            super().run_validators(value)
        except ValidationError as error:
            detail, *_ = error.detail
            raise ValidationError(f"{self.field_name}: {detail}", code=self.code) from None


class WholeNumber(_OneCode, serializers.IntegerField):
    """
    A JSON integer: neither a string nor 1.0.
    """

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class Text(_OneCode, serializers.CharField):
    """
    A JSON string, not trimmed.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if not (self.allow_blank or data.strip()):
            self.fail("blank")
        return str(super().to_internal_value(data))


class Choice(_OneCode, serializers.ChoiceField):
    """
    One of several strings.
    """


class Flag(_OneCode, serializers.BooleanField):
    """
    A JSON boolean: neither a string nor a number.
    """

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class EmailText(_OneCode, serializers.EmailField):
    """
    A plain e-mail address.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, max_length=254, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        # A quoted name may contain a second address or control characters, brackets an address of our own network.
        if not isinstance(data, str) or not data.isascii() or {'"', "["} & set(data):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class PhoneText(Text):
    """
    A phone number in E.164 format.
    """

    default_error_messages = {"invalid": _("Use E.164 format without spaces, such as +441134960000.")}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or (data and not E164.fullmatch(data)):
            self.fail("invalid")
        return data


class Rows(_OneCode, serializers.ListField):
    """
    A list of objects.
    """


def _unknown(name: str) -> list[ErrorDetail]:
    detail = gettext("Unknown field.")
    return [ErrorDetail(f"{name[:80]}: {detail}", code="unknown_field")]


def _pointer_step(name: str) -> str:
    """
    Return the name of a member as a step of a JSON pointer (RFC 6901).
    """
    return name.replace("~", "~0").replace("/", "~1")


@cache
def _instance_of(serializer: type[Input], language: str | None) -> Input:
    """
    Return a shared instance, which keeps no state of a validation but the language of its messages, in which Django
    REST framework formats each once: its fields cost more to create than to use.
    """
    return serializer()
