"""What the options of calls say: looked at once for calls of a task that have the same ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from caraway.core.options import (
    after,
    by_our_names,
    check_options,
    check_values,
    due_time,
    known_compression,
    signatures,
    time_of,
)
from caraway.core.serializers import JSON
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_AS_GIVEN: Final = frozenset(
    {"headers", "ignore_result", "soft_time_limit", "stamps", "time_limit"}
)
"""Options that are fields of the message as they are."""


@dataclass(frozen=True)
class Terms:
    """What the options of calls say at a time.

    Attributes
    ----------
    task
        The task's name.
    options
        The options themselves, by our names.
    fields
        Those fields of a message that follow from them alone, where they are not at their defaults.
    """

    task: str
    options: Mapping[str, Any]
    fields: Mapping[str, Any]

    @property
    def eta(self) -> datetime | None:
        """When the calls are due."""
        eta: datetime | None = self.fields.get("eta")
        return eta


def terms_of(
    task: str, options: Mapping[str, Any], now: datetime, compression: str | None = None
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
    UnknownOption, InvalidOption
        If one does not exist, or holds what it cannot.
    """
    check_options(options)
    options = by_our_names(options)
    check_values({**options, "task": task})
    fields = {
        name: value for name, value in options.items() if name in _AS_GIVEN and value is not None
    }
    fields["sent_at"] = now
    if (eta := due_time(options, now)) is not None:
        fields["eta"] = eta
    expires = options.get("expires")
    if isinstance(expires, int | float | timedelta):
        expires = after(now, expires, "expires")
    if expires is not None:
        fields["expires"] = time_of(expires, "expires")
    for name in ("link", "link_error"):
        if (links := options.get(name)) is not None:
            fields[name] = signatures(links, name)
    if options.get("serializer") not in (None, JSON):
        fields["serializer"] = options["serializer"]
    if wanted := options.get("compression") or compression:
        fields["compression"] = known_compression(wanted)
    return Terms(task, options, fields)
