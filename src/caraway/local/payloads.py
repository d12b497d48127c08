"""What EventBridge sends when a rule or a schedule fires: the text, with what is filled in.

Sources: "Input transformation" and "Scheduled events" (Amazon EventBridge User Guide), "Adding
context attributes in EventBridge Scheduler" (EventBridge Scheduler User Guide).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_STRING_OR_NAME: Final = re.compile(r'"(?:[^"\\]|\\.)*"|<[^<>"\s]+>')
_NAME: Final = re.compile(r"<([^<>\s]+)>")


def rule_payload(target: Mapping[str, Any], name: str, arn: str, time: datetime) -> str:
    """Return what a scheduled rule sends to one of its targets, as ListTargetsByRule shows it."""
    event = _event("aws.events", arn, time)
    if transformer := target.get("InputTransformer"):
        values = {
            variable: _found(event, path)
            for variable, path in transformer.get("InputPathsMap", {}).items()
        }
        values |= {
            "aws.events.rule-name": name,
            "aws.events.rule-arn": arn,
            "aws.events.event.ingestion-time": _written(time),
            "aws.events.event": event,
            "aws.events.event.json": event,
        }
        return _transformed(transformer["InputTemplate"], values)
    if constant := target.get("Input"):
        return str(constant)
    if path := target.get("InputPath"):
        return json.dumps(_found(event, path))
    return json.dumps(event)


def schedule_payload(text: str, arn: str, time: datetime) -> str:
    """Return what a schedule sends: its input, with the context attributes in it filled in."""
    if not text:
        return json.dumps(_event("aws.scheduler", arn, time))
    attributes = {
        "<aws.scheduler.schedule-arn>": arn,
        "<aws.scheduler.scheduled-time>": _written(time),
        "<aws.scheduler.execution-id>": _digest(arn, time)[:16],
        "<aws.scheduler.attempt-number>": "1",
    }
    for attribute, value in attributes.items():
        text = text.replace(attribute, value)
    return text


def _event(source: str, arn: str, time: datetime) -> dict[str, Any]:
    digest = _digest(arn, time)
    _, _, _, region, account, _ = arn.split(":", 5)
    return {
        "version": "0",
        "id": "-".join(digest[first:last] for first, last in _UUID),
        "detail-type": "Scheduled Event",
        "source": source,
        "account": account,
        "time": _written(time),
        "region": region,
        "resources": [arn],
        "detail": {},
    }


_UUID: Final = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))


def _digest(arn: str, time: datetime) -> str:
    """Return what names a firing: the same one has the same ids, so that tests can repeat it."""
    return hashlib.sha256(f"{arn} {time.isoformat()}".encode()).hexdigest()


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _found(event: Any, path: str) -> Any:
    """Return what a JSON path such as ``$.detail.name`` leads to; empty text if nothing."""
    for key in path.removeprefix("$").strip(".").split("."):
        if key:
            event = event.get(key, "") if isinstance(event, dict) else ""
    return event


def _transformed(template: str, values: Mapping[str, Any]) -> str:
    """Return a template with its variables: within a string as text, elsewhere as JSON."""

    def within(found: re.Match[str]) -> str:
        if found[1] not in values:
            return found[0]
        value = values[found[1]]
        return value if isinstance(value, str) else json.dumps(value).replace('"', "")

    def anywhere(found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith('"'):
            return _NAME.sub(within, text)
        return json.dumps(values[text[1:-1]]) if text[1:-1] in values else text

    pattern, replaced = (_STRING_OR_NAME, anywhere) if '"' in template else (_NAME, within)
    return pattern.sub(replaced, template)
