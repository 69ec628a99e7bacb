from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from knox.models import AuthToken
from rest_framework import status
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response


class Tokens(GenericAPIView):
    """
    Exchanges a username and a password for a token, to be sent as `Authorization: Token …`.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    serializer_class = AuthTokenSerializer

    def post(self, request: Request) -> Response:
        credentials = self.get_serializer(data=request.data)
        credentials.is_valid(raise_exception=True)
        stored, token = AuthToken.objects.create(user=credentials.validated_data["user"])
        return Response({"token": token, "expires_at": stored.expiry}, status=status.HTTP_201_CREATED)


def healthz(request: HttpRequest) -> HttpResponse:
    """
    Answer 200 while this process can serve: it runs and reaches its database.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return HttpResponse("database out of reach\n", content_type="text/plain", status=503)
    return HttpResponse("ok\n", content_type="text/plain")
