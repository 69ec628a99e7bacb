# One image for every program of the shop: web server (the default), workers, receiver, payment simulator, commands.
# See docs/how-to/containers.md. BuildKit is not needed.

FROM python:3.13.7-slim-trixie AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/shop
RUN python -m venv /srv/venv
COPY requirements*.lock ./
RUN /srv/venv/bin/pip install --require-hashes \
    -r requirements-stripe.lock -r requirements-sentry.lock -r requirements-otlp.lock \
    -r requirements-amqp.lock -r requirements-kafka.lock
COPY . .
# DEBUG is off for the names with hashes. The other values are valid, and of no use to anyone.
RUN DEBUG=off ALLOWED_HOSTS=shop.example SECRET_KEY=only-for-collecting-the-static-files \
    PAYMENT_GATEWAY=payments.gateway.adapters.instant.InstantGateway \
    DATABASE_URL=sqlite://:memory: /srv/venv/bin/python manage.py collectstatic --no-input \
    && /srv/venv/bin/python -m compileall -q /srv/shop


FROM python:3.13.7-slim-trixie

# Only `data` is writable: for the ledger of the payment simulator. The shop's own data is in PostgreSQL.
RUN useradd --uid 10001 --home-dir /srv/shop --no-create-home --shell /usr/sbin/nologin shop \
    && install --directory --owner=shop /srv/shop/data
COPY --from=build /srv/venv /srv/venv
COPY --from=build /srv/shop /srv/shop

ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DEBUG=off PAYMENT_SIMULATOR_LEDGER=/srv/shop/data/payment_simulator.sqlite3
WORKDIR /srv/shop
USER 10001
EXPOSE 8000

# Of the web server; the other programs serve nothing at this port, and compose.yaml says how they are checked.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["gunicorn", "shop.wsgi", "--bind", "0.0.0.0:8000", \
    "--worker-class", "shop.server.gunicorn_worker.BufferingThreadWorker", "--workers", "2", "--threads", "8", \
    "--worker-connections", "500", "--forwarder-headers", "", "--no-control-socket"]
