"""
Every command of docs/how-to/runbook.md runs, on a shop with a dead letter.
"""

import re
import shlex
from urllib.request import urlopen

import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.utils import timezone

from messaging.models import Delivery, OperatorPause, Worker
from tests.factories import make_stock, place_order

pytestmark = pytest.mark.django_db(transaction=True)

RUNBOOK = (project.BASE_DIR / "docs/how-to/runbook.md").read_text(encoding="utf-8")
COMMANDS = list(dict.fromkeys(line.strip() for line in re.findall(r"^ {4,}(\S.*)$", RUNBOOK, re.MULTILINE)))
STATUSES = {"outbox_status": {0, 1}, "audit": {0, 2}, "reconcile_payments": {0, 1}}
"""Exit statuses by which commands say what they have found; others succeed."""


@pytest.fixture
def order(drain, ledger):
    """
    An order whose mails are dead letters of a paused subscriber, and an event of it that no broker took.
    """
    make_stock()
    order = place_order()
    drain()
    mails = Delivery.objects.filter(subscriber="notifications.send_email")
    mails.update(status="dead", delivered_at=None)
    message_id, now = mails.values_list("message_id", flat=True)[0], timezone.now()
    Delivery.objects.create(message_id=message_id, subscriber="messaging.transport", status="dead", due_at=now)
    pause = {"reason": "its template is being repaired", "paused_by": "olga", "paused_at": now}
    OperatorPause.objects.create(subscriber="notifications.send_email", **pause)
    Worker.objects.create(host="shop.example", process=4711, started_at=now)
    return order


def status_of(command: str, *arguments: str) -> int:
    try:
        call_command(command, *arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("python manage.py ")])
def test_the_command_runs(line, order, drain):
    _, _, command, *arguments = shlex.split(line)
    if "ask-gateway" in arguments:
        order = place_order(payment_method="tok_pending")
        drain()
    names = {"ORDER": order.number, "WORKER": str(Worker.objects.latest("number").number)}
    arguments = [names.get(argument, argument) for argument in arguments]

    assert status_of(command, *arguments) in STATUSES.get(command, {0})


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("curl ")])
def test_the_request_is_answered(line, live_server, worker):
    program, option, url = shlex.split(line)
    path = url.removeprefix("http://127.0.0.1:8000")

    with urlopen(f"{live_server.url}{path}", timeout=20) as answer:
        assert (program, option, answer.status) == ("curl", "-s", 200)
        assert answer.read()


def test_there_is_no_other_command():
    assert [line for line in COMMANDS if not line.startswith(("python manage.py ", "curl -s "))] == []
    assert len(COMMANDS) > 10


def test_each_alert_has_a_command():
    sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]

    without = [section.partition("\n")[0] for section in sections if not re.search(r"^ {4,}\S", section, re.MULTILINE)]

    assert without == []
