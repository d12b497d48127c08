"""What a firing means under a clock of its own, for workers whose clock is the real one.

A worker would wait, in real time, for what is due later in the minute that a firing covers, and
for the eta of a message that came by a one-time schedule. So whoever keeps the other clock decides
both, and sends what can be run at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from caraway.core.envelope import parse_envelope
from caraway.core.fields import read_time
from caraway.core.ids import occurrence_id
from caraway.core.json_text import dumps
from caraway.core.occurrences import COVERS
from caraway.core.signing import FIELD, sealed
from caraway.core.timing import Timing
from caraway.exceptions import ImproperlyConfigured, InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from caraway.core.signing import Signing
    from caraway.requests.base import Json

COVERS_AT_MOST: Final = timedelta(seconds=900)


@dataclass(frozen=True)
class Occurrence:
    """A time at which something is due, and the message that says so."""

    time: datetime
    body: str


@dataclass(frozen=True)
class Virtual:
    """How the other clock stands to the real one.

    Attributes
    ----------
    at
        Returns where the clock stood at a moment of real time.
    signing
        Signs anew what is changed in a signed message.
    """

    at: Callable[[datetime], datetime]
    signing: Signing | None = None

    def occurrences(self, body: str, fired: datetime) -> list[Occurrence]:
        """Return what a firing stands for, each as a message that a worker runs at once.

        Raises
        ------
        ImproperlyConfigured
            If a message is signed, and there is no key to sign it anew.
        """
        envelope = envelope_of(body)
        if envelope is None or "schedule" not in envelope:
            return [Occurrence(fired, body)]
        when: dict[str, Json] = envelope.get("when") or {}
        due, covers = [fired], covered_by(body)
        if covers:
            due = Timing.read(when).during(fired.replace(second=0, microsecond=0), covers)
        rest = {name: value for name, value in when.items() if name != COVERS}
        entry = str(envelope["schedule"])
        return [
            Occurrence(
                time,
                self._changed(
                    envelope,
                    id=occurrence_id(entry, time),
                    scheduled_time=time.isoformat(),
                    when=rest,
                ),
            )
            for time in due
        ]

    def due(self, body: str, at: datetime, created: datetime) -> datetime:
        """Return when a one-time schedule is due: as long after it was made as it says.

        A task with an eta is due at that, not a minute before it, when its schedule is.
        """
        envelope = envelope_of(body) or {}
        eta = read_time(envelope["eta"], "eta") if envelope.get("eta") else at
        return self.at(created) + (eta - created)

    def without_eta(self, body: str) -> str:
        """Return a message that is due now."""
        envelope = envelope_of(body) or {}
        return self._changed(envelope, eta=None) if envelope.get("eta") else body

    def _changed(self, envelope: dict[str, Json], **fields: Json) -> str:
        given = {name: value for name, value in fields.items() if value not in (None, {})}
        kept = {name: value for name, value in envelope.items() if name not in {FIELD, *fields}}
        changed = {**kept, **given}
        if FIELD not in envelope:
            return dumps(changed)
        if self.signing is None:
            raise ImproperlyConfigured(
                "its message is signed, and cannot be sent at another time than it says: leave "
                "task_signing_keys out while the clock is not the real one"
            )
        return sealed(self.signing, changed, dumps(changed))


def covered_by(body: str) -> timedelta:
    """Return how long after a firing the occurrences may be that it stands for."""
    when = (envelope_of(body) or {}).get("when") or {}
    return timedelta(seconds=when.get(COVERS) or 0)


def envelope_of(body: str) -> dict[str, Json] | None:
    """Return a task message; None if it is anything else."""
    try:
        return parse_envelope(body)
    except InvalidMessage:
        return None
