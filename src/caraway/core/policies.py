"""What becomes of an occurrence that is late, and of one whose predecessor still runs.

An entry's policies travel in its messages beside its timing. They are judged when the occurrence
begins for the first time, which its record remembers: a run that was begun in time may be begun
again at any time, and one that was begun too late never runs.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from caraway.core.record import HORIZON_S
from caraway.exceptions import ImproperlyConfigured, InvalidMessage, InvalidOption, nearest
from caraway.lean import dataclass
from caraway.requests.sqs import DELAY_LIMIT_S
from caraway.schedules.base import TICK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from caraway.core.stored import Kind
    from caraway.core.timing import Timing
    from caraway.requests.base import Json

CatchUp: TypeAlias = Literal["skip", "latest", "all"]
Overlap: TypeAlias = Literal["allow", "skip"]
CATCH_UPS: Final = ("skip", "latest", "all")
OVERLAPS: Final = ("allow", "skip")

PRECISION_S: Final = 60
"""How late a schedule may be sent that is sent in time ("Schedule types on EventBridge Scheduler",
its User Guide; the same is said of rules)."""
WINDOW_LIMIT_S: Final = 86_400
"""The longest jitter of a schedule ("FlexibleTimeWindow", EventBridge Scheduler API Reference)."""
_WINDOW_STEP_S: Final = 60


@dataclass(frozen=True)
class Policy:
    """What an entry says of its occurrences.

    Attributes
    ----------
    grace_s
        An occurrence that begins more than so many seconds after its time is late. None: none is;
        with ``latest`` every one is.
    catch_up
        What becomes of one that is late. ``skip``: it is missed. ``latest``: it is missed if a
        later one is due by then. ``all``: it runs. None is ``skip`` with a grace, else ``all``.
    overlap
        ``skip``: an occurrence is missed while the run of another one goes on.
    jitter_s
        Each occurrence is due up to so many seconds later.
    expires_s
        An occurrence that has not begun so many seconds after that is revoked: the option
        ``expires`` of the call.
    in_window
        Whether EventBridge Scheduler spreads them, in a flexible window as long as the jitter. Else
        the worker delays them.
    """

    grace_s: float | None = None
    catch_up: CatchUp | None = None
    overlap: Overlap = "allow"
    jitter_s: int = 0
    in_window: bool = False
    expires_s: float | None = None

    @property
    def late_ones(self) -> CatchUp:
        """What becomes of occurrences that are late."""
        return self.catch_up or ("all" if self.grace_s is None else "skip")

    @property
    def window_minutes(self) -> int:
        """The length of Scheduler's flexible window, 0 for none."""
        return self.jitter_s // _WINDOW_STEP_S if self.in_window else 0

    @property
    def may_miss(self) -> bool:
        """Whether there are occurrences that do not run."""
        return self.late_ones != "all" or self.overlap == "skip"

    def to_json(self) -> dict[str, Json]:
        """Return it as a message carries it, without what is at its default."""
        wire = {
            "grace_s": self.grace_s,
            "catch_up": self.catch_up,
            "overlap": None if self.overlap == "allow" else self.overlap,
            _WINDOW if self.in_window else "jitter_s": self.jitter_s or None,
            "expires_s": self.expires_s,
        }
        return {name: value for name, value in wire.items() if value is not None}

    @classmethod
    def read(cls, wire: Mapping[str, Json]) -> Policy:
        """Return the policy in JSON that may say other things as well.

        Raises
        ------
        InvalidMessage
            If a part of it cannot be.
        """
        said = {name: wire[name] for name in _HOLD if wire.get(name) is not None}
        for name, value in said.items():
            if not _HOLD[name](value):
                raise InvalidMessage(f"when: {name} is {value!r:.80}, and cannot be")
        window_s = said.pop(_WINDOW, 0)
        if window_s:
            said |= {"jitter_s": window_s, "in_window": True}
        return cls(**said)


def is_grace(value: Any) -> bool:
    """Say whether a value is a number of seconds, 0 or more."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < inf


def is_jitter(value: Any) -> bool:
    """Say whether a value is a number of whole seconds that some store can spread."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and 0 <= value <= WINDOW_LIMIT_S


_WINDOW: Final = "window_s"
_HOLD: Final[dict[str, Callable[[Any], bool]]] = {
    "grace_s": is_grace,
    "catch_up": CATCH_UPS.__contains__,
    "overlap": OVERLAPS.__contains__,
    "jitter_s": is_jitter,
    _WINDOW: is_jitter,
    "expires_s": is_grace,
}


# -- as an entry declares it -----------------------------------------------------------------------

KINDS: Final[dict[str, tuple[Any, str]]] = {
    "misfire_grace_s": (int | float | timedelta, "seconds"),
    "catch_up": (str, "'skip', 'latest' or 'all'"),
    "overlap": (str, "'allow' or 'skip'"),
    "jitter_s": (int | timedelta, "whole seconds"),
}
"""The keys of an entry that say it, each with its type and what it is to be."""


