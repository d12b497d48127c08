"""The port to nothing: SQS, DynamoDB, S3 and schedules in memory, and a clock that tests move.

Eager tasks run over it, and so do tests. Conditional writes mean what
:mod:`caraway.requests.items` says they mean, which the contract suite holds against real engines.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from caraway.aws.user_code import call_blocking
from caraway.exceptions import EndpointUnreachable, PayloadMissing, RequestFailed
from caraway.requests.base import Listed
from caraway.requests.dynamodb import (
    BatchGetItem,
    ConditionFailed,
    Found,
    GetItem,
    Page,
    Scan,
    UpdateItem,
)
from caraway.requests.s3 import GetObject, HeadBucket, PutObject
from caraway.requests.scheduler import (
    CreateSchedule,
    DeleteSchedule,
    GetSchedule,
    ListSchedules,
    ScheduleExists,
    ScheduleMissing,
    ScheduleSummary,
    UpdateSchedule,
)
from caraway.requests.sqs import (
    ChangeMessageVisibility,
    DeleteMessage,
    GetQueueArn,
    GetQueueUrl,
    PurgeQueue,
    ReceivedMessage,
    ReceiveMessages,
    SendMessage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.core.port import Outcome
    from caraway.requests.base import Request
    from caraway.requests.items import Item
    from caraway.requests.scheduler import Schedule

    ScheduleRequest: TypeAlias = (
        CreateSchedule | UpdateSchedule | GetSchedule | DeleteSchedule | ListSchedules
    )

R = TypeVar("R")
Fate: TypeAlias = Literal["ok", "fail", "lose", "repeat"]
"""What becomes of a request: it works; it never arrives; it arrives and its answer is lost; its
answer is lost and the SDK asks again, so it is performed twice."""

_VISIBILITY_S = 30.0


@dataclass
class _Stored:
    """A message on a queue in memory."""

    number: int
    request: SendMessage
    sent_at_s: float
    visible_at: datetime
    receive_count: int = 0


@dataclass
class MemoryAws:
    """An AWS account in memory that answers, fails and loses answers as told.

    Parameters
    ----------
    fate
        Decides what becomes of each request; everything works by default.
    time
        Where the clock stands; ``sleep`` and tests move it.
    """

    fate: Callable[[Request[Any]], Fate] = lambda _request: "ok"
    time: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)
    queues: dict[str, list[_Stored]] = field(default_factory=dict)
    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    schedules: dict[tuple[str, str], Schedule] = field(default_factory=dict)
    """Those of EventBridge Scheduler by group and name; nothing here fires them."""
    requests: list[Request[Any]] = field(default_factory=list)
    """Every request that was performed, in order."""
    _sent: int = 0
    _deduplicated: set[tuple[str, str]] = field(default_factory=set)

    # -- the port ---------------------------------------------------------------------------

    async def perform(self, request: Request[R]) -> R:
        """Perform one request."""
        fate = self.fate(request)
        if fate == "fail":
            raise EndpointUnreachable("the request did not arrive")
        self.requests.append(request)
        if fate in ("lose", "repeat"):
            with suppress(ConditionFailed):
                self._answer(request)
            if fate == "lose":
                raise EndpointUnreachable("the answer was lost")
        return cast("R", self._answer(request))

    async def perform_all(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform many requests, one by one."""
        answers: list[R | Exception] = []
        for request in requests:
            try:
                answers.append(await self.perform(request))
            except Exception as error:  # noqa: BLE001, PERF203 - each request's own answer
                answers.append(error)
        return answers

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code in the calling thread."""
        return call_blocking(function, *args)

    async def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.pass_time(seconds)

    def now(self) -> datetime:
        """Return where the clock stands."""
        return self.time

    # -- for those who hold the account in their hands ----------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Move the clock forward."""
        self.time += timedelta(seconds=seconds)

    def item(self, table: str, id: str) -> Item | None:
        """Return an item, if it exists."""
        return self.items.get((table, id))

    def bodies(self, queue: str) -> list[str]:
        """Return the bodies on a queue, visible or not, in the order in which they were sent."""
        return [stored.request.body for stored in self.queues.get(queue, ())]

    def next_visible_at(self, queue: str) -> datetime | None:
        """Return when the queue's next message can be received, None when it is empty.

        Where several can be already, it is that of the first.
        """
        times: list[datetime] = []
        first_of_group: dict[str | None, datetime] = {}
        for stored in self.queues.get(queue, ()):
            at = stored.visible_at
            if queue.endswith(".fifo"):  # it waits for those before it in its group
                at = max(at, first_of_group.get(stored.request.group_id, at))
                first_of_group[stored.request.group_id] = at
            if at <= self.time:
                return at
            times.append(at)
        return min(times, default=None)

    # -- what each request means ------------------------------------------------------------

    def _answer(self, request: Request[Any]) -> Any:  # noqa: C901 - one flat table
        match request:
            case GetQueueUrl():
                return f"memory://{request.name}"
            case SendMessage():
                return self._store(request)
            case ReceiveMessages():
                return self._receive(request)
            case DeleteMessage():
                queue = self._queue(request.queue_url)
                # Nearly always one of the first: what is further behind is not looked at.
                found = (at for at, each in enumerate(queue) if _held(each, request.receipt_handle))
                if (at := next(found, None)) is not None:
                    del queue[at]
                return None
            case ChangeMessageVisibility():
                for stored in self._queue(request.queue_url):
                    if _held(stored, request.receipt_handle):
                        stored.visible_at = self._after(request.visible_in_s)
                return None
            case PurgeQueue():
                self._queue(request.queue_url).clear()
                return None
            case GetItem():
                item = self.items.get((request.table, request.id))
                return None if item is None else dict(item)
            case BatchGetItem():
                keys = {id: (request.table, id) for id in request.ids}
                return Found(
                    {id: dict(self.items[key]) for id, key in keys.items() if key in self.items}
                )
            case Scan():
                return self._scan(request)
            case UpdateItem():
                return self._update(request)
            case PutObject():
                self.objects[request.bucket, request.key] = request.body
                return None
            case GetObject():
                if (request.bucket, request.key) not in self.objects:
                    raise PayloadMissing(f"s3://{request.bucket}/{request.key} does not exist")
                return self.objects[request.bucket, request.key]
            case HeadBucket():
                return None
            case GetQueueArn():
                name = request.queue_url.removeprefix("memory://")
                return f"arn:aws:sqs:us-east-1:000000000000:{name}"
            case (
                CreateSchedule()
                | UpdateSchedule()
                | GetSchedule()
                | DeleteSchedule()
                | ListSchedules()
            ):
                return self._schedule(request)
            case _:
                raise RequestFailed(f"{type(request).__name__} has no meaning in memory")

    def _after(self, seconds: float) -> datetime:
        return self.time + timedelta(seconds=seconds)

    def _queue(self, url: str) -> list[_Stored]:
        return self.queues.setdefault(url.removeprefix("memory://"), [])

    def _store(self, request: SendMessage) -> str:
        self._sent += 1
        known = (request.queue_url, request.deduplication_id or "")
        if request.deduplication_id is None or known not in self._deduplicated:
            self._deduplicated.add(known)
            sent_at_s, visible_at = self.time.timestamp(), self._after(request.delay_s)
            stored = _Stored(self._sent, request, sent_at_s, visible_at)
            self._queue(request.queue_url).append(stored)
        return f"message-{self._sent}"

    def _receive(self, request: ReceiveMessages) -> list[ReceivedMessage]:
        timeout_s = request.visibility_timeout_s
        received: list[ReceivedMessage] = []
        in_flight: set[str | None] = set()
        for stored in self._queue(request.queue_url):
            group_id = stored.request.group_id
            if stored.visible_at > self.time and request.queue_url.endswith(".fifo"):
                in_flight.add(group_id)  # what comes after it in its group waits
            if stored.visible_at > self.time or group_id in in_flight:
                continue
            if len(received) == request.limit:
                break
            stored.visible_at = self._after(_VISIBILITY_S if timeout_s is None else timeout_s)
            stored.receive_count += 1
            received.append(
                ReceivedMessage(
                    message_id=f"message-{stored.number}",
                    receipt_handle=f"{stored.number}/{stored.receive_count}",
                    body=stored.request.body,
                    receive_count=stored.receive_count,
                    sent_at_s=stored.sent_at_s,
                    group_id=group_id,
                    attributes=stored.request.attributes,
                )
            )
        return received

    def _schedule(self, request: ScheduleRequest) -> Any:
        if isinstance(request, ListSchedules):
            names = sorted(
                name
                for group, name in self.schedules
                if group == request.group and name.startswith(request.name_prefix)
            )
            left = [name for name in names if name > (request.next_token or "")]
            page = left[: request.page_size]
            listed = [_summary(self.schedules[request.group, name]) for name in page]
            return Listed(tuple(listed), page[-1] if page != left else None)
        key = request.where()
        if isinstance(request, CreateSchedule):
            if key in self.schedules:
                raise ScheduleExists(f"{request.subject()} exists already")
        elif key not in self.schedules:
            raise ScheduleMissing(f"{request.subject()} does not exist")
        if isinstance(request, DeleteSchedule):
            del self.schedules[key]
            return None
        if isinstance(request, GetSchedule):
            return self.schedules[key]
        self.schedules[key] = request.schedule
        return _arn(request.schedule)

    def _scan(self, request: Scan) -> Page:
        ids = sorted(id for table, id in self.items if table == request.table)
        left = [id for id in ids if request.after is None or id > request.after]
        read = left[: request.limit]
        items = [self.items[request.table, id] for id in read]
        return Page(
            tuple(
                {name: item[name] for name in request.fields if name in item}
                for item in items
                if request.condition.holds(item)
            ),
            len(read),
            read[-1] if read != left else None,
        )

    def _update(self, request: UpdateItem) -> Item:
        key = (request.table, request.id)
        before = self.items.get(key, {})
        if not request.condition.holds(before):
            raise ConditionFailed(dict(before))
        after = {"id": request.id, **request.change.apply(before)}
        self.items[key] = after
        return dict(after) if request.answers_item else {}


def _arn(schedule: Schedule) -> str:
    where = f"{schedule.group}/{schedule.name}"
    return f"arn:aws:scheduler:us-east-1:000000000000:schedule/{where}"


def _summary(schedule: Schedule) -> ScheduleSummary:
    return ScheduleSummary(
        schedule.name, schedule.group, _arn(schedule), schedule.state, schedule.target_arn
    )


def _held(stored: _Stored, receipt_handle: str) -> bool:
    """Say whether a receipt is of this message; any of its receipts will do, as on SQS."""
    return receipt_handle.partition("/")[0] == str(stored.number)
