import json
from dataclasses import asdict, replace

import pytest

from notifications import sms as sent
from notifications.sms import get_connection

from .messages import sms


@pytest.fixture
def use(settings):
    """Use one of the backends of this project."""

    def use(name: str, **changes: str) -> None:
        backend = f"notifications.sms.backends.{name}.SmsBackend"
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_backend=backend, **changes)

    return use


def test_memory_keeps_messages(use):
    use("memory")

    with get_connection() as connection:
        assert [connection.send(sms("one")), connection.send(sms("two"))] == ["", ""]

    assert sent.outbox == [sms("one"), sms("two")]


def test_console_prints_messages(use, capsys):
    use("console")

    with get_connection() as connection:
        connection.send(sms())

    assert capsys.readouterr().out == f"SMS to +441134960001: Your order K7Q4-M2XN is paid.\n{'-' * 79}\n"


def test_dummy_sends_nothing(use, capsys):
    use("dummy")

    with get_connection() as connection:
        assert connection.send(sms()) == ""

    assert (sent.outbox, capsys.readouterr().out) == ([], "")


def test_file_appends_messages_for_other_processes(use, tmp_path):
    use("file", sms_file=str(tmp_path / "sms.jsonl"))

    for body in ("one", "zwölf\nStühle"):
        with get_connection() as connection:
            connection.send(sms(body))

    lines = (tmp_path / "sms.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [asdict(sms("one")), asdict(sms("zwölf\nStühle"))]
