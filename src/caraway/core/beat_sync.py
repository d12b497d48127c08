"""Making the rules of EventBridge equal to ``beat_schedule``, and listing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from caraway.core.beat import ENTRY_TAG, PATHS, Owner, Rule
from caraway.core.outcomes import all_done
from caraway.exceptions import ImproperlyConfigured
from caraway.requests.eventbridge import (
    DeleteRule,
    ListRules,
    ListTagsForResource,
    ListTargetsByRule,
    PutRule,
    PutTargets,
    RemoveTargets,
    RuleSummary,
    Target,
)
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from caraway.core.port import Aws, R
    from caraway.requests.base import Request

TARGET_ID: Final = "caraway"
"""Id of the one target that each rule has from us."""

Status: TypeAlias = Literal["active", "differs", "missing", "left over"]
"""In EventBridge as in the code; there, but not as in the code; only in the code; only there."""


@dataclass(frozen=True)
class Change:
    """A rule that is not as the code wants it."""

    before: Rule
    after: Rule

    def lines(self) -> list[str]:
        """Say what changes, a line for each field; long texts only by their name."""
        lines = []
        for name in ("expression", "queue", "enabled", "group_id", "description", "template"):
            before, after = getattr(self.before, name), getattr(self.after, name)
            if before != after:
                short = name not in ("description", "template")
                lines.append(f"{name}: {before} -> {after}" if short else f"{name} changes")
        return lines


@dataclass(frozen=True)
class Plan:
    """What makes EventBridge equal to the code."""

    create: tuple[Rule, ...] = ()
    update: tuple[Change, ...] = ()
    delete: tuple[Rule, ...] = ()
    unchanged: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.create or self.update or self.delete)

    def lines(self) -> list[str]:
        """Return the plan as a diff, to print: ``+`` created, ``~`` changed, ``-`` deleted."""
        return [
            *(f"+ {rule.entry}  {rule.expression} -> {rule.queue}" for rule in self.create),
            *(f"~ {each.after.entry}  {'; '.join(each.lines())}" for each in self.update),
            *(f"- {rule.entry}  {rule.expression} -> {rule.queue}" for rule in self.delete),
        ]


def plan(wanted: Sequence[Rule], existing: Sequence[Rule]) -> Plan:
    """Return what makes the existing rules, all of them the owner's, equal to those wanted."""
    before = {rule.name: rule for rule in existing}
    after = {rule.name: rule for rule in wanted}
    both = [(before[name], rule) for name, rule in after.items() if name in before]
    return Plan(
        create=tuple(rule for name, rule in after.items() if name not in before),
        update=tuple(Change(old, new) for old, new in both if old != new),
        delete=tuple(rule for name, rule in before.items() if name not in after),
        unchanged=tuple(new for old, new in both if old == new),
    )


async def sync(aws: Aws, owner: Owner, wanted: Sequence[Rule], *, dry_run: bool = False) -> Plan:
    """Make EventBridge equal to the code; return what was done, or is to be done.

    Only rules with the owner's tags are touched. It may be repeated, also after a failure half-way.

    Parameters
    ----------
    wanted
        From :func:`caraway.core.beat.rules`.
    dry_run
        Decide, and change nothing.

    Raises
    ------
    ImproperlyConfigured
        If a rule of that name exists and is somebody else's, or a FIFO queue cannot be a target;
        nothing has been changed then.
    OperationalError
        If a queue does not exist (nothing has been changed then), or AWS refused.
    """
    existing = await _existing(aws, owner, wanted)
    decided = plan(wanted, [each.rule for each in existing])
    if dry_run or not decided:
        return decided
    put = [*decided.create, *(change.after for change in decided.update)]
    arns = {queue: await _queue_arn(aws, queue) for queue in sorted({rule.queue for rule in put})}
    new = {rule.name for rule in decided.create}
    await _all(aws, [_put_rule(owner, rule, new=rule.name in new) for rule in put])
    await _all(aws, [PutTargets(rule.name, (_target(rule, arns[rule.queue]),)) for rule in put])
    gone = {rule.name for rule in decided.delete}
    targets = {each.rule.name: each.target_ids for each in existing if each.rule.name in gone}
    await _all(aws, [RemoveTargets(name, ids) for name, ids in targets.items() if ids])
    await _all(aws, [DeleteRule(name) for name in targets])
    return decided


