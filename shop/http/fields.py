"""
What the API reads: fields that take JSON at its word, each with one code for whatever is wrong with its value.
"""

import re
from functools import cache
from typing import Any, NoReturn

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ParseError, ValidationError
from rest_framework.request import Request

E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


class Input(serializers.Serializer[Any]):
    """
    A body, or a part of one, that has the fields it declares and no other.
    """

    code = "invalid_field"
    """What is wrong when it is no object at all."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """
        Read the request's body.

        :raises ParseError: if it is no JSON object.
        :raises ValidationError: if it is another object than this one.
        """
        data = request.data
        if not data and not request.META.get("CONTENT_LENGTH", "").strip("0"):
            raise ParseError("The body is empty.", code="malformed_json")
        return cls.check(data)

    @classmethod
    def check(cls, data: Any) -> dict[str, Any]:
        """
        Take these values, if they are right.

        :raises ValidationError: if they are not.
        """
        checked: dict[str, Any] = _made_once(cls).run_validation(data)
        return checked

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            self.fail("null")
        if strangers := {_step_to(name): _unknown(name) for name in data if name not in self.fields}:
            raise ValidationError(strangers)
        return super().to_internal_value(data)

    def fail(self, key: str, **values: Any) -> NoReturn:
        raise ValidationError([ErrorDetail("This is no object.", code=self.code)])


class _OneCode(serializers.Field):  # type: ignore[type-arg]
    """
    A field whose faults share a code, whatever they are.
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
    An integer as JSON writes it: neither a text nor 1.0, which a reader may take for something else.
    """

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class Text(_OneCode, serializers.CharField):
    """
    A text that is one in JSON, taken as it is: neither a number nor trimmed.
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
    One of a few words.
    """


class EmailText(_OneCode, serializers.EmailField):
    """
    One plain address, which any mail server takes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, max_length=254, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        # A quoted name may hold a second address or control characters, brackets an address inside our own network.
        if not isinstance(data, str) or not data.isascii() or {'"', "["} & set(data):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class PhoneText(Text):
    """
    A phone number in E.164 form.
    """

    default_error_messages = {"invalid": "Write the number as +441134960000: E.164, without blanks."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or (data and not E164.fullmatch(data)):
            self.fail("invalid")
        return data


class Rows(_OneCode, serializers.ListField):
    """
    A list of objects.
    """


def _unknown(name: str) -> list[ErrorDetail]:
    return [ErrorDetail(f"{name[:80]}: Nobody asked for this field.", code="unknown_field")]


def _step_to(name: str) -> str:
    """
    Write a member's name as a step of a JSON pointer (RFC 6901).
    """
    return name.replace("~", "~0").replace("/", "~1")


@cache
def _made_once(kind: type[Input]) -> Input:
    """
    Make a checker of this kind. It keeps nothing of what it checks, and its fields cost more to make than to use.
    """
    return kind()
