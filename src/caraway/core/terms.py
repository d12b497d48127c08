"""What the options of calls say: looked at once for calls of a task that have the same ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from caraway.core.options import (
    by_our_names,
    check_options,
    check_values,
    due,
    known_compression,
    point,
    signatures,
    span_of,
    time_of,
)
from caraway.core.serializers import JSON
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from caraway.core.options import When
    from caraway.core.routing import Queue, Router

_AS_GIVEN: Final = frozenset(
    {"headers", "ignore_result", "soft_time_limit", "stamps", "time_limit"}
)
"""Options that are fields of the message as they are."""


@dataclass(frozen=True)
class Terms:
    """What the options of calls say, whenever these are made.

    Attributes
    ----------
    task
        The task's name.
    options
        The options themselves, by our names.
    fields
        Those fields of a message that follow from them alone, where they are not at their defaults.
    queue
        Where the calls go; None where a router function looks at each of them.
    due, expires
        When they are due, and when it is too late for them.
    """

    task: str
    options: Mapping[str, Any]
    fields: Mapping[str, Any]
    queue: Queue | None
    due: When
    expires: When

    def times(self, now: datetime) -> dict[str, Any]:
        """Return the fields of a message that is sent now: ``sent_at``, ``eta`` and ``expires``.

        Raises
        ------
        InvalidOption
            If no calendar has one of them.
        """
        times: dict[str, Any] = {"sent_at": now}
        if (eta := point(self.due, now, "countdown")) is not None:
            times["eta"] = eta
        if (expires := point(self.expires, now, "expires")) is not None:
            times["expires"] = expires
        return times


def terms_of(
    task: str, options: Mapping[str, Any], router: Router, compression: str | None = None
) -> Terms:
    """Return what options say, checked.

    Parameters
    ----------
    options
        What ``apply_async`` takes; links as JSON signatures.
    compression
        The app's own, where they name none.

    Raises
    ------
    UnknownOption, InvalidOption, QueueNotFound
        If one does not exist, or holds what it cannot.
    """
    check_options(options)
    options = by_our_names(options)
    check_values({**options, "task": task})
    fields = {
        name: value for name, value in options.items() if name in _AS_GIVEN and value is not None
    }
    expires = options.get("expires")
    is_span = isinstance(expires, int | float | timedelta)
    expires = span_of(expires, "expires") if is_span else time_of(expires, "expires")
    for name in ("link", "link_error"):
        if (links := options.get(name)) is not None:
            fields[name] = signatures(links, name)
    if options.get("serializer") not in (None, JSON):
        fields["serializer"] = options["serializer"]
    if wanted := options.get("compression") or compression:
        fields["compression"] = known_compression(wanted)
    queue = router.queue_of_all(task, options)
    return Terms(task, options, fields, queue, due(options), expires)
