"""
Texts without contact data: for logs, and for the errors of failed attempts.
"""

import logging
import re

# Begins at the beginning of a word and has a bounded length: a megabyte without blanks takes no longer for that.
WORD = r"[^\s\"'`<>(){}\[\],;:=&?/\\]"
ADDRESS = re.compile(rf"(?<!{WORD}){WORD}{{1,256}}(?:@|%40)[\w-]{{1,63}}(?:\.[\w-]{{1,63}})+")
NUMBER = re.compile(r"(?<![\w.])(?:\+|%2B)[1-9][0-9]{6,14}\b", re.ASCII)
# PostgreSQL adds the row that it rejects. A value in it may have several lines; a traceback goes on after an empty one.
ROW = re.compile(r"^(DETAIL|CONTEXT):.*?(?=^\n(?:The above|During)|\Z)", re.DOTALL | re.MULTILINE)
ROW_IN_ONE_LINE = re.compile(r"\\n(DETAIL|CONTEXT):.*")


def redact(text: str) -> str:
    """
    Return a text without e-mail addresses, phone numbers in E.164 form, and rows in errors of the database.
    """
    text = ROW.sub(r"\1: (withheld)\n", text)
    text = ROW_IN_ONE_LINE.sub(r"\\n\1: (withheld)", text)
    return NUMBER.sub("(number)", ADDRESS.sub("(address)", text))


class RedactingFormatter(logging.Formatter):
    """
    Formats log records, with their tracebacks, without contact data.
    """

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
