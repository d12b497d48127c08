"""A schedule as it is stored, whichever service keeps it, and whose it is.

EventBridge lists rules with their descriptions, and Scheduler lists schedules by their names alone.
So a description ends with a :class:`Mark`, a name in Scheduler holds the same, and a list is enough
to tell what is there as it should be; only what differs is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from caraway.exceptions import ImproperlyConfigured
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_TAG: Final = "caraway:entry"
NAME_LIMIT: Final = 64
"""Longest name of a rule, and of a schedule ("PutRule", "CreateSchedule")."""
DESCRIPTION_LIMIT: Final = 512
"""Longest description of either ("PutRule", "CreateSchedule")."""
TAG_VALUE_LIMIT: Final = 256
"""Longest value of a tag ("Tag", Amazon EventBridge API Reference)."""

Kind: TypeAlias = Literal["rule", "schedule"]
"""What keeps it: a rule of EventBridge, or a schedule of EventBridge Scheduler."""
Origin: TypeAlias = Literal["code", "data"]
"""Who says what it is: ``beat_schedule``, or whoever made it at run time."""

_OWNER_DIGITS: Final = 8
_DIGITS: Final = 12
_MARK = re.compile(r" ?\[(code|data)( edited)?( off)? ([0-9a-f]{8}) ([0-9a-f]{12})\]$")
DESCRIBED_LIMIT: Final = DESCRIPTION_LIMIT - len(" [code edited off ") - _OWNER_DIGITS - _DIGITS - 2
"""Longest description before the mark."""


@dataclass(frozen=True)
class Stored:
    """What a schedule is to be, or is.

    Attributes
    ----------
    entry
        Its name; the ids of its occurrences derive from that.
    expression
        ``cron(...)``, in UTC.
    queue
        The queue's name in SQS; empty if it sends to none of ours.
    text
        The message, a JSON object, still without the time that AWS fills in.
    description
        For people, at most :data:`DESCRIBED_LIMIT` characters.
    enabled
        Whether it fires, unless it was paused. The store alone knows what is paused.
    group_id
        The message group on the queue.
    edited
        Whether one from code was changed since the last sync. It is no part of the content.
    window_minutes
        Up to how much later each firing may be: Scheduler's flexible window. Rules have none.
    """

    entry: str
    expression: str
    queue: str
    text: str
    description: str = ""
    enabled: bool = True
    group_id: str | None = None
    origin: Origin = "code"
    edited: bool = False
    window_minutes: int = 0

    def digits(self, *more: str) -> str:
        """Return what all of it comes to, together with what else its store makes of it."""
        parts = (self.entry, self.expression, self.queue, self.text, self.description)
        others = (self.enabled, self.group_id, self.window_minutes)
        return _hash(json.dumps([*parts, *others, *more]), _DIGITS)


@dataclass(frozen=True)
class Owner:
    """Whose schedules they are: of one app in one environment (the queue-name prefix).

    Nothing that is not the owner's is ever changed or deleted.
    """

    app: str
    prefix: str = ""

    @property
    def digits(self) -> str:
        """The owner in names and marks."""
        return _hash(f"{self.prefix}\x1f{self.app}", _OWNER_DIGITS)

    @property
    def tags(self) -> dict[str, str]:
        """The tags that every rule of this owner has."""
        return {"caraway:app": _tag_value(self.app), "caraway:prefix": _tag_value(self.prefix)}

    def owns(self, tags: Mapping[str, str]) -> bool:
        """Tell whether the tags of a rule say that it is this owner's."""
        return all(tags.get(key) == value for key, value in self.tags.items())

    def entry_tags(self, entry: str) -> dict[str, str]:
        """Return the tags of an entry's rule."""
        return {**self.tags, ENTRY_TAG: _tag_value(entry)}

    @property
    def rule_prefix(self) -> str:
        """How the name of every rule of this owner begins."""
        return _name_text(f"{self.prefix}{self.app}-")[: NAME_LIMIT - _DIGITS - 1]

    def rule_name(self, entry: str) -> str:
        """Return an entry's rule name, made unique by a hash where it cannot stay as it is."""
        wanted = f"{self.prefix}{self.app}-{entry}"
        name = _name_text(wanted)
        if name == wanted and len(name) <= NAME_LIMIT:
            return name
        return f"{name[: NAME_LIMIT - _DIGITS - 1]}-{_hash(wanted, _DIGITS)}"

    def schedule_prefix(self, origin: Origin, entry: str | None = None) -> str:
        """Return how the names of this owner's schedules begin: all, or those of one entry.

        Other entries may begin like a long one, or one with characters that names cannot have.
        """
        prefix = f"{origin[0]}{self.digits}-"
        if entry is None:
            return prefix
        return f"{prefix}{_name_text(entry)[: NAME_LIMIT - len(prefix) - 1 - _DIGITS]}-"

    def schedule_name(self, stored: Stored, digits: str) -> str:
        """Return the name of a schedule in Scheduler, which another content changes."""
        return f"{self.schedule_prefix(stored.origin, stored.entry)}{digits}"


