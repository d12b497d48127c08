"""``beat_schedule`` as AWS is to store it; :mod:`caraway.core.beat_sync` brings it there.

What is stored sends the ready-made task message to the task's queue, so there is no process that
keeps the time. AWS fills in when it was due; the task's id derives from that and the entry's name,
so an occurrence that is fired twice is one task.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.core.arguments import untyped_to_wire
from caraway.core.cron import firing
from caraway.core.fields import NAME_LIMIT, is_name
from caraway.core.occurrences import to_json
from caraway.core.policies import KINDS, Policy, expires_s_of, kept_by, policy_of
from caraway.core.publish import describe
from caraway.core.signing import FIELD
from caraway.core.stored import DESCRIBED_LIMIT, Stored
from caraway.core.timing import Timing
from caraway.exceptions import (
    ImproperlyConfigured,
    InvalidOption,
    TaskError,
    UnknownOption,
    nearest,
)
from caraway.lean import dataclass
from caraway.schedules import BaseSchedule, clocked, crontab, maybe_schedule, schedule
from caraway.schedules.base import aware

if TYPE_CHECKING:
    from datetime import tzinfo

    from caraway.core.message import Message
    from caraway.core.publish import Site
    from caraway.core.signing import Signing
    from caraway.core.stored import Kind, Origin
    from caraway.core.stores import Store
    from caraway.requests.base import Json

_A_WHILE: Final = timedelta(days=1)
"""As long as EventBridge tries to send what was due ("Event retry policy", its User Guide)."""

ToWire: TypeAlias = Callable[["Entry"], tuple["list[Json]", "dict[str, Json]"]]
"""Returns the arguments of an entry as they go into a message."""


@dataclass(frozen=True)
class Entry:
    """One entry of ``beat_schedule``.

    Attributes
    ----------
    options
        What ``apply_async`` takes, as far as it has a meaning for a schedule.
    enabled
        False stores it, but it does not fire.
    start, end
        The first moment and the last one at which it may be due, with a time zone.
    policy
        What becomes of its occurrences that are late, or come while another one runs.
    """

    name: str
    task: str
    schedule: BaseSchedule
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    start: datetime | None = None
    end: datetime | None = None
    policy: Policy = field(default_factory=Policy)


_KINDS: Final[dict[str, tuple[Any, str]]] = {
    "task": (str, "the task's name"),
    "schedule": (object, "crontab(...), schedule(...), a timedelta or seconds"),
    "relative": (bool, "True or False"),
    "start": (datetime, "a datetime"),
    "end": (datetime, "a datetime"),
    "args": (list | tuple, "a tuple, as in (1,)"),
    "kwargs": (Mapping, "a dict"),
    "options": (Mapping, "a dict"),
    "enabled": (bool, "True or False"),
    **KINDS,
}
_SAID_BY: Final[Mapping[Origin, str]] = {"code": "beat_schedule", "data": "schedule"}
"""How messages name where an entry is."""
_OCCURRENCE: Final = "every occurrence is a task of its own, with an id that its time decides"
_NO_OPTIONS: Final = {
    "countdown": "an occurrence is sent when it is due; move the schedule instead",
    "eta": "an occurrence is sent when it is due; move the schedule instead",
    "retry": "EventBridge sends it, and tries for up to 24 hours",
    "retry_policy": "EventBridge sends it, and tries for up to 24 hours",
    "task_id": _OCCURRENCE,
}


def entries(beat_schedule: Mapping[str, Any], origin: Origin = "code") -> list[Entry]:
    """Return the entries of a ``beat_schedule``, checked.

    Parameters
    ----------
    beat_schedule
        As in Celery: ``{name: {"task": ..., "schedule": ..., "args": (), "kwargs": {},
        "options": {"queue": ...}}}``. Of these, task and schedule are required.
        ``"enabled": False`` keeps an entry from firing, ``"start"`` and ``"end"`` (datetimes) bound
        when it may. An interval is counted from its start or from 1970, so that ``"relative"``,
        Celery's word for round times, changes nothing. ``"misfire_grace_s"``, ``"catch_up"``,
        ``"overlap"`` and ``"jitter_s"`` are its :class:`~caraway.core.policies.Policy`.

    Raises
    ------
    UnknownOption
        If an entry has a key that means nothing here; the message names the nearest.
    ImproperlyConfigured
        If a value is missing or of another kind.
    """
    return [_entry(str(name), fields, origin) for name, fields in beat_schedule.items()]


def _entry(name: str, fields: Any, origin: Origin) -> Entry:
    where = f"{_SAID_BY[origin]}[{name!r}]"
    _check_name(name, where)
    if not isinstance(fields, Mapping):
        raise ImproperlyConfigured(
            f"{where}: expected {{'task': ..., 'schedule': ...}}, not {fields!r}"
        )
    given = {key: value for key, value in fields.items() if value is not None}
    for key, value in given.items():
        if key not in _KINDS:
            raise UnknownOption(f"{where}: no key named {key!r}{nearest(str(key), _KINDS)}")
        kind, expected = _KINDS[key]
        if not isinstance(value, kind):
            raise ImproperlyConfigured(f"{where}: {key!r} is {value!r}, expected {expected}")
    for key in ("task", "schedule"):
        if key not in given:
            raise ImproperlyConfigured(f"{where}: {key!r} is missing: {_KINDS[key][1]}")
    try:
        when = maybe_schedule(given["schedule"])
        if given.get("relative") and isinstance(when, schedule):
            when = schedule(when.run_every, relative=True)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{where}: 'schedule': {error}") from error
    try:
        policy, bounds = policy_of(given), _bounds(given)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error
    return Entry(
        name,
        given["task"],
        when,
        tuple(given.get("args", ())),
        given.get("kwargs", {}),
        given.get("options", {}),
        given.get("enabled", True),
        *bounds,
        policy,
    )


def _bounds(given: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return the start and the end of an entry, with a zone."""
    start, end = (aware(given[key]) if key in given else None for key in ("start", "end"))
    if start and end and start > end:
        raise ImproperlyConfigured(
            f"'start' ({start}) is after 'end' ({end}), so it is never due: exchange them, or "
            "leave one out"
        )
    return start, end


