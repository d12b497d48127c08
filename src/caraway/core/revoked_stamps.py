"""Revoking by stamps: which stamped tasks are not to run, whichever they are.

::

    revoked<TAB>stamps    an attribute for each name and value, with when and how it was revoked

There is one list for all workers, in the task table. The id of a task is printable, and a tab is
not, so no task can have its key. Only who holds a message with stamps reads the list, and a process
reads it once every few seconds at most: so a revoke needs that long to be known everywhere, and
tasks without stamps cost nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from caraway.core.codec import canonical, dumps, encode
from caraway.core.record import HORIZON_S
from caraway.core.revoke import explained, mode_of, signal_of
from caraway.core.stamps import are_stamps
from caraway.exceptions import AccessDenied, InvalidOption
from caraway.lean import dataclass
from caraway.requests.dynamodb import ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import Always, Change, Condition, Equals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.core.port import Aws
    from caraway.requests.base import Json
    from caraway.requests.items import Item

KEY: Final = "revoked\tstamps"
FRESH_S: Final = 5.0
"""How long a process goes by what it has read."""
WAIT_S: Final = 0.02
"""How often who waits for another's read looks whether it is there."""
MOST: Final = 500
"""Stamps that are revoked at one time: every process reads all of them, and pays for each KiB."""
VALUE_LIMIT: Final = 500
"""Characters of a value as JSON."""
_PREFIX: Final = "stamp_"


@dataclass(frozen=True)
class RevokedStamp:
    """A stamp whose tasks are not to run.

    Attributes
    ----------
    header, value
        Its name, and its value as JSON.
    at
        When it was revoked, in whole seconds since the epoch.
    mode
        As in :attr:`caraway.core.record.Record.revoked`.
    """

    header: str
    value: Json
    at: int
    mode: str

    @property
    def attribute(self) -> str:
        """The attribute that holds it: that of its name and value."""
        return _PREFIX + sha256(canonical([self.header, self.value])).hexdigest()[:32]

    def is_over(self, now: float) -> bool:
        """Whether it was revoked longer ago than a message can live."""
        return now - self.at >= HORIZON_S


class RevokedStamps:
    """What a process knows of the list.

    Parameters
    ----------
    table
        Where it is.
    """

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table
        self._modes: Mapping[str, str] = {}
        self._read_at = 0.0
        self._asked_at = 0.0

    async def look(self, stamps: Mapping[str, Json]) -> None:
        """Read the list, where stamps need it and what is known of it is old.

        While somebody reads it others go by the one before, or wait where that is twice as old.

        Raises
        ------
        OperationalError
            If the table could not be asked.
        """
        while stamps and self._age_s(self._read_at) >= FRESH_S:
            if self._age_s(self._asked_at) >= FRESH_S:
                await self._refresh()
            elif self._age_s(self._read_at) < 2 * FRESH_S:
                return
            else:
                await self._aws.sleep(WAIT_S)

    def _age_s(self, at: float) -> float:
        return self._aws.now().timestamp() - at

    async def _refresh(self) -> None:
        self._asked_at = now = self._aws.now().timestamp()
        try:
            item = await self._aws.perform(GetItem(self._table, KEY))
        except BaseException:
            self._asked_at = 0.0
            raise
        self._modes = {each.attribute: each.mode for each in _read(item) if not each.is_over(now)}
        self._read_at = now

    def mode_for(self, stamps: Mapping[str, Json]) -> str | None:
        """Return how a task with these stamps is revoked, as far as is known; None if it is not."""
        if not stamps or not self._modes:
            return None
        found = [self._modes.get(each.attribute) for each in _each(stamps, 0, "")]
        modes = [mode for mode in found if mode is not None]
        return next(filter(signal_of, modes), modes[0] if modes else None)