def policy_of(fields: Mapping[str, Any]) -> Policy:
    """Return the policy that the fields of an entry declare, each of the type in :data:`KINDS`.

    Raises
    ------
    ImproperlyConfigured
        If a value cannot be.
    """
    words = {"catch_up": CATCH_UPS, "overlap": OVERLAPS}
    for name, known in words.items():
        if fields.get(name, known[0]) not in known:
            near = nearest(fields[name], known)
            raise ImproperlyConfigured(
                f"{name!r} is {fields[name]!r}, expected {KINDS[name][1]}{near}"
            )
    grace_s = _seconds(fields.get("misfire_grace_s"))
    if grace_s is not None and not is_grace(grace_s):
        raise ImproperlyConfigured(f"'misfire_grace_s' is {grace_s!r}, expected seconds, 0 or more")
    jitter_s = _seconds(fields.get("jitter_s", 0))
    if not is_jitter(jitter_s):
        raise ImproperlyConfigured(
            f"'jitter_s' is {jitter_s!r}, expected whole seconds from 0 to {WINDOW_LIMIT_S:,}"
        )
    return Policy(grace_s, fields.get("catch_up"), fields.get("overlap", "allow"), jitter_s)


def fields_of(policy: Policy) -> dict[str, Any]:
    """Return the fields that declare a policy, None for what is at its default."""
    return {
        "misfire_grace_s": policy.grace_s,
        "catch_up": policy.catch_up,
        "overlap": policy.overlap,
        "jitter_s": policy.jitter_s,
    }


def _seconds(value: Any) -> Any:
    if not isinstance(value, timedelta):
        return value
    seconds = value.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _check_grace(policy: Policy) -> None:
    if policy.late_ones != "skip":
        return
    if policy.grace_s is None:
        raise ImproperlyConfigured(
            "'catch_up' is 'skip', but nothing is late without a 'misfire_grace_s': say after how "
            "many seconds an occurrence is not to run any more, such as 300"
        )
    if policy.grace_s < PRECISION_S:
        raise ImproperlyConfigured(
            f"'misfire_grace_s' is {policy.grace_s:g}, but EventBridge itself may be late by "
            f"{PRECISION_S} s: use that or more, or 'catch_up': 'latest', which misses only "
            "occurrences that a later one replaces"
        )


def kept_by(kind: Kind, policy: Policy, *, fifo: bool) -> Policy:
    """Return a policy as a rule or a schedule keeps it, and the workers of its queue.

    Scheduler sees to its jitter where it can, or else the workers.

    Raises
    ------
    ImproperlyConfigured
        If they cannot keep it: nothing would be late, or all would be; or the queue takes no
        delays, or none so long.
    """
    _check_grace(policy)
    jitter_s, is_schedule = policy.jitter_s, kind == "schedule"
    if not jitter_s:
        return policy
    if is_schedule and jitter_s % _WINDOW_STEP_S == 0:
        return replace(policy, in_window=True)
    instead = (
        "use whole minutes, for which EventBridge Scheduler has windows"
        if is_schedule
        else "EventBridge Scheduler (the setting scheduler_role_arn) has windows of whole minutes"
    )
    if fifo:
        raise InvalidOption(
            "'jitter_s' is a delay, and a FIFO queue takes none for a single message: leave it "
            f"out, or send the task to a standard queue; {instead}"
        )
    if jitter_s > DELAY_LIMIT_S:
        raise InvalidOption(
            f"'jitter_s' is {jitter_s:,}, and SQS delays a message by {DELAY_LIMIT_S} s at most: "
            f"use that or less; {instead}"
        )
    return policy


def expires_s_of(expires: Any) -> float | None:
    """Return the seconds of the option ``expires``, None where it is not given.

    Raises
    ------
    InvalidOption
        If it is no number of seconds: every occurrence has a time of its own.
    """
    seconds: float | None = _seconds(expires)
    if seconds is None or (is_grace(seconds) and seconds > 0):
        return seconds
    raise InvalidOption(
        f"option 'expires' is {expires!r}: in a schedule it is seconds after the time of each "
        "occurrence, above 0; what bounds all of them is 'end' of the entry"
    )


# -- as it is judged -------------------------------------------------------------------------------


def why_missed(policy: Policy, timing: Timing, due: datetime, begun: datetime) -> str | None:
    """Return why an occurrence is missed that began then, for its lateness; None if it runs.

    Parameters
    ----------
    due
        Its time, without its jitter: the grace is counted from when that has passed.
    begun
        When it began for the first time.
    """
    late_s, grace_s = (begun - due).total_seconds(), policy.grace_s or 0
    if policy.late_ones == "all" or late_s - policy.jitter_s <= grace_s:
        return None
    why = f"it began {late_s:,.0f} s after its time, {due.isoformat()}"
    if policy.late_ones == "skip":
        return f"{why}: its grace is {grace_s:g} s"
    # What is older than messages live would not be run, and is not looked at.
    since = max(due, begun - timedelta(seconds=HORIZON_S))
    later = timing.after(since, begun + TICK)
    return None if later is None else f"{why}: a later one was due, {later.isoformat()}"


def jitter_of(id: str, jitter_s: int) -> timedelta:
    """Return how much later than its time an occurrence is due: its id decides."""
    if not jitter_s:
        return timedelta()
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % (jitter_s + 1))