@dataclass(frozen=True)
class Listed:
    """A rule as the code wants it, or as EventBridge has it if the code does not want it."""

    rule: Rule
    status: Status


async def listing(aws: Aws, owner: Owner, wanted: Sequence[Rule]) -> list[Listed]:
    """Return the rules that the code wants and those that EventBridge has, by their entries' names.

    Raises
    ------
    ImproperlyConfigured
        If a rule of a wanted name exists and is somebody else's.
    """
    decided = await sync(aws, owner, wanted, dry_run=True)
    rows = [
        *(Listed(rule, "active") for rule in decided.unchanged),
        *(Listed(change.after, "differs") for change in decided.update),
        *(Listed(rule, "missing") for rule in decided.create),
        *(Listed(rule, "left over") for rule in decided.delete),
    ]
    return sorted(rows, key=lambda row: row.rule.entry)


@dataclass(frozen=True)
class _Existing:
    rule: Rule
    target_ids: tuple[str, ...]


async def _existing(aws: Aws, owner: Owner, wanted: Sequence[Rule]) -> list[_Existing]:
    """Return the owner's rules; refuse wanted names that are somebody else's."""
    summaries = await _summaries(aws, owner)
    all_tags = await _all(aws, [ListTagsForResource(rule.arn) for rule in summaries])
    tagged = list(zip(summaries, all_tags, strict=True))
    foreign = {rule.name for rule, tags in tagged if not owner.owns(tags)}
    for rule in wanted:
        if rule.name in foreign:
            raise ImproperlyConfigured(
                f"beat_schedule[{rule.entry!r}]: a rule named {rule.name!r} exists and is not of "
                f"app {owner.app!r} with prefix {owner.prefix!r}: rename the entry, or delete "
                "that rule"
            )
    own = [(rule, tags) for rule, tags in tagged if owner.owns(tags)]
    all_targets = await _all(aws, [ListTargetsByRule(rule.name) for rule, _ in own])
    return [
        _Existing(_rule(rule, tags, targets), tuple(target.id for target in targets))
        for (rule, tags), targets in zip(own, all_targets, strict=True)
    ]


async def _summaries(aws: Aws, owner: Owner) -> list[RuleSummary]:
    found: list[RuleSummary] = []
    token: str | None = None
    while True:
        page = await aws.perform(ListRules(owner.name_prefix, token))
        found += page.rules
        token = page.next_token
        if token is None:
            return found


def _rule(summary: RuleSummary, tags: Mapping[str, str], targets: Iterable[Target]) -> Rule:
    target = next((each for each in targets if each.id == TARGET_ID), Target(TARGET_ID, ""))
    return Rule(
        name=summary.name,
        expression=summary.expression,
        queue=target.arn.rpartition(":")[2],
        template=target.template if target.paths == PATHS else "",
        entry=tags.get(ENTRY_TAG, summary.name),
        description=summary.description,
        enabled=summary.state == "ENABLED",
        group_id=target.group_id,
    )


def _put_rule(owner: Owner, rule: Rule, *, new: bool) -> PutRule:
    return PutRule(
        rule.name,
        rule.expression,
        "ENABLED" if rule.enabled else "DISABLED",
        rule.description,
        owner.entry_tags(rule.entry) if new else {},
    )


def _target(rule: Rule, arn: str) -> Target:
    return Target(TARGET_ID, arn, rule.template, PATHS, rule.group_id)


async def _queue_arn(aws: Aws, name: str) -> str:
    """Return the ARN of a queue that EventBridge can send to."""
    attributes = await aws.perform(GetQueueAttributes(await aws.perform(GetQueueUrl(name))))
    fifo = attributes.get("FifoQueue") == "true"
    if fifo and attributes.get("ContentBasedDeduplication") != "true":
        raise ImproperlyConfigured(
            f"queue {name!r}: EventBridge sends to a FIFO queue only if its "
            "ContentBasedDeduplication is on: set it in the template, or schedule the task on a "
            "standard queue"
        )
    return attributes["QueueArn"]


async def _all(aws: Aws, requests: Sequence[Request[R]]) -> list[R]:
    return all_done(await aws.perform_all(requests))
