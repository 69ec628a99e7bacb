"""
Exceptions of the API that Django REST framework lacks.
"""

from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError


class Conflict(APIException):
    """
    The request is right, but not in the state that things are in.
    """

    status_code = status.HTTP_409_CONFLICT


class Unprocessable(APIException):
    """
    The request contradicts an earlier one.
    """

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY


class InvalidHeader(ValidationError):
    """
    It is a header that is at fault.
    """

    place = "header"
