import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

application = get_wsgi_application()

from shop.http.parsers import PlainRequest  # noqa: E402  (it needs Django to be set up)

application.request_class = PlainRequest

if settings.RELAY_IN_WEB:
    from messaging import host

    host.start_in_thread()

if settings.SIMULATOR_IN_WEB:
    from payments.simulator import server

    PAYMENTS = settings.PAYMENTS
    server.start_in_thread(
        PAYMENTS["SIMULATOR_URL"],
        PAYMENTS["SIMULATOR_LEDGER"],
        server.Conduct(callback_url=PAYMENTS["CALLBACK_URL"], secrets=PAYMENTS["WEBHOOK_SECRETS"]),
    )
