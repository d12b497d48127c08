"""Schedules as rules of EventBridge's default bus: no set-up, up to 300 of them."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, ClassVar, Final

from caraway.core.outcomes import all_done
from caraway.core.paging import first_of
from caraway.core.patience import in_turn, unhurried
from caraway.core.stored import ENTRY_TAG, Held, Kept, Mark, Put, Stored, entry_of, made_at_run_time
from caraway.exceptions import ImproperlyConfigured, InvalidOption
from caraway.lean import dataclass
from caraway.requests.eventbridge import (
    TEMPLATE_LIMIT,
    DeleteRule,
    DisableRule,
    EnableRule,
    ListRules,
    ListTagsForResource,
    ListTargetsByRule,
    PutRule,
    PutTargets,
    RemoveTargets,
    RuleSummary,
    Target,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.core.port import Aws
    from caraway.core.stored import Kind, Origin, Owner
    from caraway.requests.base import Json

TARGET_ID: Final = "caraway"
"""Id of the one target that each rule has from us."""
PATHS: Final = {"time": "$.time"}
"""What a rule's template takes from the event."""
RULE_LIMIT: Final = 300
"""Rules of an event bus, unless the account has asked for more ("Amazon EventBridge quotas")."""
_TIME: Final = ',"scheduled_time":"<time>"}'


def template_of(text: str) -> str:
    """Return a message as an InputTemplate, into which EventBridge puts the time."""
    return text[:-1] + _TIME


@dataclass(frozen=True)
class RuleStore:
    """The rules of one owner, told from others by their tags and marks.

    The mark is written last, when the target is there: what bears it is complete.

    Attributes
    ----------
    rule_limit
        Rules that the bus takes.
    """

    owner: Owner
    rule_limit: int = RULE_LIMIT

    kind: ClassVar[Kind] = "rule"

    def name_of(self, stored: Stored) -> str:
        """Return the name of an entry's rule."""
        return self.owner.rule_name(stored.entry)

    def digits_of(self, stored: Stored) -> str:
        """Return what its mark says of its content."""
        return stored.digits()

    def check(self, stored: Stored) -> None:
        """Raise for a message that is too long."""
        length = len(template_of(stored.text))
        if length > TEMPLATE_LIMIT:
            raise InvalidOption(
                f"its message has {length:,} characters, above EventBridge's limit of "
                f"{TEMPLATE_LIMIT:,}: keep the data in S3 or a table, and pass where it is; or set "
                "scheduler_role_arn, as EventBridge Scheduler takes more"
            )

    def resource(self, stored: Stored, queue_arn: Json) -> dict[str, Json]:
        """Return it as a resource of CloudFormation, whose tags say whose it is."""
        put = Put(stored, "", is_on=stored.enabled)
        tags = self.owner.entry_tags(stored.entry)
        rule = replace(self._put_rule(put, is_complete=True), tags=tags)
        target = {**_target(put).to_wire(), "Arn": queue_arn}
        return {"Type": "AWS::Events::Rule", "Properties": {**rule.params(), "Targets": [target]}}

    async def kept(
        self,
        aws: Aws,
        origin: Origin | None = None,
        entry: str | None = None,
        pages: float = inf,
    ) -> list[Kept]:
        """List the owner's rules and those without a mark, of which the tags must tell."""
        prefix = self.owner.rule_prefix if entry is None else self.owner.rule_name(entry)
        found = [_kept(summary, self.owner) for summary in await _summaries(aws, prefix, pages)]
        wanted = (None, origin) if origin else (None, "code", "data")
        return [each for each in found if each is not None and each.origin in wanted]

    async def read(self, aws: Aws, kept: Sequence[Kept]) -> list[Held | None]:
        """Read rules with their tags and targets; None for those that are not the owner's."""
        all_tags = all_done(await unhurried(aws, [ListTagsForResource(each.arn) for each in kept]))
        own = [
            (each, tags) for each, tags in zip(kept, all_tags, strict=True) if self.owner.owns(tags)
        ]
        targets = all_done(await unhurried(aws, [ListTargetsByRule(each.name) for each, _ in own]))
        held = {
            each.name: _held(each, tags, its)
            for (each, tags), its in zip(own, targets, strict=True)
        }
        return [held.get(each.name) for each in kept]

    async def admit(self, aws: Aws, new: Sequence[Stored]) -> None:
        """Look at the rules of the bus, also those of others: at most 3 requests at AWS's quota.

        A bus that has more than the limit already has another quota, so nothing is said.
        """
        rules = {rule.name: Mark.split(rule.description)[1] for rule in await _summaries(aws, "")}
        for stored in new:
            mark = rules.get(self.name_of(stored))
            if mark is not None and mark.origin == "data":
                raise made_at_run_time(stored.entry)
        there = len(rules)
        if there <= self.rule_limit < there + len(new):
            raise ImproperlyConfigured(
                f"new rules: {len(new):,}, beside {there:,} that the event bus has; it takes "
                f"{self.rule_limit:,}: set scheduler_role_arn, so that schedules are kept "
                "in EventBridge Scheduler, which takes millions; or have the quota raised (Service "
                "Quotas, 'Rules' of Amazon EventBridge), and say so with --rule-limit"
            )

    async def put(self, aws: Aws, puts: Sequence[Put]) -> list[Exception | None]:
        """Create or change rules: three requests for one that is new, two for another."""
        return await in_turn(
            aws,
            puts,
            lambda put: None if put.before else self._put_rule(put, is_complete=False),
            lambda put: PutTargets(self.name_of(put.stored), (_target(put),)),
            lambda put: self._put_rule(put, is_complete=True),
        )

    async def switch(self, aws: Aws, held: Sequence[Held], *, on: bool) -> list[Exception | None]:
        """Enable or disable rules."""
        switched = EnableRule if on else DisableRule
        return await in_turn(aws, held, lambda each: switched(each.name))

    async def remove(self, aws: Aws, held: Sequence[Held]) -> list[Exception | None]:
        """Delete rules with their targets, also those that others gave them."""
        return await in_turn(
            aws,
            held,
            lambda each: RemoveTargets(each.name, each.target_ids) if each.target_ids else None,
            lambda each: DeleteRule(each.name),
        )

    def _put_rule(self, put: Put, *, is_complete: bool) -> PutRule:
        stored = put.stored
        mark = Mark.of(stored, self.owner, self.digits_of(stored))
        return PutRule(
            self.name_of(stored),
            stored.expression,
            "ENABLED" if put.is_on else "DISABLED",
            mark.on(stored.description) if is_complete else stored.description,
            {} if is_complete else self.owner.entry_tags(stored.entry),
        )


