"""A clock that goes faster than the real one."""

from __future__ import annotations

import re
from dataclasses import field
from datetime import datetime, timedelta, timezone
from typing import Final

from caraway.exceptions import ImproperlyConfigured
from caraway.lean import dataclass

FASTEST: Final = 3_600.0
"""A day in 24 s: more would fire faster than workers start."""


def read_speed(text: str) -> float:
    """Return how many seconds of the clock a real one has: ``60x`` or ``60``.

    Raises
    ------
    ImproperlyConfigured
        If it is not 1 to 3,600.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text.strip())
    if found is None or not 1 <= float(found[1]) <= FASTEST:
        raise ImproperlyConfigured(
            f"{text!r} is no speed of a clock: use 1 to {FASTEST:,.0f} times, such as 60x (an hour "
            "in a minute)"
        )
    return float(found[1])


def real_now() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class RunningClock:
    """A clock that goes by itself.

    Attributes
    ----------
    speed
        Its seconds to a real one.
    began
        When it was made; there it began.
    """

    speed: float = 1.0
    began: datetime = field(default_factory=real_now)

    @property
    def is_real(self) -> bool:
        """Whether it shows the real time."""
        return self.speed == 1

    def now(self) -> datetime:
        """Return where it stands."""
        return self.at(real_now())

    def at(self, real: datetime) -> datetime:
        """Return where it stands at a moment of real time; before it began, that moment."""
        return real if real < self.began else self.began + (real - self.began) * self.speed

    def real_s_to_next_minute(self) -> float:
        """Return for how many real seconds its minute goes on."""
        now = self.now()
        next_minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        return (next_minute - now).total_seconds() / self.speed