def wanted(headers: object) -> dict[str, Json]:
    """Return stamps that somebody names, their values as JSON.

    Raises
    ------
    InvalidOption
        If they are no names and values, or a value is too long to be listed.
    """
    if not isinstance(headers, Mapping) or not headers or not are_stamps(headers):
        raise InvalidOption(f"{headers!r:.80}: expected stamps, such as {{'customer': 17}}")
    stamps: dict[str, Json] = encode(dict(headers), path="stamps")
    for each in _each(stamps, 0, ""):
        if len(dumps(each.value)) > VALUE_LIMIT:
            raise InvalidOption(f"{each.header}: a value of more than {VALUE_LIMIT} characters")
    return stamps


async def revoke_stamps(
    aws: Aws, table: str, stamps: Mapping[str, Json], signal: str | None = None
) -> list[RevokedStamp]:
    """Put stamps on the list: of each name one value, or a list of them.

    Returns
    -------
    list[RevokedStamp]
        What is revoked by this.

    Raises
    ------
    InvalidOption
        If more than :data:`MOST` would be on the list.
    OperationalError
        If the table could not be asked, or written.
    """
    now = int(aws.now().timestamp())
    added = list(_each(stamps, now, mode_of(signal)))
    listed = _read(await aws.perform(GetItem(table, KEY)))
    while True:
        over = [each for each in listed if each.is_over(now)]
        names = {each.attribute for each in (*listed, *added)} - {each.attribute for each in over}
        if len(names) > MOST:
            raise InvalidOption(
                f"{len(names)} stamps would be revoked at one time, and {MOST} can be: allow those "
                "that are done with (app.control.allow_stamped_headers), or revoke tasks by ids"
            )
        try:
            await _perform(aws, _write(table, now, added, over))
        except ConditionFailed as changed:  # one that was over has been revoked again
            listed = _read(changed.item)
        else:
            return added


async def allow_stamps(aws: Aws, table: str, stamps: Mapping[str, Json]) -> None:
    """Take stamps off the list: tasks that come from now on run."""
    names = tuple(each.attribute for each in _each(stamps, 0, ""))
    now = int(aws.now().timestamp())
    change = Change({"ttl": now + HORIZON_S}, names)
    await _perform(aws, UpdateItem(table, KEY, change, Always()))


async def revoked_stamps(aws: Aws, table: str) -> list[RevokedStamp]:
    """Return which stamps are revoked, the oldest first."""
    now, listed = aws.now().timestamp(), _read(await aws.perform(GetItem(table, KEY)))
    return [each for each in listed if not each.is_over(now)]


async def _perform(aws: Aws, write: UpdateItem) -> None:
    try:
        await aws.perform(write)
    except AccessDenied as error:
        raise explained(error) from error


def _write(table: str, now: int, added: list[RevokedStamp], over: list[RevokedStamp]) -> UpdateItem:
    kept = {each.attribute for each in added}
    gone = [each for each in over if each.attribute not in kept]
    unchanged: Condition = Always()
    for each in gone:
        unchanged = unchanged & Equals(each.attribute, _text(each))
    assign: dict[str, Any] = {each.attribute: _text(each) for each in added}
    change = Change({**assign, "ttl": now + HORIZON_S}, tuple(each.attribute for each in gone))
    return UpdateItem(table, KEY, change, unchanged)


def _each(stamps: Mapping[str, Json], at: int, mode: str) -> Iterator[RevokedStamp]:
    """Give every name with every value: those of a list are values of their own."""
    for header, value in stamps.items():
        for each in value if isinstance(value, list) else [value]:
            yield RevokedStamp(header, each, at, mode)


def _text(stamp: RevokedStamp) -> str:
    return dumps(vars(stamp))


def _read(item: Item | None) -> list[RevokedStamp]:
    texts = [text for name, text in (item or {}).items() if name.startswith(_PREFIX)]
    return sorted((RevokedStamp(**json.loads(text)) for text in texts), key=_order)


def _order(stamp: RevokedStamp) -> tuple[int, str, str]:
    return stamp.at, stamp.header, dumps(stamp.value)
