"""Schedules as text, as a person types them on a command line or into a form.

=============================================  ==================================================
text                                           schedule
=============================================  ==================================================
``*/15 8-18 * * mon-fri``                      a crontab: minute, hour, day of month, month, day
                                               of week
``every 90s``, ``every 10m``, ``every 1h30m``  an interval, in ``d``, ``h``, ``m`` and ``s``
``at 2026-12-24T18:00``                        once, by the clock of the zone unless it says its
                                               own: ``at 2026-12-24T17:00Z``
``solar sunset 48.86 2.35``                    an event of the sun at a latitude and a longitude
=============================================  ==================================================
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from caraway.exceptions import ImproperlyConfigured
from caraway.schedules import maybe_schedule
from caraway.schedules.base import UTC, BaseSchedule, zone_of
from caraway.schedules.clocked import clocked
from caraway.schedules.crontab import crontab
from caraway.schedules.interval import schedule
from caraway.schedules.solar import solar

if TYPE_CHECKING:
    from collections.abc import Callable

_EXPECTED: Final = (
    "expected the five fields of a crontab such as '*/15 8-18 * * mon-fri', 'every 10m', "
    "'at 2026-12-24T18:00' or 'solar sunset 48.86 2.35'"
)
_UNITS_S: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LENGTH: Final = re.compile("".join(rf"(?:(\d+){unit})?" for unit in _UNITS_S))


def from_text(text: str, tz: tzinfo | str | None = None) -> BaseSchedule:
    """Return the schedule that a text describes.

    Parameters
    ----------
    tz
        The zone of a crontab and of ``at``, or its IANA name; None: UTC.

    Raises
    ------
    ImproperlyConfigured
        If it describes none, or there is no such zone; the message shows what is expected.
    """
    zone = zone_of(tz) or UTC
    kind, _, rest = text.strip().partition(" ")
    read = _READERS.get(kind.lower())
    try:
        if read is not None:
            return read(rest, zone)
    except (ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"schedule {text!r}: {error}") from error
    if len(text.split()) != 5:
        raise ImproperlyConfigured(f"schedule {text!r}: {_EXPECTED}")
    return crontab.from_string(text, tz=zone)


def schedule_of(
    when: BaseSchedule | timedelta | float | str, tz: tzinfo | str | None, default: tzinfo
) -> BaseSchedule:
    """Return the schedule that is meant, in the zone that is asked for.

    Parameters
    ----------
    tz
        The zone of a crontab or a moment that is text, or its IANA name; None: the default.

    Raises
    ------
    ImproperlyConfigured
        If it is none, there is no such zone, or a zone has no meaning for it.
    """
    if not isinstance(when, str):
        if tz is not None:
            raise ImproperlyConfigured(
                f"tz={tz!r} is the zone of a schedule that is text, and this is {when!r}: say it "
                "there, as in crontab(hour=9, tz='Europe/Paris')"
            )
        return maybe_schedule(when)
    found = from_text(when, default if tz is None else tz)
    if tz is not None and not isinstance(found, crontab | clocked):
        raise ImproperlyConfigured(
            f"schedule {when!r} has no zone, and {tz!s} would mean nothing: leave it out"
        )
    return found


def to_text(when: BaseSchedule) -> str:
    """Return the text from which :func:`from_text` reads the same; of a crontab without its zone.

    A schedule of somebody's own is shown by its ``repr``, which cannot be read.
    """
    match when:
        case crontab():
            return when.to_string()
        case schedule():
            return f"every {_length(when.seconds)}"
        case clocked():
            return f"at {when.clocked_time.isoformat().replace('+00:00', 'Z')}"
        case solar():
            return f"solar {when.event} {when.lat} {when.lon}"
    return repr(when)


def _length(seconds: float) -> str:
    parts, left = [], int(seconds)
    if left != seconds:
        return f"{seconds}s"
    for unit, size in _UNITS_S.items():
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


def _every(text: str, _zone: tzinfo) -> schedule:
    found = _LENGTH.fullmatch("".join(text.lower().split()))
    numbers = [int(number or 0) for number in found.groups()] if found else []
    seconds = sum(number * size for number, size in zip(numbers, _UNITS_S.values(), strict=False))
    if not seconds:
        raise ValueError(f"{text!r} is no interval, such as 90s, 10m or 1h30m")
    return schedule(seconds)


def _at(text: str, zone: tzinfo) -> clocked:
    try:
        # fromisoformat of Python 3.10 does not know the "Z".
        time = datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is no time, such as 2026-12-24T18:00") from None
    return clocked(time if time.tzinfo else time.replace(tzinfo=zone))


def _solar(text: str, _zone: tzinfo) -> solar:
    event, *place = text.split() or [""]
    try:
        lat, lon = map(float, place)
    except ValueError:
        raise ValueError("expected an event, a latitude and a longitude in degrees") from None
    return solar(event, lat, lon)


_READERS: Final[dict[str, Callable[[str, tzinfo], BaseSchedule]]] = {
    "every": _every,
    "at": _at,
    "solar": _solar,
}
