"""A worker whose requests take 20 ms: its slots run functions, and it holds no more than it needs.

Time is the loop's own and passes only while everybody waits, so that what is counted is exact.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.engine.dynamodb import DynamoDb
from benchmarks.engine.sqs import Sqs
from caraway import Caraway, Queue
from caraway.aws import asyncio_aws
from caraway.aws.user_code import call_blocking
from caraway.core.record import Record
from caraway.requests.items import from_item
from caraway.workers import session
from caraway.workers.prefetch import SETTLING
from caraway.workers.session import Session
from tests.virtual import run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.context import Context
    from caraway.core.port import Outcome

BATCH = 10
TABLE = "tasks"
REQUEST_S = 0.02


class Scene:
    """A worker, its pool and AWS.

    Attributes
    ----------
    takes_s
        How long the function takes for a number.
    asked, received, begun, ended, deleted
        Messages, so far. Those that are asked for are in receives under way.
    most_held, most_waiting, most_running, most_settling
        Messages at a time: asked for or received and not ended; received and not begun; in a
        function; ended and not deleted.
    """

    name = "scene"
    ends_functions = True
    leaves_behind = False

    def __init__(self, concurrency: int, count: int, **options: Any) -> None:
        self.concurrency = concurrency
        self.count = count
        self.takes_s: Callable[[int], float] = lambda _: 0.0
        self.deletes_s = REQUEST_S
        self.ran: Counter[int] = Counter()
        self.finished_at = 0.0
        self.asked = self.received = self.begun = self.ended = self.deleted = 0
        self.most_held = self.most_waiting = self.most_running = self.most_settling = 0
        self.requests: Counter[str] = Counter()
        self.sqs, self.dynamodb = Sqs("https://sqs"), DynamoDb()
        self.app = Caraway("shop", set_as_current=False)
        self.app.conf.update(task_queues=[Queue("default", consumer="ecs")], task_table=TABLE)
        self.task = self.app.task(name="work", **options)(self._ran)

    def _ran(self, number: int) -> int:
        self.ran[number] += 1
        self.finished_at = asyncio.get_running_loop().time()
        if len(self.ran) == self.count:
            self.worker.stop("SIGTERM")
        return number

    async def run(self) -> Scene:
        """Fill the queue, and let the worker run until every number has run."""
        queue = self.app.finalize().site.router.queue("default")
        name = queue.sqs_name(self.app.site.queue_prefix)
        self._ask("sqs", "create_queue", {"QueueName": name})
        key = {"AttributeName": "id", "KeyType": "HASH"}
        self._ask("dynamodb", "create_table", {"TableName": TABLE, "KeySchema": [key]})
        await asyncio.gather(*(self.task.adelay(number) for number in range(self.count)))
        self.requests.clear()
        began = asyncio.get_running_loop().time()
        pool: Any = self
        self.worker = Session(self.app, [queue], pool, hostname="w1", shutdown_timeout_s=60)
        assert await self.worker.run() == (0, False)
        self.finished_at -= began
        return self

    def _ask(self, service: str, operation: str, params: dict[str, Any]) -> Any:
        name = "".join(word.capitalize() for word in operation.split("_"))
        operations: Any = {"sqs": self.sqs.operations, "dynamodb": self.dynamodb.operations}
        perform: Any = operations[service][name]
        return perform(params)

    def _look(self) -> None:
        self.most_held = max(self.most_held, self.asked + self.received - self.ended)
        self.most_waiting = max(self.most_waiting, self.received - self.begun)
        self.most_running = max(self.most_running, self.begun - self.ended)
        self.most_settling = max(self.most_settling, self.ended - self.deleted)

    # -- the wire -----------------------------------------------------------------------------

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        limit = params.get("MaxNumberOfMessages", 0)
        self.asked += limit
        self._look()
        await asyncio.sleep(REQUEST_S / 2)
        answer = self._ask(service, operation, {**params, "AttributeNames": ["All"]})
        if asyncio.isfuture(answer):
            answer = await answer
        await asyncio.sleep((self.deletes_s if "delete" in operation else REQUEST_S) / 2)
        self.asked -= limit
        self.received += len(answer.get("Messages", ()))
        if operation.startswith("delete_message"):
            self.deleted += len(params.get("Entries", "1"))
        self.requests[operation] += operation != "receive_message" or "Messages" in answer
        self._look()
        told: dict[str, Any] = answer
        return told

    async def renew(self) -> None:
        """Renew nothing."""

    # -- the pool -----------------------------------------------------------------------------

    async def open(self) -> None:
        """Wait for nothing."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        context: Context = args[0]
        self.begun += 1
        self._look()
        await asyncio.sleep(self.takes_s(context.args[0]))
        outcome = call_blocking(function, *args)
        self.ended += 1
        self._look()
        return outcome

    async def close(self) -> None:
        """Close nothing."""

    def records(self) -> list[Record]:
        (table,) = self.dynamodb._tables.values()
        return [Record.read(from_item(item)) for item in table.items.values()]

    def waiting(self) -> int:
        (queue,) = self.sqs._queues.values()
        return int(queue.described()["ApproximateNumberOfMessages"])


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene], Scene]:
    """Return what plays a scene."""

    def play(scene: Scene) -> Scene:
        for module in (asyncio_aws, session):
            monkeypatch.setattr(module, "best_wire", lambda _: scene)
        return run_virtually(scene.run())

    return play


