import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

settings.OPERATOR.refuse("serve")

application = get_wsgi_application()

from shop.http.parsers import PlainRequest  # noqa: E402  (Django has to be set up before)

application.request_class = PlainRequest

if settings.MESSAGING.relay_in_web:
    from messaging import host

    host.start_in_thread()

if settings.PAYMENTS.simulator_in_web and settings.PAYMENTS.uses_simulator:
    from payments.simulator import server

    server.start_in_thread(
        settings.PAYMENTS.simulator_url,
        settings.PAYMENTS.simulator_ledger,
        server.SimulatorConfig(
            callback_url=settings.PAYMENTS.simulator_callback_url, secrets=settings.PAYMENTS.webhook_secrets
        ),
    )
