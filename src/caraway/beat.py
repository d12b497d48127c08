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
from caraway.exceptions import ImproperlyConfigured, TaskError
from caraway.schedules import crontab

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from caraway.base import AppBase
    from caraway.core.beat_sync import Status
    from caraway.core.stored import Held, Origin, Stored
    from caraway.requests.base import Json
    from caraway.task import Task


def owner_of(app: AppBase) -> Owner:
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


def stores_of(app: AppBase, rule_limit: int = RULE_LIMIT) -> Stores:
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


def schedules_of(app: AppBase, now: datetime) -> list[Stored]:
    """Return the schedules of an app's code, their arguments checked against the tasks' functions.

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
    return stored_of(app, entries(app.conf.beat_schedule), now)


def stored_of(
    app: AppBase, wanted: Sequence[Entry], now: datetime, origin: Origin = "code"
) -> list[Stored]:
    """Return what is to be stored of entries; parameters and errors as :func:`schedules_of`."""
    return schedules(
        app.site,
        stores_of(app).current,
        [_with_grace(app, _with_options_of_task(app, entry)) for entry in wanted],
        zone=app.timezone,
        now=now,
        to_wire=lambda entry: arguments_of(app, entry),
        origin=origin,
    )


def compared_with_code(app: AppBase, held: Held, now: datetime) -> Status:
    """Say how what AWS has of an entry stands to the code; what no code says is as it should be.

    ``app`` is finalized.
    """
    name, said = held.stored.entry, app.conf.beat_schedule
    if held.stored.origin == "data":
        return "active"
    if name not in said:
        return "left over"
    try:
        wanted = stored_of(app, entries({name: said[name]}), now)
    except (ImproperlyConfigured, TaskError):  # as the next sync says
        return "differs"
    return "active" if wanted == [replace(held.stored, edited=False)] else "differs"


def arguments_of(app: AppBase, entry: Entry) -> tuple[list[Json], dict[str, Json]]:
    """Return an entry's arguments as they travel, checked if the app has the task."""
    known: Task[..., Any] | None = app.tasks.get(entry.task)
    write = untyped_to_wire if known is None else known.parameters.to_wire
    return write(entry.args, entry.kwargs, serializer_of(app, entry.options))


def _with_grace(app: AppBase, entry: Entry) -> Entry:
    """Return an entry with the grace of crontabs that the settings give, where it has none."""
    deadline_s, policy = app.conf.beat_cron_starting_deadline, entry.policy
    if deadline_s is None or policy.grace_s is not None or not isinstance(entry.schedule, crontab):
        return entry
    return replace(entry, policy=replace(policy, grace_s=deadline_s))


def _with_options_of_task(app: AppBase, entry: Entry) -> Entry:
    """Return an entry with the task's own queue, limits and serializer, as a call of it has."""
    task = app.tasks.get(entry.task)
    options: Mapping[str, Any] = entry.options
    if task is not None:
        options = task.options_of_call(options, entry.args, entry.kwargs)
    serializer = serializer_of(app, options)
    written = {} if serializer is None else {"serializer": serializer.name}
    return replace(entry, options={**options_to_json(options), **written})
