"""An app's ``beat_schedule`` as the rules that EventBridge is to have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caraway.canvas import options_to_json
from caraway.core.beat import Entry, Owner, entries, plain_arguments, rules
from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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

    def to_wire(
        task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Json], dict[str, Json]]:
        known: Task[..., Any] | None = app.tasks.get(task)
        if known is None:
            return plain_arguments(task, args, kwargs)
        return known.parameters.to_wire(tuple(args), dict(kwargs))

    wanted = [_with_options_of_task(app, entry) for entry in entries(app.conf.beat_schedule)]
    return rules(app.site, owner_of(app), wanted, zone=app.timezone, now=now, to_wire=to_wire)


def _with_options_of_task(app: Caraway, entry: Entry) -> Entry:
    """Return an entry with the task's own queue and limits, as a call of the task would have."""
    task = app.tasks.get(entry.task)
    options = entry.options if task is None else task.signature(**dict(entry.options)).options
    return replace(entry, options=options_to_json(options))