@dataclass(frozen=True)
class Mark:
    """The end of a description: whose a schedule is, and what it was when all of it was written.

    Attributes
    ----------
    enabled
        What the code, or its maker, said; it may be paused nevertheless.
    edited
        :attr:`Stored.edited`.
    owner, digits
        :attr:`Owner.digits`, and those of the store.
    """

    origin: Origin
    enabled: bool
    owner: str
    digits: str
    edited: bool = False

    @classmethod
    def of(cls, stored: Stored, owner: Owner, digits: str) -> Mark:
        """Return the mark of what an owner stores."""
        return cls(stored.origin, stored.enabled, owner.digits, digits, stored.edited)

    def on(self, description: str) -> str:
        """Return a description that ends with the mark."""
        edited, off = " edited" if self.edited else "", "" if self.enabled else " off"
        mark = f"[{self.origin}{edited}{off} {self.owner} {self.digits}]"
        return f"{description} {mark}"

    @staticmethod
    def split(description: str) -> tuple[str, Mark | None]:
        """Return a description without its mark, and the mark; None if it has none."""
        if (found := _MARK.search(description)) is None:
            return description, None
        origin: Origin = "code" if found[1] == "code" else "data"
        return description[: found.start()], Mark(
            origin, not found[3], found[4], found[5], edited=found[2] is not None
        )


@dataclass(frozen=True)
class Kept:
    """A schedule of the owner as a list of its store shows it.

    Attributes
    ----------
    name, arn
        The store's.
    is_on
        Whether it fires; what is enabled and yet off was paused.
    origin, digits
        As its mark or its name says; None for a rule without a mark, of which only its tags say
        whose it is.
    expression, queue, description
        Where the list shows it, else None.
    """

    name: str
    arn: str
    is_on: bool
    origin: Origin | None
    digits: str | None
    expression: str | None = None
    queue: str | None = None
    description: str = ""

    def is_as(self, wanted: Stored, digits: str) -> bool:
        """Tell whether it is what is wanted, whether it was paused or not."""
        return (
            self.digits == digits
            and self.expression in (None, wanted.expression)
            and self.queue in (None, wanted.queue)
        )


@dataclass(frozen=True)
class Held:
    """A schedule of the owner, read as a whole.

    Attributes
    ----------
    kind, name
        Where it is.
    is_on
        Whether it fires.
    is_marked
        Whether it has a mark; without one nobody knows what its maker said of ``enabled``.
    target_ids
        A rule's targets, also those that others gave it.
    """

    kind: Kind
    name: str
    stored: Stored
    is_on: bool
    is_marked: bool = True
    target_ids: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Put:
    """What a store is to write.

    Attributes
    ----------
    queue_arn
        Where it sends.
    is_on
        Whether it fires.
    before
        What it takes the place of in the same store, if there is anything.
    """

    stored: Stored
    queue_arn: str
    is_on: bool
    before: Held | None = None


def entry_of(text: str) -> str | None:
    """Return the name of the entry that a message is of; None if it is no such message."""
    try:
        message: Any = json.loads(text)
    except ValueError:
        return None
    entry = message.get("schedule") if isinstance(message, dict) else None
    return entry if isinstance(entry, str) else None


def made_at_run_time(entry: str) -> ImproperlyConfigured:
    """Return what is raised for an entry of the code that exists as data."""
    return ImproperlyConfigured(
        f"beat_schedule[{entry!r}]: a schedule of that name was made at run time: rename the "
        "entry, or delete that schedule (app.schedules.delete)"
    )


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:digits]


def _name_text(text: str) -> str:
    return re.sub(r"[^.\-_A-Za-z0-9]", "_", text)


def _tag_value(text: str) -> str:
    return re.sub(r"[^\w .:/=+\-@]", "_", text)[:TAG_VALUE_LIMIT]
