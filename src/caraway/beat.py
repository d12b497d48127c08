"""An app's ``beat_schedule`` as the rules that EventBridge is to have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caraway.call_options import options_to_json, serializer_of
from caraway.core.arguments import untyped_to_wire
from caraway.core.beat import Entry, Owner, entries, rules
from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from caraway.app import Caraway
    from caraway.core.beat import Rule
    from caraway.requests.base import Json
    from caraway.task import Task


def owner_of(app: Caraway) -> Owner:
    """Return whose rules an app's are: by its name and the queue-name prefix.

    Raises
    ------
    ImproperlyConfigured
        If the app has no name.
    """
    if not app.main:
        raise ImproperlyConfigured(
            "the app has no name, and its rules in EventBridge need one: Caraway('shop')"
        )
    return Owner(app.main, app.conf.queue_name_prefix)


def rules_of(app: Caraway, now: datetime) -> list[Rule]:
    """Return the rules of an app's schedule, its arguments checked against the tasks' functions.

    Parameters
    ----------
    app
        Finalized, so that everything that adds to the schedule has run.
    now
        From when on they are to be exact, with a time zone.

    Raises
    ------
    ImproperlyConfigured
        If an entry cannot be a rule; the message names it.
    """

    def to_wire(entry: Entry) -> tuple[list[Json], dict[str, Json]]:
        known: Task[..., Any] | None = app.tasks.get(entry.task)
        write = untyped_to_wire if known is None else known.parameters.to_wire
        return write(entry.args, entry.kwargs, serializer_of(app, entry.options))

    wanted = [_with_options_of_task(app, entry) for entry in entries(app.conf.beat_schedule)]
    return rules(app.site, owner_of(app), wanted, zone=app.timezone, now=now, to_wire=to_wire)


def _with_options_of_task(app: Caraway, entry: Entry) -> Entry:
    """Return an entry with the task's own queue, limits and serializer, as a call of it has."""
    task = app.tasks.get(entry.task)
    options: Mapping[str, Any] = entry.options
    if task is not None:
        options = task.options_of_call(options, entry.args, entry.kwargs)
    serializer = serializer_of(app, options)
    written = {} if serializer is None else {"serializer": serializer.name}
    return replace(entry, options={**options_to_json(options), **written})
