"""Workers to which everything happens at once, in a time of their own: chaos without a machine.

The faults, the workload's endings and the checker are those of the chaos runs; AWS is in memory,
and time passes only while everybody waits, so that neither a slow machine nor a clock has a say.
What a worker counts must come out even: a slot or a place that is never given back would stop it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from benchmarks.engine import queues
from benchmarks.engine.dynamodb import DynamoDb
from benchmarks.engine.refused import Refused
from benchmarks.engine.sqs import Sqs
from caraway import Caraway, Queue
from caraway.aws import asyncio_aws
from caraway.aws.clock import Clock
from caraway.aws.user_code import call_blocking
from caraway.core.record import DONE, FAILED, Record
from caraway.requests.items import from_item
from caraway.workers import session
from caraway.workers.session import Session
from tests.chaos.faults import NOTHING, Delay, FailEntries, Lose, Plan, Redeliver, Refuse, Resend
from tests.chaos.history import Finding, History, Run, Sent, Write, check
from tests.chaos.scenarios import BY_NAME
from tests.chaos.wire import (
    Asked,
    entries_of,
    ids_of,
    refusal,
    saying_failed,
    with_item,
    without,
    written_by,
)
from tests.depth import examples
from tests.virtual import run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.context import Context
    from caraway.core.port import Outcome

TABLE: Final = "tasks"
VISIBILITY_S: Final = 3
REQUEST_S: Final = 0.02
STALLED_S: Final = 3_600.0
SCENARIOS: Final = (
    "slow",
    "unsent",
    "unanswered",
    "errors",
    "partial",
    "twice",
    "late",
    "combined",
)


class Scene:
    """Three workers, their functions, and AWS.

    Attributes
    ----------
    workers
        All that there were, also those that were stopped in the middle of it.
    """

    def __init__(self, scenario: str, seed: int, count: int) -> None:
        self.plan = Plan(seed, BY_NAME[scenario].rules)
        self.rng = Random(f"{scenario} {seed}")
        self.count = count
        self.sqs, self.dynamodb = Sqs("https://sqs"), DynamoDb()
        self.asked: Counter[str] = Counter()
        self.sent: list[Sent] = []
        self.runs: list[Run] = []
        self.writes: list[Write] = []
        self.workers: list[Session] = []
        self.is_over = False
        self.app = Caraway("shop", set_as_current=False)
        self.queues = [
            Queue(name, consumer="ecs", visibility_timeout_s=VISIBILITY_S)
            for name in ("default", "other")
        ]
        self.app.conf.update(task_queues=self.queues, task_table=TABLE, task_max_deliveries=1_000)
        self.app.task(name="usual")(_usual)
        self.app.task(name="idempotent", idempotent=True)(_usual)
        self.app.task(name="failing")(_failing)
        self.app.task(
            name="flaky",
            bind=True,
            autoretry_for=(ConnectionError,),
            default_retry_delay=1,
            max_retries=5,
        )(_flaky)

    @staticmethod
    def now() -> float:
        return 1_000_000.0 + asyncio.get_running_loop().time()

    async def run(self) -> list[Finding]:
        """Send everything, and let the workers run until all has ended; return what is broken."""
        site = self.app.finalize().site
        for queue in self.queues:
            name = queue.sqs_name(site.queue_prefix)
            self.perform("sqs:CreateQueue", {"QueueName": name})
        key = {"AttributeName": "id", "KeyType": "HASH"}
        self.perform("dynamodb:CreateTable", {"TableName": TABLE, "KeySchema": [key]})
        await asyncio.gather(*map(self._send, range(self.count)))
        one, both = self.queues[:1], self.queues
        keepers = [
            asyncio.ensure_future(self._keep(concurrency, queues))
            for concurrency, queues in ((12, both), (2, both), (3, one))
        ]
        await asyncio.wait_for(self._all_has_ended(), STALLED_S)
        self.is_over = True
        for worker in self.workers:
            if not worker._stopping.is_set():
                worker.stop("SIGTERM")
        await asyncio.gather(*keepers)
        return check(self._history())

    async def _keep(self, concurrency: int, queues: list[Queue]) -> None:
        """Let a worker run, and stop it now and then: another takes its place."""
        while not self.is_over:
            pool: Any = Pool(self, concurrency)
            worker = Session(self.app, queues, pool, hostname="w", shutdown_timeout_s=5)
            self.workers.append(worker)
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.rng.uniform(2, 12), self._stop, worker)
            await worker.run()
            timer.cancel()

    @staticmethod
    def _stop(worker: Session) -> None:
        if not worker._stopping.is_set():
            worker.stop("SIGTERM")

    async def _send(self, n: int) -> None:
        id, kind = (
            f"task-{n}",
            self.rng.choice(("usual", "usual", "idempotent", "failing", "flaky")),
        )
        seconds = self.rng.uniform(0, 0.05)
        if self.rng.random() < 0.1:
            seconds = self.rng.uniform(0.4, 1.7) * VISIBILITY_S
        endings = {
            "failing": Sent(id, "FAILURE", "ValueError"),
            "flaky": Sent(id, "SUCCESS", 2),
            "idempotent": Sent(id, "SUCCESS", n, claims=False),
        }
        self.sent.append(endings.get(kind, Sent(id, "SUCCESS", n)))
        queue = self.rng.choice(self.queues).name
        await self.app.tasks[kind].aapply_async((n, seconds), task_id=id, queue=queue)

    async def _all_has_ended(self) -> None:
        while self._lying() or len(self._ended()) < self.count:
            await asyncio.sleep(1)

    def _ended(self) -> set[str]:
        return {write.id for write in self.writes if write.phase in (DONE, FAILED)}

    def _lying(self) -> list[str]:
        return [
            json.loads(message.body)["id"]
            for queue in self.sqs._queues.values()
            for several in (queue._visible, queue._delayed, queue._in_flight)
            for message in several.values()
        ]

    def _history(self) -> History:
        (table,) = self.dynamodb._tables.values()
        records = [Record.read(from_item(item)) for item in table.items.values()]
        by_id = {record.id: record for record in records}
        return History(self.sent, self.runs, self.writes, by_id, self._lying())

    # -- AWS ----------------------------------------------------------------------------------

    def perform(self, operation: str, params: dict[str, Any]) -> Any:
        service, _, name = operation.partition(":")
        operations: Any = {"sqs": self.sqs.operations, "dynamodb": self.dynamodb.operations}
        return operations[service][name](params)

    async def answer(self, asked: Asked) -> dict[str, Any]:
        """Let AWS do something, and note what it writes."""
        params = json.loads(with_item(asked, json.dumps(asked.params).encode()))
        try:
            answer = self.perform(asked.operation, params)
            if asyncio.isfuture(answer):
                answer = await answer
        except Refused as refused:
            response: Any = {"Error": {"Code": refused.code, "Message": refused.message}}
            raise ClientError(response | refused.details, asked.operation) from None
        if ids_of(asked):
            written = written_by(asked, answer)
            self.writes += [Write.of(item, writer, self.now()) for item, writer in written]
        told: dict[str, Any] = answer
        return told


class Wire:
    """What somebody speaks with AWS by: it fails as the plan says."""

    def __init__(self, scene: Scene, plan: Plan) -> None:
        self._scene = scene
        self._plan = plan

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        name = f"{service}:{operation.title().replace('_', '')}"
        number = self._scene.asked[name]
        self._scene.asked[name] += 1
        if name == "sqs:ReceiveMessage":
            params = {**params, "AttributeNames": ["All"]}
        asked = Asked(service, name, params)
        fault, chance = self._plan.decide(name, number), self._plan.chance(name, number, "how")
        await asyncio.sleep(REQUEST_S / 2)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.request_s * chance.random())
        if isinstance(fault, Refuse):
            code = json.loads(refusal(service, fault.kind).body)["__type"].partition("#")[2]
            raise ClientError({"Error": {"Code": code, "Message": "Injected"}}, name)
        if isinstance(fault, Lose) and not fault.executed:
            raise ConnectionClosedError(endpoint_url="injected")
        if isinstance(fault, FailEntries):
            answer = await self._without_some(asked, fault, chance)
        else:
            answer = await self._scene.answer(asked)
        if isinstance(fault, Redeliver | Resend):
            answer = self._again(asked, answer, fault)
        await asyncio.sleep(REQUEST_S / 2)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.response_s * chance.random())
        if isinstance(fault, Lose):
            raise ConnectionClosedError(endpoint_url="injected")
        return answer

    async def _without_some(
        self, asked: Asked, fault: FailEntries, chance: Random
    ) -> dict[str, Any]:
        failing = fault.draw(chance, len(entries_of(asked)))
        performed = asked if fault.executed else without(asked, failing)
        answer = await self._scene.answer(performed) if entries_of(performed) else {}
        return saying_failed(asked, answer, failing)

    def _again(
        self, asked: Asked, answer: dict[str, Any], fault: Redeliver | Resend
    ) -> dict[str, Any]:
        messages = answer.get("Messages") or []
        if messages and isinstance(fault, Redeliver):
            return {**answer, "Messages": [*messages, messages[0]]}
        if messages and isinstance(fault, Resend):
            copy = {"QueueUrl": asked.params["QueueUrl"], "MessageBody": messages[0]["Body"]}
            self._scene.perform("sqs:SendMessage", {**copy, "DelaySeconds": fault.delay_s})
        return answer

    async def renew(self) -> None:
        """Renew nothing."""

    async def close(self) -> None:
        """Close nothing."""


class Pool:
    """Where the functions of a worker run."""

    name = "scene"
    ends_functions = False
    leaves_behind = False

    def __init__(self, scene: Scene, concurrency: int) -> None:
        self.concurrency = concurrency
        self._scene = scene
        self._running = 0

    async def open(self) -> None:
        """Wait for nothing."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        context: Context = args[0]
        self._running += 1
        assert self._running <= self.concurrency
        began = self._scene.now()
        self._scene.runs.append(Run(context.id or "", context.token, began))
        try:
            await asyncio.sleep(context.args[1])
            return call_blocking(function, *args)
        finally:
            self._running -= 1

    def stop(self, token: str, signal: str) -> None:
        """Stop nothing: what was taken over goes on, fenced off."""

    async def close(self) -> None:
        """Close nothing."""


def _usual(n: int, _: float) -> int:
    return n


def _failing(n: int, _: float) -> None:
    raise ValueError(n)


def _flaky(self: Any, n: int, _: float) -> int:
    if self.request.retries < 2:
        raise ConnectionError(n)
    retries: int = self.request.retries
    return retries


@pytest.mark.parametrize("seed", range(1, 1 + examples(1)))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whatever_breaks_every_task_ends_and_every_slot_and_place_is_given_back(
    scenario: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(scenario, seed, 120)
    monkeypatch.setattr(queues, "time", SimpleNamespace(time=scene.now, monotonic=_loop_time))
    monkeypatch.setattr(asyncio_aws, "Clock", lambda: Clock(scene.now))
    monkeypatch.setattr(asyncio_aws, "best_wire", lambda _: Wire(scene, NOTHING))
    monkeypatch.setattr(session, "best_wire", lambda _: Wire(scene, scene.plan))
    assert run_virtually(scene.run()) == []
    for worker in scene.workers:
        assert worker._slots.running == 0
        assert (worker._prefetch.taken, worker._prefetch.settling) == (0, 0)
        assert not worker._held
        assert not worker._executor.running


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