def _check_name(name: str, where: str) -> None:
    if not is_name(name):  # nor would workers read its messages
        raise ImproperlyConfigured(
            f"{where:.{NAME_LIMIT}}: the name of an entry has 1 to {NAME_LIMIT} printable "
            "characters: name it (add_periodic_task takes name=...)"
        )


def plain_arguments(entry: Entry) -> tuple[list[Json], dict[str, Json]]:
    """Return an entry's arguments as JSON, for a task whose function is not at hand."""
    return untyped_to_wire(entry.args, entry.kwargs)


def schedules(
    site: Site,
    store: Store,
    wanted: Sequence[Entry],
    *,
    zone: tzinfo,
    now: datetime,
    to_wire: ToWire = plain_arguments,
    origin: Origin = "code",
) -> list[Stored]:
    """Return what is to be stored of each entry that is not over.

    Parameters
    ----------
    store
        Which is to take them.
    zone
        The time zone in which crontabs are meant.
    now
        From when on they are to be exact, with a time zone.
    to_wire
        Checks the arguments against the task's function, where the app knows it.

    Raises
    ------
    ImproperlyConfigured
        If entries cannot be stored, naming all of them and what can be done.
    """
    made: dict[str, Stored] = {}
    problems: list[str] = []
    for entry in wanted:
        if _is_over(entry, now):
            continue
        try:
            stored = _stored(site, store.kind, entry, zone, now, to_wire, origin)
            store.check(stored)
        except (ImproperlyConfigured, TaskError) as error:
            problems.append(f"{_SAID_BY[origin]}[{entry.name!r}]: {error}")
            continue
        name = store.name_of(stored)
        if name in made:
            problems.append(
                f"beat_schedule: entries {made[name].entry!r} and {entry.name!r} are both "
                f"named {name!r} in EventBridge: rename one"
            )
        made[name] = stored
    if problems:
        raise ImproperlyConfigured("\n".join(problems))
    return list(made.values())


def _is_over(entry: Entry, now: datetime) -> bool:
    """Say whether an entry is never due again, nor just now."""
    ends = [entry.end, entry.schedule.clocked_time if isinstance(entry.schedule, clocked) else None]
    return any(end is not None and end < now - _A_WHILE for end in ends)


def _stored(
    site: Site,
    kind: Kind,
    entry: Entry,
    zone: tzinfo,
    now: datetime,
    to_wire: ToWire,
    origin: Origin,
) -> Stored:
    options = {name: value for name, value in entry.options.items() if value is not None}
    for option in options:
        if option in _NO_OPTIONS:
            raise InvalidOption(
                f"option {option!r} has no meaning in a schedule: {_NO_OPTIONS[option]}"
            )
    expires_s = expires_s_of(options.pop("expires", None))
    when = entry.schedule.in_zone(zone) if isinstance(entry.schedule, crontab) else entry.schedule
    timing = Timing(when, entry.start, entry.end)
    fired = firing(timing, now)
    args, kwargs = to_wire(entry)
    described = describe(
        site, entry.task, args, kwargs, options, now=now, new_id=lambda _digest: ""
    )
    policy = replace(entry.policy, expires_s=expires_s)
    policy = kept_by(kind, policy, fifo=described.queue.fifo)
    wire = to_json(timing, fired.covers_s, policy)
    message = replace(described.message, schedule=entry.name, when=wire)
    where = f" {when.tz}" if isinstance(when, crontab) else ""
    return Stored(
        entry=entry.name,
        expression=fired.expression,
        queue=described.queue.sqs_name(site.queue_prefix),
        text=_text(message, site.signing),
        description=f"{entry.task} {entry.schedule!r}{where}"[:DESCRIBED_LIMIT],
        enabled=entry.enabled,
        group_id=message.group_id,
        origin=origin,
        window_minutes=policy.window_minutes,
    )


_DECIDED_AT_RECEPTION: Final = ("id", "root_id", "sent_at", "digest")
_ESCAPED = re.compile(r"\\(?:u[0-9a-f]{4}|.)|[<>]")


def _text(message: Message, signing: Signing | None) -> str:
    r"""Return a message as it is stored, still without its time.

    ``<`` and ``>`` can stand for themselves nowhere in a rule's template ("Transforming input",
    Amazon EventBridge User Guide), engines differ about ``\"`` and ``\n`` in it, and Scheduler
    replaces ``<aws.scheduler...>``, so every such character is written by its number.
    """
    envelope = {
        name: value
        for name, value in message.to_json().items()
        if name not in _DECIDED_AT_RECEPTION
    }
    signature = None if signing is None else signing.value_of(envelope)
    if signature is not None:
        envelope[FIELD] = signature
    text = json.dumps(envelope, separators=(",", ":"), ensure_ascii=False)
    return _ESCAPED.sub(_by_number, text)


def _by_number(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("\\u"):
        return text
    character: str = json.loads(f'"{text}"')
    return f"\\u{ord(character):04x}"
