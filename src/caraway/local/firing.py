"""Fires what is stored in EventBridge, as EventBridge does: each once, in order of time.

It works by looks: at each one it reads what is stored now, and sends what was due since the last
one. What it sends is decided by the two moments alone, not by how many looks there were between.
"""

from __future__ import annotations

import random
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from caraway.exceptions import CarawayError, LocalError
from caraway.lean import dataclass
from caraway.local.sources import Sources
from caraway.local.virtual import COVERS_AT_MOST, Occurrence, covered_by, envelope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.local.sources import Call, Source, Target, Told
    from caraway.local.virtual import Virtual

_FIRST_LOOK_AHEAD: Final = timedelta(minutes=1)
_FAILURES: Final = (CarawayError, BotoCoreError, ClientError)


@dataclass(frozen=True)
class Fired:
    """Something that was fired.

    Attributes
    ----------
    name
        Of the entry; of the rule or the schedule, if what it sends is of no entry.
    scheduled_time
        When it was due.
    sent_at
        When it was sent, by the clock that fires: later than it was due where it has a jitter.
    target
        Name of the queue, or of the Lambda function.
    task
        Name of the task; None if what was sent is no task message.
    body
        What was sent.
    """

    name: str
    scheduled_time: datetime
    sent_at: datetime
    target: str
    task: str | None
    body: str = field(repr=False)


@dataclass(frozen=True)
class _Shot:
    """A firing that is due."""

    fired: Fired
    source: Source
    target: Target


