"""
Texts without contact data and secrets: for logs, and for the errors of failed attempts.
"""

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime

# Begins at the beginning of a word and has a bounded length: a megabyte without blanks takes no longer for that.
WORD = r"[^\s\"'`<>(){}\[\],;:=&?/\\]"
ADDRESS = re.compile(rf"(?<!{WORD}){WORD}{{1,256}}(?:@|%40)[\w-]{{1,63}}(?:\.[\w-]{{1,63}})+")
NUMBER = re.compile(r"(?<![\w.])(?:\+|%2B)[1-9][0-9]{6,14}\b", re.ASCII)
PASSWORD = re.compile(r"(?<=://)([^\s/:@]{0,256}):[^\s/@]{1,256}@")
# Tokens of the shop and of links in its mails, webhook secrets, and keys of Stripe.
SECRET = re.compile(r"\b((?:shop|link)_(?=[0-9a-f]{32})|whsec_|[rs]k_(?:live|test)_)[\w+/=-]+", re.ASCII)
# Its link switches a notification off, without a login.
UNSUBSCRIPTION = re.compile(r"(?<=/unsubscribe/)[\w:.=-]+", re.ASCII)
# PostgreSQL adds the row that it rejects. A value in it may have several lines; a traceback goes on after an empty one.
ROW = re.compile(r"^(DETAIL|CONTEXT):.*?(?=^\n(?:The above|During)|\Z)", re.DOTALL | re.MULTILINE)
ROW_IN_ONE_LINE = re.compile(r"\\n(DETAIL|CONTEXT):.*")


def redact(text: str) -> str:
    """
    Return a text without e-mail addresses, phone numbers in E.164 form, rows in errors of the database, passwords in
    URLs, tokens of links to unsubscribe, and secrets that are recognised by their prefix.
    """
    text = ROW.sub(r"\1: (withheld)\n", text)
    text = ROW_IN_ONE_LINE.sub(r"\\n\1: (withheld)", text)
    text = UNSUBSCRIPTION.sub("(secret)", PASSWORD.sub(r"\1:(secret)@", text))
    text = SECRET.sub(r"\1(secret)", text)
    return NUMBER.sub("(number)", ADDRESS.sub("(address)", text))


class RedactingFormatter(logging.Formatter):
    """
    Formats log records, with their tracebacks, without contact data and secrets.
    """

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """
    Formats log records as JSON objects, one in a line, without contact data and secrets. Each has `time`, `level`,
    `logger`, `process` and `message`; those of `IDS` that are known; and `exception` with its traceback, if there is
    one.
    """

    IDS = ("request_id", "trace_id", "message_ids", "message_keys")

    def format(self, record: logging.LogRecord) -> str:
        # Redacted before it is encoded: what is cut from a line of JSON might be its end.
        line = {name: _redacted(value) for name, value in self._fields(record)}
        return json.dumps(line)  # escapes all but ASCII: also surrogates, which no stream can encode

    def _fields(self, record: logging.LogRecord) -> Iterator[tuple[str, object]]:
        yield "time", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        yield "level", record.levelname
        yield "logger", record.name
        yield "process", record.process
        yield "message", record.getMessage()
        yield from ((name, value) for name in self.IDS if (value := getattr(record, name, None)) and value != "-")
        if record.exc_info or record.exc_text:
            yield "exception", record.exc_text or self.formatException(record.exc_info or (None, None, None))
        if record.stack_info:
            yield "stack", self.formatStack(record.stack_info)


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    return [_redacted(each) for each in value] if isinstance(value, list) else value
