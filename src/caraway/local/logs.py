"""What workers log, read for a person who watches: the Lambda function, and ``caraway worker``."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    ClientFactory = Callable[[str], Any]

_PLATFORM: Final = ("START RequestId:", "END RequestId:", "REPORT RequestId:", "INIT_START")
"""How Lambda's own lines begin."""
# As worker_log_format and worker_task_log_format begin, and Celery's; others are shown as they are.
_HEAD: Final = re.compile(
    r"\[\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d),\d{3}: ([A-Z]+)/[^\]]*\] (.*)", re.DOTALL
)


@dataclass(frozen=True)
class Record:
    """One thing that was logged.

    Attributes
    ----------
    text
        May have several lines: a traceback belongs to what it explains.
    level
        Such as ``ERROR``; empty for what was merely printed.
    clock
        When, as ``12:34:56`` in this machine's time zone; empty if that is not known.
    """

    text: str
    level: str = ""
    clock: str = ""


class FunctionLog:
    """Reads the log of a function, from now on.

    Parameters
    ----------
    client
        Makes the boto3 client of a service.
    function
        The function's name.
    """

    def __init__(self, client: Callable[[str], Any], function: str) -> None:
        self._logs = client("logs")
        configuration = client("lambda").get_function_configuration(FunctionName=function)
        logging = configuration.get("LoggingConfig") or {}
        self._group = logging.get("LogGroup") or f"/aws/lambda/{function}"
        self._since_ms = int(time.time() * 1000)
        self._seen = Counter[tuple[int, str, str]]()

    def new_records(self) -> list[Record]:
        """Return what was logged since the last call, without Lambda's own lines."""
        try:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=self._group, startTime=self._since_ms
            )
            events = [event for page in pages for event in page["events"]]
        except self._logs.exceptions.ResourceNotFoundException:
            return []  # nothing was logged ever
        return [
            replace(readable(message), clock=_clock(timestamp_ms))
            for timestamp_ms, message in self._fresh(events)
            if not message.startswith(_PLATFORM)
        ]

    def _fresh(self, events: list[dict[str, Any]]) -> list[tuple[int, str]]:
        """Return times and messages of those that the last call did not have.

        Not every engine gives an event an id; so those of the last millisecond are counted.
        """
        seen, self._seen = self._seen, Counter()
        fresh = []
        for event in events:
            key = (event["timestamp"], event["logStreamName"], event["message"])
            self._seen[key] += 1
            if self._seen[key] > seen[key]:
                fresh.append((event["timestamp"], event["message"]))
        if events:
            self._since_ms = max(event["timestamp"] for event in events)
        return fresh


def readable(message: str) -> Record:
    """Return a message of a function's log; of a worker's JSON, what a person reads."""
    try:
        entry = json.loads(message)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or "message" not in entry:
        return Record(message.rstrip())
    text = "\n".join(str(part) for part in (entry["message"], entry.get("exception")) if part)
    return Record(text.rstrip(), str(entry.get("level", "")))


def records_of(lines: Sequence[str]) -> list[Record]:
    """Return what a worker wrote at once; what begins no record belongs to the last one."""
    records: list[Record] = []
    for line in lines:
        if head := _HEAD.fullmatch(line):
            records.append(Record(head[3], head[2], head[1]))
        elif records:
            records[-1] = replace(records[-1], text=f"{records[-1].text}\n{line}")
        else:
            records.append(Record(line))
    return records


def _clock(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000).strftime("%H:%M:%S")
