"""When an entry of the schedule occurs, and as JSON, so that a message can carry it.

The message of every rule carries the timing of its entry, so that whoever reads the rule can say
what comes next, without the code. Where a rule fires more often than its entry occurs, as
EventBridge cannot say everything, the worker asks the timing which occurrences a firing stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway.core.fields import read_time
from caraway.exceptions import CarawayError, ImproperlyConfigured, InvalidMessage
from caraway.lean import dataclass
from caraway.schedules import BaseSchedule, clocked, crontab, schedule, solar
from caraway.schedules.base import EPOCH, FOREVER, TICK
from caraway.schedules.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime, timedelta

    from caraway.requests.base import Json


@dataclass(frozen=True)
class Timing:
    """When something occurs.

    Attributes
    ----------
    when
        The schedule, in a zone.
    start, end
        The first moment and the last one at which it may occur. An interval is counted from the
        start.
    """

    when: BaseSchedule
    start: datetime | None = None
    end: datetime | None = None

    def after(self, moment: datetime, until: datetime = FOREVER) -> datetime | None:
        """Return the first occurrence after a moment and before ``until``, in UTC; None if none."""
        return next(self.each_after(moment, until), None)

    def each_after(self, moment: datetime, until: datetime = FOREVER) -> Iterator[datetime]:
        """Give the occurrences after a moment and before ``until``, in order, in UTC."""
        if self.start is not None and moment < self.start:
            moment = self.start - TICK
        if self.end is not None:
            until = min(until, self.end + TICK)
        if isinstance(self.when, schedule):
            return self.when.each_since(self.start or EPOCH, moment, until)
        return self.when.each_after(moment, until)

    def during(self, first: datetime, length: timedelta) -> list[datetime]:
        """Return the occurrences from a moment on, for so long, in order."""
        return list(self.each_after(first - TICK, first + length))

    def to_json(self) -> dict[str, Json]:
        """Return it as a message carries it."""
        bounds = {"start": self.start, "end": self.end}
        return {
            **_when_to_json(self.when),
            **{name: time.isoformat() for name, time in bounds.items() if time is not None},
        }

    @classmethod
    def read(cls, wire: Mapping[str, Json]) -> Timing:
        """Return the timing that JSON describes.

        Raises
        ------
        InvalidMessage
            If it describes none.
        """
        try:
            bounds = {
                name: read_time(wire[name], name) for name in ("start", "end") if name in wire
            }
            (kind,) = _READERS.keys() & wire.keys()
            return cls(_READERS[kind](wire[kind], wire), **bounds)
        except (CarawayError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidMessage(f"when: {wire!r:.200} is no timing: {error}") from error


def _when_to_json(when: BaseSchedule) -> dict[str, Json]:
    match when:
        case crontab():
            return {"crontab": when.to_string(), "tz": _name_of(when)}
        case schedule():
            whole = int(when.seconds)
            return {"every_s": whole if whole == when.seconds else when.seconds}
        case solar():
            return {"solar": [when.event, when.lat, when.lon]}
        case clocked():
            return {"clocked": when.clocked_time.isoformat()}
    raise no_rule(when)


def _name_of(when: crontab) -> str:
    """Return the name of a crontab's zone, by which it is found again."""
    try:
        zone_named(str(when.tz))
    except ValueError:
        raise ImproperlyConfigured(
            f"{when!r}: its zone {when.tz!r} has no name that a message could carry: use one such "
            "as tz='Europe/Paris', or 'Etc/GMT-9' for nine hours ahead of UTC"
        ) from None
    return str(when.tz)


def no_rule(when: BaseSchedule) -> ImproperlyConfigured:
    """Return what is raised for a schedule of somebody's own."""
    return ImproperlyConfigured(
        f"{when!r} has no rule in EventBridge: use crontab, schedule, solar or clocked"
    )


def _read_crontab(text: Any, wire: Mapping[str, Json]) -> crontab:
    return crontab.from_string(str(text), tz=str(wire["tz"]))


def _read_interval(seconds: Any, _wire: Mapping[str, Json]) -> schedule:
    if seconds < 1:
        raise ValueError("an interval is a second or more")
    return schedule(seconds)


_READERS: Final[dict[str, Callable[[Any, Mapping[str, Json]], BaseSchedule]]] = {
    "crontab": _read_crontab,
    "every_s": _read_interval,
    "solar": lambda place, _wire: solar(*place),
    "clocked": lambda time, _wire: clocked(read_time(time, "clocked")),
}
