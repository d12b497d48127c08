"""When the sun rises, sets, or passes another mark: Celery's ``solar``.

The sun's ways are those of the package ephem (``pip install 'caraway[solar]'``).

=====================  ===========================================================
event                  the sun
=====================  ===========================================================
``dawn_astronomical``  rises to 18 degrees below the horizon
``dawn_nautical``      rises to 12 degrees below it
``dawn_civil``         rises to 6 degrees below it
``sunrise``            shows its upper edge
``solar_noon``         stands highest, also where that is below the horizon
``sunset``             hides its upper edge
``dusk_civil``         sinks to 6 degrees below the horizon
``dusk_nautical``      sinks to 12 degrees below it
``dusk_astronomical``  sinks to 18 degrees below it
=====================  ===========================================================
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import ImproperlyConfigured, nearest
from caraway.lean import dataclass
from caraway.schedules.base import FOREVER, UTC, BaseSchedule

if TYPE_CHECKING:
    from caraway.schedules.base import HasTimezone, Nowfun


@dataclass(frozen=True)
class _Event:
    """What ephem is asked: a method of its Observer, and the height that counts as the horizon."""

    ask: str
    horizon: str = "0"
    center: bool | None = False


# At sea level refraction lifts the sun by 34 minutes of arc ("Rise, Set, and Twilight
# Definitions", U.S. Naval Observatory); twilights count its centre.
EVENTS: Final = {
    "dawn_astronomical": _Event("next_rising", "-18", center=True),
    "dawn_nautical": _Event("next_rising", "-12", center=True),
    "dawn_civil": _Event("next_rising", "-6", center=True),
    "sunrise": _Event("next_rising", "-0:34"),
    "solar_noon": _Event("next_transit", center=None),
    "sunset": _Event("next_setting", "-0:34"),
    "dusk_civil": _Event("next_setting", "-6", center=True),
    "dusk_nautical": _Event("next_setting", "-12", center=True),
    "dusk_astronomical": _Event("next_setting", "-18", center=True),
}
_DAY: Final = timedelta(days=1)
_A_YEAR: Final = 367
"""Days in which the sun has done whatever it does at a place."""


class solar(BaseSchedule):  # noqa: N801 - Celery's name
    """At an event of the sun: ``solar("sunset", 48.86, 2.35)``.

    Parameters
    ----------
    event
        One of the table above.
    lat, lon
        Latitude (-90 to 90, north is positive) and longitude (-180 to 180, east is positive), in
        degrees.
    nowfun, app
        As of every schedule.

    Raises
    ------
    ImproperlyConfigured
        If the event is unknown, or the place is not on earth.
    """

    def __init__(
        self,
        event: str,
        lat: float,
        lon: float,
        nowfun: Nowfun | None = None,
        app: HasTimezone | None = None,
    ) -> None:
        super().__init__(nowfun, app)
        if event not in EVENTS:
            raise ImproperlyConfigured(f"solar: no event {event!r}{nearest(str(event), EVENTS)}")
        for name, degrees, limit in (("lat", lat, 90), ("lon", lon, 180)):
            if not -limit <= degrees <= limit:
                raise ImproperlyConfigured(
                    f"solar: {name}={degrees!r}: expected degrees from -{limit} to {limit}"
                )
        self.event: Final = event
        self.lat: Final = lat
        self.lon: Final = lon

    def after(self, moment: datetime, until: datetime = FOREVER) -> datetime | None:
        """Return the first such event after a moment, to the second.

        None if none comes before ``until``, or in a year.

        Raises
        ------
        ImproperlyConfigured
            If ephem is not installed.
        """
        first = moment.astimezone(UTC).date()
        days = min((until.astimezone(UTC).date() - first).days + 1, _A_YEAR)
        for number in range(days):
            for at in _on(first + timedelta(days=number), self.event, self.lat, self.lon):
                if at > moment:
                    return at if at < until else None
        return None

    def __eq__(self, other: object) -> bool:
        """Compare event and place."""
        if not isinstance(other, solar):
            return NotImplemented
        return (self.event, self.lat, self.lon) == (other.event, other.lat, other.lon)

    def __hash__(self) -> int:
        return hash((self.event, self.lat, self.lon))

    def __repr__(self) -> str:
        return f"<solar: {self.event} at latitude {self.lat}, longitude: {self.lon}>"


@lru_cache(maxsize=4_096)
def _on(day: date, event: str, lat: float, lon: float) -> tuple[datetime, ...]:
    """Return when an event is on a day of UTC: seldom more than once, in the far north not always.

    Always asked from midnight on, as the answer depends, by a second, on where the search begins.
    """
    ephem, asked = _ephem(), EVENTS[event]
    observer = ephem.Observer()
    observer.lat, observer.lon = str(lat), str(lon)
    observer.elevation, observer.pressure, observer.horizon = 0, 0, asked.horizon
    asks = partial(getattr(observer, asked.ask), ephem.Sun())
    if asked.center is not None:
        asks = partial(asks, use_center=asked.center)
    found: list[datetime] = []
    since = midnight = datetime.combine(day, time(), UTC)
    while since < midnight + _DAY:
        try:
            at = asks(start=since.replace(tzinfo=None)).datetime()
        except (ephem.AlwaysUpError, ephem.NeverUpError):
            break
        at = at.replace(microsecond=0, tzinfo=UTC)
        if midnight <= at < midnight + _DAY:
            found.append(at)
        since = max(at, since) + timedelta(hours=1)
    return tuple(found)


def _ephem() -> Any:
    try:
        import ephem  # type: ignore[import-untyped]  # it has no stubs
    except ImportError as error:
        raise ImproperlyConfigured(
            "solar schedules need the package ephem: pip install 'caraway[solar]'"
        ) from error
    return ephem
