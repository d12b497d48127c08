"""EventBridge, its Scheduler, and the addresses of queues, as far as a sync asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from caraway.core.beat_sync import Plan, compare, sync
from caraway.core.port import run_now
from caraway.core.scheduling import Scheduling
from caraway.core.stored import Owner, Stored
from caraway.core.stores import Stores
from caraway.exceptions import ResourceMissing, Throttled
from caraway.requests.base import Listed, Request
from caraway.requests.eventbridge import (
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
from caraway.requests.scheduler import (
    CreateSchedule,
    DeleteSchedule,
    GetSchedule,
    ListSchedules,
    Schedule,
    ScheduleExists,
    ScheduleMissing,
    ScheduleSummary,
    UpdateSchedule,
)
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

ROLE = "arn:aws:iam::123456789012:role/scheduler"
RULES = Stores.of(Owner("shop", "dev-"), group="shop")
SCHEDULES = Stores.of(Owner("shop", "dev-"), Scheduling(ROLE, "shop"))

WRITES = (
    *(PutRule, PutTargets, RemoveTargets, DeleteRule, EnableRule, DisableRule),
    *(CreateSchedule, UpdateSchedule, DeleteSchedule),
)


@dataclass
class Timekeepers:
    """Both services.

    Attributes
    ----------
    asked
        How many requests of each class there were.
    refuses
        Fails requests of a class, with ``error`` or as EventBridge does.
    busy
        So many writes are throttled before one is taken.
    pauses
        How long it was waited, in seconds.
    """

    queues: dict[str, dict[str, str]] = field(
        default_factory=lambda: {name: {} for name in ("dev-default", "dev-reports")}
    )
    rules: dict[str, PutRule] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    targets: dict[str, dict[str, Target]] = field(default_factory=dict)
    schedules: dict[tuple[str, str], Schedule] = field(default_factory=dict)
    groups: set[str] = field(default_factory=lambda: {"default", "shop"})
    asked: Counter[str] = field(default_factory=Counter)
    page_size: int = 100
    refuses: type | None = None
    error: Exception | None = None
    busy: int = 0
    pauses: list[float] = field(default_factory=list)

    @property
    def writes(self) -> int:
        return sum(self.asked[each.__name__] for each in WRITES)

    def sync(self, wanted: Sequence[Stored], stores: Stores = RULES) -> Plan:
        return run_now(sync(self, stores, wanted))  # type: ignore[arg-type]

    def compare(self, wanted: Sequence[Stored], stores: Stores = RULES) -> Plan:
        return run_now(compare(self, stores, wanted))  # type: ignore[arg-type]

    def schedule_of(self, slug: str) -> Schedule:
        (found,) = [each for each in self.schedules.values() if f"-{slug}-" in each.name]
        return found

    async def perform_all(self, requests: Sequence[Request[Any]]) -> list[Any]:
        answers: list[Any] = []
        for request in requests:
            try:
                answers.append(await self.perform(request))
            except Exception as error:  # noqa: PERF203 - each request's own answer
                answers.append(error)
        return answers

    async def perform(self, request: Request[Any]) -> Any:
        self.asked[type(request).__name__] += 1
        if self.refuses and isinstance(request, self.refuses):
            if self.error is not None:
                raise self.error
            failed = [{"ErrorCode": "InternalException", "ErrorMessage": "try again"}]
            return request.answer({"FailedEntryCount": 1, "FailedEntries": failed})
        if self.busy and isinstance(request, WRITES):
            self.busy -= 1
            raise Throttled("slowly")
        return getattr(self, f"_{request.operation}")(request)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def _page(
        self, names: list[str], token: str | None, size: int | None = None
    ) -> tuple[list[str], dict[str, str]]:
        start = int(token or 0)
        end = start + min(size or self.page_size, self.page_size)
        return names[start:end], {"NextToken": str(end)} if names[end:] else {}

    def _get_queue_url(self, request: GetQueueUrl) -> str:
        if request.name not in self.queues:
            raise ResourceMissing(f"queue {request.name!r} does not exist")
        return f"https://sqs/1/{request.name}"

    def _get_queue_attributes(self, request: GetQueueAttributes) -> dict[str, str]:
        name = request.queue_url.rpartition("/")[2]
        return {"QueueArn": f"arn:aws:sqs:eu-central-1:1:{name}", **self.queues[name]}

    def _list_rules(self, request: ListRules) -> Listed[RuleSummary]:
        names = sorted(name for name in self.rules if name.startswith(request.name_prefix))
        shown, more = self._page(names, request.next_token)
        page = [{"Arn": f"arn:rule/{name}", **self.rules[name].params()} for name in shown]
        return request.answer({"Rules": page} | more)

    def _list_tags_for_resource(self, request: ListTagsForResource) -> dict[str, str]:
        return self.tags.get(request.arn.rpartition("/")[2], {})

    def _list_targets_by_rule(self, request: ListTargetsByRule) -> list[Target]:
        wire = [target.to_wire() for target in self.targets.get(request.name, {}).values()]
        return request.answer({"Targets": wire})

    def _put_rule(self, request: PutRule) -> None:
        if request.name not in self.rules:
            self.tags[request.name] = dict(request.tags)
        self.rules[request.name] = request

    def _put_targets(self, request: PutTargets) -> None:
        its = self.targets.setdefault(request.name, {})
        its.update({each.id: each for each in request.targets})

    def _remove_targets(self, request: RemoveTargets) -> None:
        for each in request.ids:
            del self.targets[request.name][each]

    def _delete_rule(self, request: DeleteRule) -> None:
        assert not self.targets.pop(request.name, None), "a rule with targets cannot be deleted"
        del self.rules[request.name], self.tags[request.name]

    def _enable_rule(self, request: EnableRule) -> None:
        self.rules[request.name] = replace(self.rules[request.name], state="ENABLED")

    def _disable_rule(self, request: DisableRule) -> None:
        self.rules[request.name] = replace(self.rules[request.name], state="DISABLED")

    def _list_schedules(self, request: ListSchedules) -> Listed[ScheduleSummary]:
        if request.group not in self.groups:
            raise ResourceMissing(f"schedule group {request.group!r} does not exist")
        of_group = sorted(name for group, name in self.schedules if group == request.group)
        names = [name for name in of_group if name.startswith(request.name_prefix)]
        shown, more = self._page(names, request.next_token, request.page_size)
        schedules = [self.schedules[request.group, name] for name in shown]
        page = [{"Arn": f"arn:{each.name}", **each.to_wire()} for each in schedules]
        return request.answer({"Schedules": page} | more)

    def _get_schedule(self, request: GetSchedule) -> Schedule:
        if (request.group, request.name) not in self.schedules:
            raise ScheduleMissing(f"schedule {request.name!r} does not exist")
        return self.schedules[request.group, request.name]

    def _create_schedule(self, request: CreateSchedule) -> None:
        key = (request.schedule.group, request.schedule.name)
        if key in self.schedules:
            raise ScheduleExists(f"schedule {key[1]!r} exists already", "")
        assert len(request.schedule.name) <= 64
        assert len(request.schedule.description) <= 512
        self.schedules[key] = request.schedule

    def _update_schedule(self, request: UpdateSchedule) -> None:
        key = (request.schedule.group, request.schedule.name)
        assert key in self.schedules
        self.schedules[key] = request.schedule

    def _delete_schedule(self, request: DeleteSchedule) -> None:
        if self.schedules.pop((request.group, request.name), None) is None:
            raise ScheduleMissing(f"schedule {request.name!r} does not exist")