@pytest.mark.parametrize(("concurrency", "takes_s"), [(1, 0.0), (4, 0.03), (20, 0.0), (20, 0.03)])
def test_no_more_is_held_than_slots_and_one_batch_however_quick_its_tasks_are(
    play: Callable[[Scene], Scene], concurrency: int, takes_s: float
) -> None:
    scene = Scene(concurrency, 200)
    scene.takes_s = lambda _: takes_s
    play(scene)
    assert scene.ran == Counter(range(200))
    assert scene.most_running <= concurrency
    assert scene.most_held <= concurrency + BATCH


def test_of_long_tasks_no_more_is_held_than_there_are_slots(
    play: Callable[[Scene], Scene],
) -> None:
    scene = Scene(20, 60)
    scene.takes_s = lambda _: 5.0
    play(scene)
    assert scene.ran == Counter(range(60))
    assert scene.most_held == scene.most_running == 20


@pytest.mark.parametrize(
    ("options", "concurrency", "most_s"),
    [
        ({"idempotent": True, "ignore_result": True}, 20, 0.35),
        ({}, 20, 0.6),
        ({}, 100, 0.25),
    ],
)
def test_requests_take_no_slot_while_they_fly(
    play: Callable[[Scene], Scene], options: dict[str, Any], concurrency: int, most_s: float
) -> None:
    """Four hundred tasks that take no time: in the slots their requests alone would take longer."""
    scene = play(Scene(concurrency, 400, **options))
    assert scene.finished_at <= most_s
    assert sum(scene.requests.values()) <= 0.45 * 400


def test_slots_are_kept_full_while_requests_fly(play: Callable[[Scene], Scene]) -> None:
    scene = Scene(4, 100)
    scene.takes_s = lambda _: 0.1
    play(scene)
    ideal_s = 100 * 0.1 / 4
    assert scene.finished_at <= 1.1 * ideal_s


def test_what_waits_behind_long_tasks_in_vain_is_given_back_unharmed(
    play: Callable[[Scene], Scene],
) -> None:
    """Of quick tasks with four long ones among them, those that were held ahead come back."""
    scene = Scene(4, 60)
    scene.takes_s = lambda number: 10.0 if 20 <= number < 24 else 0.01
    play(scene)
    assert scene.ran == Counter(range(60))
    assert scene.requests["change_message_visibility_batch"]
    records = scene.records()
    assert {(each.phase, each.lost) for each in records} == {("done", 0)}
    assert scene.waiting() == 0


def test_where_deletes_take_long_less_and_less_is_received(play: Callable[[Scene], Scene]) -> None:
    scene = Scene(20, 300, idempotent=True, ignore_result=True)
    scene.deletes_s = 20.0
    play(scene)
    assert scene.ran == Counter(range(300))
    assert scene.most_settling <= SETTLING + 20 + BATCH


def test_a_worker_that_stops_gives_back_what_waits_for_a_slot(
    play: Callable[[Scene], Scene],
) -> None:
    scene = Scene(4, 100)
    scene.takes_s = lambda number: 0.05 if number < 60 else 0.1
    ran = scene._ran

    def stopping(number: int) -> int:
        if number == 60:
            scene.worker.stop("SIGTERM")
        return ran(number)

    scene.task.run = stopping
    play(scene)
    assert set(scene.ran.values()) == {1}
    assert len(scene.ran) < 75
    assert scene.waiting() == 100 - len(scene.ran)
    assert {each.phase for each in scene.records()} <= {"done", "retry"}
    assert {each.lost for each in scene.records()} == {0}