class Firing:
    """Fires the rules and schedules of an account in one region.

    Parameters
    ----------
    call
        Performs the requests.
    since
        What was due until then is not fired, one-time schedules aside that are deleted after
        they fired: they are there because they have not.
    virtual
        How the clock stands to the real one, if it is another one.
    seed
        Decides where in a flexible window a firing lies.
    told
        Is told of what cannot be fired, and why. By default it is raised.
    """

    def __init__(
        self,
        call: Call,
        since: datetime,
        *,
        virtual: Virtual | None = None,
        seed: int = 0,
        told: Told | None = None,
    ) -> None:
        self.since = since
        self._call = call
        self._told = told or _raise
        self._sources = Sources(call, self._told)
        self._virtual = virtual
        self._seed = seed
        self._fired_once: set[tuple[str, datetime]] = set()
        self._urls: dict[str, str] = {}

    def fire(self, until: datetime) -> list[Fired]:
        """Fire all that is due until a moment; return it in the order in which it was sent."""
        sources = self._sources.read()
        fired = self._send(self._due(sources, until))
        self._clean(sources, until)
        self.since = max(self.since, until)
        return fired

    def fire_next(self, until: datetime) -> list[Fired]:
        """Fire what is due first, if that is until a moment: everything that is due then."""
        sources = self._sources.read()
        shots, ahead = list[_Shot](), _FIRST_LOOK_AHEAD
        while not shots and self.since < until:
            edge = min(self.since + ahead, until)
            shots, ahead = self._due(sources, edge), 4 * ahead
            if not shots:
                self.since = edge
        if not shots:
            return []
        at = shots[0].fired.sent_at
        fired = self._send([shot for shot in shots if shot.fired.sent_at == at])
        self._clean(sources, at)
        self.since = at
        return fired

    # -- what is due ------------------------------------------------------------------------

    def _due(self, sources: list[Source], until: datetime) -> list[_Shot]:
        """Return what is due after the last look and until a moment, in order."""
        shots: list[_Shot] = []
        for source in sources:
            try:
                shots += self._once(source, until) if source.once else self._often(source, until)
            except _FAILURES as error:  # noqa: PERF203 - of one, and the others fire
                self._told(source.name, error)
        return sorted(shots, key=_in_order)

    def _often(self, source: Source, until: datetime) -> Iterator[_Shot]:
        early = self.since - source.window
        times = list(source.between(early - COVERS_AT_MOST if self._virtual else early, until))
        for target in self._sources.targets(source) if times else ():
            covers = covered_by(target.payload(times[0])) if self._virtual else timedelta()
            for time in times:
                if time <= early - covers:
                    continue
                for each in self._occurrences(target.payload(time), time):
                    at = each.time + each.jitter + self._later(source, each.time)
                    if self.since < at <= until:
                        yield _shot(source, target, at, each)

    def _occurrences(self, body: str, time: datetime) -> list[Occurrence]:
        if self._virtual is None:
            return [Occurrence(time, body)]
        return self._virtual.occurrences(body, time)

    def _once(self, source: Source, until: datetime) -> Iterator[_Shot]:
        time, waits = source.once, source.deletes
        if time is None or (source.arn, source.created) in self._fired_once:
            return
        for target in self._sources.targets(source) if self._virtual or time <= until else ():
            body, due = target.payload(time), time
            if self._virtual:
                due = self._virtual.due(body, time, source.created)
                body = self._virtual.without_eta(body)
            at = due + self._later(source, due)
            if self.since < at <= until or (waits and at <= until):
                yield _shot(source, target, max(at, self.since), Occurrence(due, body))

    def _later(self, source: Source, time: datetime) -> timedelta:
        """Return how much later than due something fires, in its flexible window."""
        if not source.window:
            return timedelta()
        chance = random.Random(f"{self._seed} {source.arn} {time.isoformat()}")  # noqa: S311
        return timedelta(seconds=chance.randrange(int(source.window.total_seconds())))

    # -- sending it -------------------------------------------------------------------------

    def _send(self, shots: list[_Shot]) -> list[Fired]:
        sent: list[Fired] = []
        for shot in shots:
            try:
                self._send_to(shot.target, shot.fired.body)
            except _FAILURES as error:
                self._told(shot.fired.name, error)
                continue
            sent.append(shot.fired)
            if shot.source.once:
                self._fired_once.add((shot.source.arn, shot.source.created))
        return sent

    def _send_to(self, target: Target, body: str) -> None:
        _, _, service, _, _, resource = target.arn.split(":", 5)
        if service == "lambda":
            name, _, _ = resource.removeprefix("function:").partition(":")
            params = {"FunctionName": name, "InvocationType": "Event", "Payload": body.encode()}
            self._call("lambda", "invoke", params)
        elif service == "sqs":
            group: dict[str, Any] = {"MessageGroupId": target.group_id} if target.group_id else {}
            url = self._url(resource)
            self._call("sqs", "send_message", {"QueueUrl": url, "MessageBody": body, **group})
        else:
            raise LocalError(
                f"its target {target.arn} is neither a queue nor a Lambda function, and no others "
                "are sent to here"
            )

    def _url(self, queue: str) -> str:
        if queue not in self._urls:
            answer = self._call("sqs", "get_queue_url", {"QueueName": queue})
            self._urls[queue] = answer["QueueUrl"]
        return self._urls[queue]

    def _clean(self, sources: list[Source], moment: datetime) -> None:
        """Delete what is over and is to be deleted then."""
        for source in sources:
            if not source.deletes:
                continue
            done = (
                (source.arn, source.created) in self._fired_once
                if source.once
                else source.is_over(moment - source.window)
            )
            if done:
                try:
                    self._sources.delete(source)
                except _FAILURES as error:
                    self._told(source.name, error)


def _shot(source: Source, target: Target, at: datetime, occurrence: Occurrence) -> _Shot:
    message = envelope_of(occurrence.body) or {}
    fired = Fired(
        str(message.get("schedule") or source.name),
        occurrence.time,
        at,
        target.arn.rpartition(":")[2],
        message.get("task"),
        occurrence.body,
    )
    return _Shot(fired, source, target)


def _in_order(shot: _Shot) -> tuple[Any, ...]:
    fired = shot.fired
    return fired.sent_at, fired.name, fired.scheduled_time, fired.target, fired.body


def _raise(_name: str, error: Exception) -> None:
    raise error
