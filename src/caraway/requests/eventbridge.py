"""Requests to EventBridge: scheduled rules of the default bus, and their targets."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from caraway.exceptions import RequestFailed
from caraway.lean import dataclass
from caraway.requests.base import Listed, Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEMPLATE_LIMIT: Final = 8_192
"""Characters of an InputTemplate ("InputTransformer", Amazon EventBridge API Reference)."""

State: TypeAlias = Literal["ENABLED", "DISABLED"]


@dataclass(frozen=True)
class RuleSummary:
    """A rule as a list shows it; ``expression`` is empty for a rule on an event pattern."""

    name: str
    arn: str
    expression: str
    state: str
    description: str


@dataclass(frozen=True)
class Target:
    """Where a rule sends, and what.

    Attributes
    ----------
    id
        Names the target within its rule.
    template
        The text to send, with ``<name>`` where a part of the event goes; empty: the event itself.
    paths
        Where in the event each ``<name>`` is found, as JSON paths.
    group_id
        The message group on an SQS queue.
    """

    id: str
    arn: str
    template: str = ""
    paths: Mapping[str, str] = field(default_factory=dict)
    group_id: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the target as the SDK takes it."""
        wire: dict[str, Any] = {"Id": self.id, "Arn": self.arn}
        if self.template:
            wire["InputTransformer"] = {
                "InputPathsMap": dict(self.paths),
                "InputTemplate": self.template,
            }
        if self.group_id is not None:
            wire["SqsParameters"] = {"MessageGroupId": self.group_id}
        return wire


def _target(wire: Mapping[str, Any]) -> Target:
    transformer = wire.get("InputTransformer", {})
    return Target(
        id=wire["Id"],
        arn=wire["Arn"],
        template=transformer.get("InputTemplate", ""),
        paths=transformer.get("InputPathsMap", {}),
        group_id=wire.get("SqsParameters", {}).get("MessageGroupId"),
    )


@dataclass(frozen=True)
class _OnRule:
    name: str

    service: ClassVar[str] = "events"
    concurrent: ClassVar[bool] = True

    def subject(self) -> str:
        return f"rule {self.name!r}"


@dataclass(frozen=True)
class PutRule(_OnRule, Request[str]):
    """Create or replace a scheduled rule; answers its ARN.

    Parameters
    ----------
    expression
        ``cron(...)`` or ``rate(...)``, in UTC.
    tags
        Only a rule that is created takes them; later ones are ignored by EventBridge.
    """

    operation: ClassVar[str] = "put_rule"

    expression: str
    state: State = "ENABLED"
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = {
            "Name": self.name,
            "ScheduleExpression": self.expression,
            "State": self.state,
            "Description": self.description,
        }
        if self.tags:
            params["Tags"] = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return params

    def answer(self, response: Mapping[str, Any]) -> str:
        arn: str = response["RuleArn"]
        return arn


@dataclass(frozen=True)
class PutTargets(_OnRule, Request[None]):
    """Add targets to a rule, or replace those of the same ids; at most 5.

    Raises :class:`~caraway.exceptions.RequestFailed` when EventBridge did not take one of them.
    """

    operation: ClassVar[str] = "put_targets"

    targets: tuple[Target, ...]

    def params(self) -> dict[str, Any]:
        return {"Rule": self.name, "Targets": [target.to_wire() for target in self.targets]}

    def answer(self, response: Mapping[str, Any]) -> None:
        _raise_failed(f"events:PutTargets on {self.subject()}", response)


@dataclass(frozen=True)
class RemoveTargets(_OnRule, Request[None]):
    """Remove targets from a rule, which must have none left when it is deleted.

    Raises :class:`~caraway.exceptions.RequestFailed` when EventBridge kept one of them.
    """

    operation: ClassVar[str] = "remove_targets"

    ids: tuple[str, ...]

    def params(self) -> dict[str, Any]:
        return {"Rule": self.name, "Ids": list(self.ids)}

    def answer(self, response: Mapping[str, Any]) -> None:
        _raise_failed(f"events:RemoveTargets on {self.subject()}", response)


def _raise_failed(what: str, response: Mapping[str, Any]) -> None:
    """Raise if EventBridge answers 200 and yet did not do it."""
    if not response.get("FailedEntryCount"):
        return
    failed: Sequence[Mapping[str, str]] = response.get("FailedEntries") or [{}]
    code = failed[0].get("ErrorCode", "")
    raise RequestFailed(f"{what} failed: {code}: {failed[0].get('ErrorMessage', '')}", code)


@dataclass(frozen=True)
class DeleteRule(_OnRule, Request[None]):
    """Delete a rule without targets; one that does not exist is no error."""

    operation: ClassVar[str] = "delete_rule"

    def params(self) -> dict[str, Any]:
        return {"Name": self.name}

    def answer(self, response: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True)
class EnableRule(_OnRule, Request[None]):
    """Let a rule fire again."""

    operation: ClassVar[str] = "enable_rule"

    def params(self) -> dict[str, Any]:
        return {"Name": self.name}

    def answer(self, response: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True)
class DisableRule(_OnRule, Request[None]):
    """Keep a rule from firing."""

    operation: ClassVar[str] = "disable_rule"

    def params(self) -> dict[str, Any]:
        return {"Name": self.name}

    def answer(self, response: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True)
class ListTargetsByRule(_OnRule, Request["list[Target]"]):
    """List a rule's targets; a rule has at most 5, so there is one page."""

    operation: ClassVar[str] = "list_targets_by_rule"

    def params(self) -> dict[str, Any]:
        return {"Rule": self.name}

    def answer(self, response: Mapping[str, Any]) -> list[Target]:
        return [_target(wire) for wire in response.get("Targets", [])]


@dataclass(frozen=True)
class ListRules(Request[Listed[RuleSummary]]):
    """List the rules of the bus, or those whose names begin with a prefix, a page at a time."""

    service: ClassVar[str] = "events"
    operation: ClassVar[str] = "list_rules"

    name_prefix: str = ""
    next_token: str | None = None

    def params(self) -> dict[str, Any]:
        params = {"NamePrefix": self.name_prefix} if self.name_prefix else {}
        if self.next_token is not None:
            params["NextToken"] = self.next_token
        return params

    def answer(self, response: Mapping[str, Any]) -> Listed[RuleSummary]:
        return Listed(
            tuple(
                RuleSummary(
                    name=wire["Name"],
                    arn=wire["Arn"],
                    expression=wire.get("ScheduleExpression") or "",
                    state=wire["State"],
                    description=wire.get("Description") or "",
                )
                for wire in response["Rules"]
            ),
            response.get("NextToken") or None,
        )

    def subject(self) -> str:
        return f"rules {self.name_prefix}*"


@dataclass(frozen=True)
class ListTagsForResource(Request["dict[str, str]"]):
    """Read the tags of a rule by its ARN."""

    service: ClassVar[str] = "events"
    operation: ClassVar[str] = "list_tags_for_resource"
    concurrent: ClassVar[bool] = True

    arn: str

    def params(self) -> dict[str, Any]:
        return {"ResourceARN": self.arn}

    def answer(self, response: Mapping[str, Any]) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in response.get("Tags", [])}

    def subject(self) -> str:
        return f"rule {self.arn.rpartition('/')[2]!r}"
