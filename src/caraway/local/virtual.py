"""What a firing means under a clock that is not the real one.

Whoever keeps such a clock decides what is due at which of its moments, and sends each occurrence
then, also those later in the minute that a rule's firing covers. Workers whose clock is the real
one can judge neither an eta nor whether something is late, so nothing of that is left to them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from caraway.core.envelope import parse_envelope
from caraway.core.fields import read_time
from caraway.core.ids import occurrence_id
from caraway.core.json_text import dumps
from caraway.core.occurrences import COVERS
from caraway.core.policies import Policy, jitter_of
from caraway.core.signing import FIELD, sealed
from caraway.core.timing import Timing
from caraway.exceptions import ImproperlyConfigured, InvalidMessage
from caraway.lean import dataclass
from caraway.requests.sqs import DELAY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from caraway.core.signing import Signing
    from caraway.requests.base import Json

_JUDGED_BY_WORKERS: Final = ("jitter_s", "grace_s", "catch_up")
"""What a worker measures by its own clock."""
COVERS_AT_MOST: Final = timedelta(seconds=2 * DELAY_LIMIT_S)
"""A guard and a jitter are as long as SQS can delay a message, each."""


@dataclass(frozen=True)
class Occurrence:
    """Something that is due.

    Attributes
    ----------
    time
        The time for which it is.
    body
        The message that says so.
    jitter
        How much later it is to be sent.
    """

    time: datetime
    body: str
    jitter: timedelta = timedelta()


@dataclass(frozen=True)
class Virtual:
    """How the other clock stands to the real one, which is that of the workers.

    Attributes
    ----------
    at
        Returns where the clock stood at a moment of real time. None: the workers are on the other
        clock, too.
    signing
        Returns what signs anew what is changed in a signed message.
    """

    at: Callable[[datetime], datetime] | None = None
    signing: Callable[[], Signing | None] = lambda: None

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
        due, covers_s = [fired], when.get(COVERS)
        if covers_s:
            minute = fired.replace(second=0, microsecond=0)
            due = Timing.read(when).during(minute, timedelta(seconds=covers_s))
        return [self._occurrence(envelope, when, time) for time in due]

    def _occurrence(
        self, envelope: dict[str, Json], when: dict[str, Json], time: datetime
    ) -> Occurrence:
        id = occurrence_id(str(envelope["schedule"]), time)
        decided = {COVERS} if self.at is None else {COVERS, *_JUDGED_BY_WORKERS}
        rest = {name: value for name, value in when.items() if name not in decided}
        body = self._changed(envelope, id=id, scheduled_time=time.isoformat(), when=rest)
        return Occurrence(time, body, jitter_of(id, Policy.read(when).jitter_s))

    def due(self, body: str, at: datetime, created: datetime) -> datetime:
        """Return when a one-time schedule is due: as long after it was made as it was then.

        A task with an eta is due at that, not a minute before it, when its schedule is.
        """
        envelope = envelope_of(body) or {}
        eta = read_time(envelope["eta"], "eta") if envelope.get("eta") else at
        return eta if self.at is None else self.at(created) + (eta - created)

    def without_eta(self, body: str) -> str:
        """Return a message that a worker runs at once, when its eta has come."""
        if self.at is None:
            return body
        envelope = envelope_of(body) or {}
        return self._changed(envelope, eta=None) if envelope.get("eta") else body

    def _changed(self, envelope: dict[str, Json], **fields: Json) -> str:
        given = {name: value for name, value in fields.items() if value not in (None, {})}
        kept = {name: value for name, value in envelope.items() if name not in {FIELD, *fields}}
        changed = {**kept, **given}
        if FIELD not in envelope:
            return dumps(changed)
        signing = self.signing()
        if signing is None or signing.key_id is None:
            raise ImproperlyConfigured(
                "its message is signed, and cannot be sent at another time than it says without a "
                "key that signs it anew: set task_signing_key_id, or leave task_signing_keys out "
                "while the clock is not the real one"
            )
        return sealed(signing, changed, dumps(changed))


def covered_by(body: str) -> timedelta:
    """Return how long after a firing what it stands for may be sent."""
    when = (envelope_of(body) or {}).get("when") or {}
    return timedelta(seconds=(when.get(COVERS) or 0) + (when.get("jitter_s") or 0))


def envelope_of(body: str) -> dict[str, Json] | None:
    """Return a task message; None if it is anything else."""
    try:
        return parse_envelope(body)
    except InvalidMessage:
        return None
