"""The lines of a Lambda function: what Powertools writes, written in one pass.

Powertools puts each line together anew, as a record may hold an exception, text that is JSON, or
keys of its own. Lines that have arguments and nothing of these, as those of each task, are alike
but for what one format can say; any other is left to Powertools.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.logging.formatter import RESERVED_LOG_ATTRS, LambdaPowertoolsFormatter

from caraway.utils.log import Clocked

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESERVED: Final = frozenset(RESERVED_LOG_ATTRS)
_USUAL: Final = {
    "level": "%(levelname)s",
    "location": "%(funcName)s:%(lineno)d",
    "timestamp": "%(asctime)s",
}
"""What Powertools takes from each record; text that needs no escapes in JSON."""
_OWN: Final = frozenset({"stack_trace", "taskName", "xray_trace_id"})
"""Keys whose value is not the one that was appended, or not always."""
_ATTRIBUTES: Final = len(logging.makeLogRecord({}).__dict__)
"""Attributes of a record that nobody has added any to."""
_TRACE: Final = "_X_AMZN_TRACE_ID"
"""Where Lambda says which trace an invocation is of ("Using Lambda environment variables")."""


class JsonLines(Clocked, LambdaPowertoolsFormatter):
    """Writes records as Powertools does by default; keys are appended and removed as there."""

    _keys: object = None
    _laid_out: tuple[object, str | None] = (object(), None)

    def __init__(self) -> None:
        super().__init__()
        self._json = json.JSONEncoder(default=self.json_default, ensure_ascii=False).encode

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        layout = self._layout()
        if (
            layout is None
            or not record.args
            or record.exc_info
            or isinstance(record.msg, dict)
            or not record.levelname.isalpha()
            or len(record.__dict__) != _ATTRIBUTES
            or self.thread_safe_get_current_keys()
        ):
            return super().format(record)
        line = layout % {
            "levelname": record.levelname,
            "funcName": record.funcName,
            "lineno": record.lineno,
            "asctime": self.formatTime(record),
            "json": self._json(record.getMessage()),
        }
        more = ""
        if (task := getattr(record, "taskName", None)) is not None:  # Python 3.12
            more = f',"taskName":{self._json(task)}'
        if _TRACE in os.environ and (trace := os.environ[_TRACE]):
            root = trace.partition(";")[0].replace("Root=", "")
            more += f',"xray_trace_id":{self._json(root)}'
        return f"{line[:-1]}{more}}}" if more else line

    def append_keys(self, **additional_keys: Any) -> None:
        """Let lines have further keys."""
        super().append_keys(**additional_keys)
        self._keys = object()

    def remove_keys(self, keys: Iterable[str]) -> None:
        """Let lines have some keys no more."""
        super().remove_keys(keys)
        self._keys = object()

    def clear_state(self) -> None:
        """Let lines have Powertools' keys only."""
        super().clear_state()
        self._keys = object()

    def _layout(self) -> str | None:
        """Return the format of lines, None where only Powertools knows it."""
        (keys, layout), now = self._laid_out, self._keys
        if keys is not now:
            layout = self._lay_out()
            self._laid_out = now, layout
        return layout

    def _lay_out(self) -> str | None:
        fields = []
        for key, value in list(self.log_format.items()):
            if key in _OWN:
                return None
            if key == "message":
                text = "%(json)s"
            elif value is None:
                continue
            elif key in _USUAL and value == _USUAL[key]:
                text = f'"{value}"'
            elif key in _RESERVED or not isinstance(value, str | int | float):
                return None
            else:
                text = self._json(value).replace("%", "%%")
            fields.append(f"{self._json(key).replace('%', '%%')}:{text}")
        knows_all = "message" in self.log_format and self.json_indent is None
        return f"{{{','.join(fields)}}}" if knows_all else None


def json_lines() -> JsonLines | None:
    """Return the formatter; None if Powertools, of another version, writes other lines."""
    sample = logging.makeLogRecord(
        {
            "levelname": "INFO",
            "funcName": "sample",
            "lineno": 1,
            "msg": "%s\n%d",
            "args": ("'\"", 1),
        }
    )
    try:
        both = JsonLines(), LambdaPowertoolsFormatter()
        for each in both:
            each.append_keys(service="100 %", sampling_rate=None)
        ours, powertools = (each.format(sample) for each in both)
    except Exception:  # noqa: BLE001 - whatever it is, Powertools writes its lines itself
        return None
    return JsonLines() if ours == powertools else None
