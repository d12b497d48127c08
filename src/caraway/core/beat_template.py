"""Schedules as resources of CloudFormation, which are what a sync would make.

They have the names, marks and texts of the store, so a sync finds them unchanged.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caraway.core.stored import Stored
    from caraway.core.stores import Store
    from caraway.requests.base import Json

RESOURCE_LIMIT: Final = 500
"""Resources of a template ("CloudFormation quotas", AWS CloudFormation User Guide)."""
_PLAIN = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)$)[a-z][a-z0-9]*", re.IGNORECASE)
"""A text that YAML takes for a text without quotes."""
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Of what JSON leaves as it is: what YAML takes by its number only."""


def template(store: Store, wanted: Sequence[Stored]) -> dict[str, Json]:
    """Return a template of the schedules that a store is to have.

    A queue is named by its ARN in the stack's own account and region.

    Raises
    ------
    ImproperlyConfigured
        If a template does not take so many.
    """
    if len(wanted) > RESOURCE_LIMIT:
        raise ImproperlyConfigured(
            f"a template of CloudFormation takes {RESOURCE_LIMIT} resources, and the schedule has "
            f"{len(wanted):,} entries: bring it to AWS with 'caraway beat sync' instead"
        )
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The schedules of {store.owner.prefix}{store.owner.app}",
        "Resources": {
            _logical_id(stored.entry): store.resource(stored, _queue_arn(stored.queue))
            for stored in wanted
        },
    }


def to_yaml(data: dict[str, Json]) -> str:
    """Return a template as YAML, whose texts are written as JSON's."""
    return "\n".join(_lines(data)) + "\n"


def _scalar(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _queue_arn(name: str) -> dict[str, Json]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{name}"}


def _logical_id(entry: str) -> str:
    """Return a name of letters and digits that an entry keeps, whatever it becomes."""
    words = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", entry))
    return f"Beat{words[:100]}{hashlib.sha256(entry.encode()).hexdigest()[:8]}"


def _lines(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            name = key if _PLAIN.fullmatch(key) else _scalar(key)
            if isinstance(value, dict | list) and value:
                yield f"{name}:"
                yield from (f"  {line}" for line in _lines(value))
            else:
                yield f"{name}: {_scalar(value)}"
        return
    for value in data:
        nested = isinstance(value, dict | list) and value
        first, *rest = _lines(value) if nested else [_scalar(value)]
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)
