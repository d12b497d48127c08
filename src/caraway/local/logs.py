"""What a Lambda function logs, as lines for a person who watches."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    ClientFactory = Callable[[str], Any]

_PLATFORM: Final = ("START RequestId:", "END RequestId:", "REPORT RequestId:", "INIT_START")
"""How Lambda's own lines begin."""


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

    def new_lines(self) -> list[str]:
        """Return what was logged since the last call, without Lambda's own lines."""
        try:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=self._group, startTime=self._since_ms
            )
            events = [event for page in pages for event in page["events"]]
        except self._logs.exceptions.ResourceNotFoundException:
            return []  # nothing was logged ever
        fresh = self._fresh(events)
        return [
            line
            for message in fresh
            if not message.startswith(_PLATFORM)
            for line in readable(message)
        ]

    def _fresh(self, events: list[dict[str, Any]]) -> list[str]:
        """Return the messages that the last call did not have.

        Not every engine gives an event an id; so those of the last millisecond are counted.
        """
        seen, self._seen = self._seen, Counter()
        fresh = []
        for event in events:
            key = (event["timestamp"], event["logStreamName"], event["message"])
            self._seen[key] += 1
            if self._seen[key] > seen[key]:
                fresh.append(event["message"])
        if events:
            self._since_ms = max(event["timestamp"] for event in events)
        return fresh


def readable(message: str) -> list[str]:
    """Return the lines of a message; of the JSON that the worker logs, what a person reads."""
    try:
        entry = json.loads(message)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or "message" not in entry:
        return message.rstrip().splitlines()
    lines = f"{entry.get('level', '')} {entry['message']}".strip().splitlines()
    return lines + str(entry.get("exception") or "").rstrip().splitlines()
