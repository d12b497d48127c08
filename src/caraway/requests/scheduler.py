"""Requests to EventBridge Scheduler: schedules of one group, each with a target of its own."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from caraway.exceptions import AccessDenied, RequestFailed, ResourceMissing, Throttled
from caraway.lean import dataclass
from caraway.requests.base import Listed, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_LIMIT: Final = 64
"""Longest name, of [0-9a-zA-Z-_.] ("CreateSchedule", EventBridge Scheduler API Reference)."""
DESCRIPTION_LIMIT: Final = 512
"""Longest description ("CreateSchedule", EventBridge Scheduler API Reference)."""
EXPRESSION_LIMIT: Final = 256
"""Longest expression ("CreateSchedule", EventBridge Scheduler API Reference)."""
INPUT_LIMIT_BYTES: Final = 262_144
"""Largest input that we give: what an event of EventBridge may have ("Calculating Amazon
EventBridge PutEvents event entry size"). Scheduler's API Reference names no limit of its own."""
WINDOW_LIMIT_MINUTES: Final = 1_440
"""Longest flexible window ("FlexibleTimeWindow", EventBridge Scheduler API Reference)."""
PAGE_LIMIT: Final = 100
"""Most schedules of a page ("ListSchedules", EventBridge Scheduler API Reference)."""
SCHEDULED_TIME: Final = "<aws.scheduler.scheduled-time>"
"""In an input: the time for which the invocation was planned ("Adding context attributes in
EventBridge Scheduler", EventBridge Scheduler User Guide)."""

State: TypeAlias = Literal["ENABLED", "DISABLED"]
AfterCompletion: TypeAlias = Literal["NONE", "DELETE"]


def verbatim(text: str) -> str:
    """Return JSON that means the same, and in which Scheduler fills in nothing.

    It would replace each ``<aws.scheduler....>``, also one that an argument of a task has.
    """
    return text.replace("<aws.", "\\u003caws.")


def at(when: datetime) -> str:
    """Return the expression of a point in time, in UTC; fractions of a second are cut off."""
    return f"at({when.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%S')})"


@dataclass(frozen=True)
class Schedule:
    """A schedule as a whole, which is also what an update takes: what it does not say is reset.

    Attributes
    ----------
    expression
        ``at(...)``, ``rate(...)`` or ``cron(...)``.
    target_arn, role_arn
        The queue it sends to, and the role that Scheduler assumes for that.
    input
        The body that it sends.
    message_group_id
        The message group on the queue.
    window_minutes
        Up to how much later each invocation may be, 0 for no later.
    after_completion
        What becomes of the schedule after its last invocation.
    """

    name: str
    group: str
    expression: str
    target_arn: str
    role_arn: str
    input: str
    message_group_id: str | None = None
    state: State = "ENABLED"
    description: str = ""
    window_minutes: int = 0
    after_completion: AfterCompletion = "NONE"
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the schedule as the SDK takes it."""
        target: dict[str, Any] = {
            "Arn": self.target_arn,
            "RoleArn": self.role_arn,
            "Input": self.input,
        }
        if self.message_group_id is not None:
            target["SqsParameters"] = {"MessageGroupId": self.message_group_id}
        window: dict[str, Any] = {"Mode": "OFF"}
        if self.window_minutes:
            window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": self.window_minutes}
        wire: dict[str, Any] = {
            "Name": self.name,
            "GroupName": self.group,
            "ScheduleExpression": self.expression,
            "ScheduleExpressionTimezone": self.timezone,
            "Target": target,
            "State": self.state,
            "FlexibleTimeWindow": window,
            "ActionAfterCompletion": self.after_completion,
            "Description": self.description,
        }
        bounds = {"StartDate": self.start, "EndDate": self.end}
        return wire | {name: when for name, when in bounds.items() if when is not None}


def _schedule(wire: Mapping[str, Any]) -> Schedule:
    target = wire["Target"]
    return Schedule(
        name=wire["Name"],
        group=wire["GroupName"],
        expression=wire["ScheduleExpression"],
        target_arn=target["Arn"],
        role_arn=target["RoleArn"],
        input=target.get("Input", ""),
        message_group_id=target.get("SqsParameters", {}).get("MessageGroupId"),
        state=wire["State"],
        description=wire.get("Description") or "",
        window_minutes=wire["FlexibleTimeWindow"].get("MaximumWindowInMinutes") or 0,
        after_completion=wire.get("ActionAfterCompletion") or "NONE",
        timezone=wire.get("ScheduleExpressionTimezone") or "UTC",
        start=wire.get("StartDate"),
        end=wire.get("EndDate"),
    )


class ScheduleExists(RequestFailed):
    """A schedule of that name exists in the group."""


class ScheduleMissing(ResourceMissing):
    """No schedule of that name exists in the group: it has ended, or was never made."""


class _OnSchedule:
    """What is refused for the same reasons, whatever is asked of a schedule."""

    concurrent: ClassVar[bool] = True

    def where(self) -> tuple[str, str]:
        """Return the names of the group and of the schedule in it."""
        raise NotImplementedError

    def subject(self) -> str:
        group, name = self.where()
        return f"schedule {name!r} of group {group!r}"

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        message = " ".join(str(response.get("Error", {}).get("Message", "")).split())
        if code == "ResourceNotFoundException":
            return self._missing(message)
        if code == "ConflictException":
            return Throttled(f"{self.subject()} is being changed ({message}): try again")
        if code in ("AccessDenied", "AccessDeniedException") and "iam:PassRole" in message:
            return AccessDenied(
                f"not allowed: iam:PassRole, to hand a role to Scheduler ({message}): grant "
                "iam:PassRole on the role that scheduler_role_arn names, with the condition "
                "iam:PassedToService = scheduler.amazonaws.com"
            )
        if code == "ValidationException" and "role" in message.lower():
            return RequestFailed(
                f"{self.subject()}: Scheduler cannot use the role ({message}): see that "
                "scheduler_role_arn names a role of this account that scheduler.amazonaws.com may "
                "assume",
                code,
            )
        if code == "ServiceQuotaExceededException":
            return RequestFailed(
                f"{self.subject()}: a quota of EventBridge Scheduler is reached ({message}): "
                "delete schedules, or ask for more in Service Quotas",
                code,
            )
        return None

    def _missing(self, message: str) -> Exception:
        if "schedule group " in message.lower():
            return _group_missing(self.where()[0], message)
        return ScheduleMissing(f"{self.subject()} does not exist ({message})")


def _group_missing(group: str, message: str) -> ResourceMissing:
    return ResourceMissing(
        f"schedule group {group!r} does not exist in this account and region ({message}): deploy "
        "the stack, or check scheduler_group_name"
    )


@dataclass(frozen=True)
class _Whole(_OnSchedule):
    schedule: Schedule

    service: ClassVar[str] = "scheduler"

    def where(self) -> tuple[str, str]:
        return self.schedule.group, self.schedule.name

    def params(self) -> dict[str, Any]:
        return self.schedule.to_wire()

    def answer(self, response: Mapping[str, Any]) -> str:
        arn: str = response["ScheduleArn"]
        return arn


@dataclass(frozen=True)
class CreateSchedule(_Whole, Request[str]):
    """Create a schedule; answers its ARN.

    Raises
    ------
    ScheduleExists
        If the group has one of that name.
    """

    operation: ClassVar[str] = "create_schedule"

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        if code == "ConflictException":
            return ScheduleExists(f"{self.subject()} exists already", code)
        return super().refusal(code, response)

    def _missing(self, message: str) -> Exception:
        return _group_missing(self.schedule.group, message)


@dataclass(frozen=True)
class UpdateSchedule(_Whole, Request[str]):
    """Replace a schedule by another one of its name; answers its ARN.

    Scheduler has no operation that enables or disables: give it back with another ``state``.

    Raises
    ------
    ScheduleMissing
        If there is none of that name.
    """

    operation: ClassVar[str] = "update_schedule"


@dataclass(frozen=True)
class _ByName(_OnSchedule):
    name: str
    group: str

    service: ClassVar[str] = "scheduler"

    def where(self) -> tuple[str, str]:
        return self.group, self.name

    def params(self) -> dict[str, Any]:
        return {"Name": self.name, "GroupName": self.group}


@dataclass(frozen=True)
class GetSchedule(_ByName, Request[Schedule]):
    """Read a schedule as a whole.

    Raises
    ------
    ScheduleMissing
        If there is none of that name.
    """

    operation: ClassVar[str] = "get_schedule"

    def answer(self, response: Mapping[str, Any]) -> Schedule:
        return _schedule(response)


@dataclass(frozen=True)
class DeleteSchedule(_ByName, Request[None]):
    """Delete a schedule.

    Raises
    ------
    ScheduleMissing
        If there is none of that name.
    """

    operation: ClassVar[str] = "delete_schedule"

    def answer(self, response: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True)
class ScheduleSummary:
    """A schedule as a list shows it: without expression, description and input."""

    name: str
    group: str
    arn: str
    state: str
    target_arn: str


@dataclass(frozen=True)
class ListSchedules(Request[Listed[ScheduleSummary]]):
    """List the schedules of a group whose names begin with a prefix, a page at a time."""

    service: ClassVar[str] = "scheduler"
    operation: ClassVar[str] = "list_schedules"

    group: str
    name_prefix: str = ""
    next_token: str | None = None
    page_size: int = PAGE_LIMIT

    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = {"GroupName": self.group, "MaxResults": self.page_size}
        if self.name_prefix:
            params["NamePrefix"] = self.name_prefix
        if self.next_token is not None:
            params["NextToken"] = self.next_token
        return params

    def answer(self, response: Mapping[str, Any]) -> Listed[ScheduleSummary]:
        return Listed(
            tuple(
                ScheduleSummary(
                    name=wire["Name"],
                    group=wire["GroupName"],
                    arn=wire["Arn"],
                    state=wire["State"],
                    target_arn=wire["Target"]["Arn"],
                )
                for wire in response["Schedules"]
            ),
            response.get("NextToken") or None,
        )

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        message = " ".join(str(response.get("Error", {}).get("Message", "")).split())
        if code == "ResourceNotFoundException":
            return _group_missing(self.group, message)
        if code in ("AccessDenied", "AccessDeniedException"):
            return AccessDenied(
                f"not allowed: scheduler:ListSchedules ({message}): who looks after schedules "
                "needs the policies ProducerPolicyArn and SchedulesPolicyArn of the stack; that "
                "action is allowed on all schedules ('*') or not at all"
            )
        return None

    def subject(self) -> str:
        return f"schedules {self.name_prefix}* of group {self.group!r}"
