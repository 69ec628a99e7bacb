"""
The user of the shell, and the record of what commands change: the admin's log, which names operators likewise.
"""

from collections.abc import Sequence
from getpass import getuser

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db.models import Model

from messaging.kernel.redaction import redact

ACCOUNT = "(shell)"
"""The account to which the log ascribes commands. It cannot log in, and no customer can have this name."""


def shell_user() -> str:
    """
    Return who runs this command, such as "root (shell)".
    """
    try:
        return f"{getuser()} (shell)"
    except (OSError, KeyError):  # the user has no name
        return "shell"


def log_from_shell(rows: Sequence[Model], done: str, reason: str = "") -> None:
    """
    Record for each of these rows what a command did, who ran it and why.

    :param done: a sentence, such as "Replayed as a dead letter."
    """
    if rows:
        without_login = {"is_active": False, "password": make_password(None)}
        account, _ = User.objects.get_or_create(username=ACCOUNT, defaults=without_login)
        why = f" Reason: {redact(reason.strip())}" if reason.strip() else ""
        LogEntry.objects.log_actions(account.pk, rows, CHANGE, f"{shell_user()}: {done}{why}")
