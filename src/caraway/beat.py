"""An app's ``beat_schedule`` as AWS is to store it, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caraway.call_options import options_to_json, serializer_of
from caraway.core.arguments import untyped_to_wire
from caraway.core.beat import Entry, entries, schedules
from caraway.core.rule_store import RULE_LIMIT
from caraway.core.stored import Owner
from caraway.core.stores import Stores
from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from caraway.app import Caraway
    from caraway.core.stored import Stored
    from caraway.requests.base import Json
    from caraway.task import Task


def owner_of(app: Caraway) -> Owner:
    """Return whose schedules an app's are: by its name and the queue-name prefix.

    Raises
    ------
    ImproperlyConfigured
        If the app has no name.
    """
    if not app.main:
        raise ImproperlyConfigured(
            "the app has no name, and its schedules in AWS need one: Caraway('shop')"
        )
    return Owner(app.main, app.conf.queue_name_prefix)


def stores_of(app: Caraway, rule_limit: int = RULE_LIMIT) -> Stores:
    """Return where an app's schedules are stored: the setting ``scheduler_role_arn`` says it.

    Parameters
    ----------
    rule_limit
        Rules that the event bus takes.

    Raises
    ------
    ImproperlyConfigured
        If the app has no name.
    """
    owner, group = owner_of(app), app.conf.scheduler_group_name
    return Stores.of(owner, app.site.scheduling, group, rule_limit)


def schedules_of(app: Caraway, now: datetime) -> list[Stored]:
    """Return an app's schedules, their arguments checked against the tasks' functions.

    Parameters
    ----------
    app
        Finalized, so that everything that adds to the schedule has run.
    now
        From when on they are to be exact, with a time zone.

    Raises
    ------
    ImproperlyConfigured
        If entries cannot be stored; the message names them.
    """

    def to_wire(entry: Entry) -> tuple[list[Json], dict[str, Json]]:
        known: Task[..., Any] | None = app.tasks.get(entry.task)
        write = untyped_to_wire if known is None else known.parameters.to_wire
        return write(entry.args, entry.kwargs, serializer_of(app, entry.options))

    wanted = [_with_options_of_task(app, entry) for entry in entries(app.conf.beat_schedule)]
    store = stores_of(app).current
    return schedules(app.site, store, wanted, zone=app.timezone, now=now, to_wire=to_wire)


def _with_options_of_task(app: Caraway, entry: Entry) -> Entry:
    """Return an entry with the task's own queue, limits and serializer, as a call of it has."""
    task = app.tasks.get(entry.task)
    options: Mapping[str, Any] = entry.options
    if task is not None:
        options = task.options_of_call(options, entry.args, entry.kwargs)
    serializer = serializer_of(app, options)
    written = {} if serializer is None else {"serializer": serializer.name}
    return replace(entry, options={**options_to_json(options), **written})
