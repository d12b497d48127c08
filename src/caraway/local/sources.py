"""What is stored to fire: the rules of the default bus, and the schedules of every group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError

from caraway.exceptions import CarawayError, ImproperlyConfigured
from caraway.lean import dataclass
from caraway.local.expressions import At, Expression, read_expression
from caraway.local.payloads import rule_payload, schedule_payload
from caraway.schedules.base import EPOCH, TICK
from caraway.schedules.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Mapping

Call: TypeAlias = Callable[[str, str, dict[str, Any]], dict[str, Any]]
"""Performs an operation of a service, such as :class:`caraway.aws.blocking_aws.Botocore`."""
Told: TypeAlias = Callable[[str, Exception], None]
"""Is told of what failed, and whose firing it was."""
_PAGE: Final = 100
_EVERYTHING: Final = 100_000


@dataclass(frozen=True)
class Target:
    """Where a firing is sent, and what is sent.

    Attributes
    ----------
    payload
        Returns the text, for the time that it was due.
    """

    arn: str
    payload: Callable[[datetime], str]
    group_id: str | None = None


@dataclass(frozen=True)
class Source:
    """A rule or a schedule that may fire.

    Attributes
    ----------
    start, end
        The first moment and the last one at which it may.
    window
        Up to how much later it fires than it is due.
    group
        The schedule's group; None for a rule.
    target
        A schedule's; those of a rule are asked for when it fires.
    deletes
        Whether it is deleted when it never fires again.
    created
        When a schedule was made.
    """

    name: str
    arn: str
    expression: Expression
    start: datetime | None = None
    end: datetime | None = None
    window: timedelta = timedelta()
    group: str | None = None
    target: Target | None = None
    deletes: bool = False
    created: datetime = EPOCH

    @property
    def once(self) -> datetime | None:
        """When it fires, if that is only once."""
        return self.expression.time if isinstance(self.expression, At) else None

    def between(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Return the times for which it fires: after one moment, and not after another one."""
        if self.start is not None:
            since = max(since, self.start - TICK)
        if self.end is not None:
            until = min(until, self.end)
        at = self.expression.after(since)
        while at is not None and at <= until:
            yield at
            at = self.expression.after(at)

    def is_over(self, moment: datetime) -> bool:
        """Say whether it never fires after a moment."""
        coming = self.expression.after(moment)
        return coming is None or (self.end is not None and coming > self.end)


class Sources:
    """The rules and schedules of an account in one region.

    Parameters
    ----------
    call
        Performs the requests.
    told
        Is told of each that cannot be fired, once.
    """

    def __init__(self, call: Call, told: Told) -> None:
        self._call = call
        self._told = told
        self._known: dict[tuple[Any, ...], Source | None] = {}

    def read(self) -> list[Source]:
        """Return everything that is enabled.

        It takes a request for each 100 rules and schedules, and one more for each schedule that is
        new or has changed.
        """
        before, self._known = self._known, {}
        for rule in self._pages("events", "list_rules", "Rules", {"Limit": _PAGE}):
            if rule.get("ScheduleExpression") and rule["State"] == "ENABLED":
                key: tuple[Any, ...] = (rule["Arn"], rule["ScheduleExpression"])
                self._known[key] = (
                    before[key] if key in before else self._made(rule["Name"], _rule, rule)
                )
        # Not 100 at a time: an engine may know no second page.
        everything = {"MaxResults": _EVERYTHING, "State": "ENABLED"}
        for summary in self._pages("scheduler", "list_schedules", "Schedules", everything):
            key = (summary["Arn"], summary["CreationDate"], summary["LastModificationDate"])
            self._known[key] = before[key] if key in before else self._schedule(summary)
        return [source for source in self._known.values() if source is not None]

    def targets(self, source: Source) -> list[Target]:
        """Return where something is sent when it fires; for a rule, with a request."""
        if source.group is not None:
            return [source.target] if source.target else []
        answer = self._call("events", "list_targets_by_rule", {"Rule": source.name})
        return [_target_of_rule(wire, source) for wire in answer["Targets"]]

    def delete(self, source: Source) -> None:
        """Delete a schedule; one that is gone is no error."""
        if source.group is not None:
            self._unless_gone("delete_schedule", {"Name": source.name, "GroupName": source.group})

    def _pages(
        self, service: str, operation: str, what: str, params: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        while True:
            page = self._call(service, operation, params)
            yield from page[what]
            if not page.get("NextToken"):
                return
            params = {**params, "NextToken": page["NextToken"]}

    def _schedule(self, summary: Mapping[str, Any]) -> Source | None:
        where = {"Name": summary["Name"], "GroupName": summary["GroupName"]}
        wire = self._unless_gone("get_schedule", where)
        return None if wire is None else self._made(summary["Name"], _schedule, wire)

    def _made(
        self, name: str, make: Callable[[Mapping[str, Any]], Source], wire: Mapping[str, Any]
    ) -> Source | None:
        try:
            return make(wire)
        except CarawayError as error:
            self._told(name, error)
            return None

    def _unless_gone(self, operation: str, params: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return self._call("scheduler", operation, params)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                raise
            return None


def _rule(wire: Mapping[str, Any]) -> Source:
    return Source(wire["Name"], wire["Arn"], read_expression(wire["ScheduleExpression"]))


def _target_of_rule(wire: Mapping[str, Any], rule: Source) -> Target:
    return Target(
        wire["Arn"],
        lambda time: rule_payload(wire, rule.name, rule.arn, time),
        wire.get("SqsParameters", {}).get("MessageGroupId"),
    )


def _schedule(wire: Mapping[str, Any]) -> Source:
    arn, target, window = wire["Arn"], wire["Target"], wire["FlexibleTimeWindow"]
    zone_name = wire.get("ScheduleExpressionTimezone") or "UTC"
    try:
        zone = zone_named(zone_name)
    except ValueError as error:
        raise ImproperlyConfigured(f"its time zone {zone_name!r} is none") from error
    start = wire.get("StartDate")
    return Source(
        wire["Name"],
        arn,
        read_expression(wire["ScheduleExpression"], zone, start or EPOCH),
        start=start,
        end=wire.get("EndDate"),
        window=timedelta(minutes=window.get("MaximumWindowInMinutes") or 0),
        group=wire["GroupName"],
        target=Target(
            target["Arn"],
            lambda time: schedule_payload(target.get("Input") or "", arn, time),
            target.get("SqsParameters", {}).get("MessageGroupId"),
        ),
        deletes=wire.get("ActionAfterCompletion") == "DELETE",
        created=wire["CreationDate"],
    )