def _target(put: Put) -> Target:
    stored = put.stored
    return Target(TARGET_ID, put.queue_arn, template_of(stored.text), PATHS, stored.group_id)


async def _summaries(aws: Aws, prefix: str, pages: float = inf) -> list[RuleSummary]:
    found, _ = await first_of(aws, lambda token: ListRules(prefix, token), pages)
    return found


def _kept(rule: RuleSummary, owner: Owner) -> Kept | None:
    """Return a rule as the list shows it; None if its mark says that it is somebody else's."""
    _, mark = Mark.split(rule.description)
    if mark is not None and mark.owner != owner.digits:
        return None
    return Kept(
        rule.name,
        rule.arn,
        rule.state == "ENABLED",
        None if mark is None else mark.origin,
        None if mark is None else mark.digits,
        rule.expression,
        description=rule.description,
    )


def _held(rule: Kept, tags: Mapping[str, str], targets: Sequence[Target]) -> Held:
    target = next((each for each in targets if each.id == TARGET_ID), Target(TARGET_ID, ""))
    is_ours = target.paths == PATHS and target.template.endswith(_TIME)
    description, mark = Mark.split(rule.description)
    stored = Stored(
        entry=entry_of(target.template) or tags.get(ENTRY_TAG, rule.name),
        expression=rule.expression or "",
        queue=target.arn.rpartition(":")[2],
        text=target.template.removesuffix(_TIME) + "}" if is_ours else "",
        description=description,
        enabled=rule.is_on if mark is None else mark.enabled,
        group_id=target.group_id,
        origin="code" if mark is None else mark.origin,
        edited=mark is not None and mark.edited,
    )
    ids = tuple(each.id for each in targets)
    return Held("rule", rule.name, stored, rule.is_on, mark is not None, ids)
