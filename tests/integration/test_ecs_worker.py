"""The ECS door: a worker that polls its queues, runs their tasks, and drains when told to."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Queue
from caraway.aws.wires import AiobotocoreWire
from caraway.core.executor import Executor
from caraway.core.port import run_now
from caraway.core.presence import Presences, about, present
from caraway.exceptions import ImproperlyConfigured, QueueNotFound, Reject, TaskRevokedError
from caraway.signals import celeryd_init, task_prerun
from caraway.workers.ecs import Worker
from tests.integration.conftest import PATIENCE_S, wait_until
from tests.listening import listening

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from caraway import Caraway
    from caraway.core.presence import Presence
    from tests.integration.conftest import Place

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return what workers log, from INFO on."""
    caplog.set_level(logging.INFO, logger="caraway")
    return caplog


class Running:
    """A worker in a thread, as a context manager; it is stopped at the end."""

    def __init__(self, place: Place, app: Caraway, *queues: str, **options: Any) -> None:
        self.worker = Worker(app, queues or None, **options)
        self._urls = [place.url(app, queue.name) for queue in self.worker.queues]
        self._place = place
        self._codes: list[int] = []
        self._thread = threading.Thread(target=lambda: self._codes.append(self.worker.run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if self._thread.is_alive():
            self.stop()
            self.poke()
            if exc_type is not None:  # what a failed test holds back does not end
                self.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        self.worker.stop()

    def poke(self) -> None:
        """End the long polls: a message that comes after the stop is not begun any more."""
        for url in self._urls:
            extra = {"MessageGroupId": "poke", "MessageDeduplicationId": str(id(self))}
            self._place.client("sqs").send_message(
                QueueUrl=url, MessageBody="poke", **(extra if url.endswith(".fifo") else {})
            )

    def code(self) -> int:
        """Wait until it has ended; return its exit code."""
        self._thread.join(PATIENCE_S)
        return self._codes[0]


class Gate:
    """Something that a task waits at until a test lets it through."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.passed = 0

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE_S)
        self.passed += 1


# -- running --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["threads", "asyncio", "solo"])
def test_a_worker_runs_functions_and_coroutine_functions(local: Place, pool: str) -> None:
    app = local.app()

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task
    async def aadd(x: int, y: int) -> int:
        await asyncio.sleep(0)
        return x + y

    results = [add.delay(n, 1) for n in range(3)] + [aadd.delay(n, 10) for n in range(3)]
    with Running(local, app, pool=pool):
        values = [result.get(timeout=PATIENCE_S) for result in results]
        assert values == [1, 2, 3, 10, 11, 12]
        wait_until(lambda: local.depth(app) == 0)


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_a_task_that_is_terminated_is_revoked_and_the_worker_goes_on(
    local: Place, pool: str
) -> None:
    app = local.app(Queue("default", consumer="ecs", visibility_timeout_s=10))
    gate, begun = Gate(), threading.Event()

    @app.task
    def long() -> None:
        gate.wait()

    @app.task
    async def along() -> None:
        begun.set()
        await asyncio.Event().wait()

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with Running(local, app, pool=pool):
        for task, runs in ((long, gate.reached), (along, begun)):
            result = task.delay()
            assert runs.wait(PATIENCE_S)
            assert result.revoke(terminate=True).happened == "terminating"
            with pytest.raises(TaskRevokedError, match="terminated"):
                result.get(timeout=PATIENCE_S)
            assert result.state == "REVOKED"
        assert add.delay(2, 3).get(timeout=PATIENCE_S) == 5
        gate.opened.set()
        wait_until(lambda: gate.passed == 1)
        assert result.state == "REVOKED"


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_a_revoke_by_stamps_ends_what_runs_and_keeps_others_from_running(
    local: Place, pool: str
) -> None:
    app = local.app(Queue("default", consumer="ecs", visibility_timeout_s=10))
    begun, ran = threading.Event(), []

    @app.task
    async def along() -> None:
        begun.set()
        await asyncio.Event().wait()

    @app.task
    def note(name: str) -> str:
        ran.append(name)
        return name

    with Running(local, app, pool=pool):
        running = along.apply_async(stamps={"customer": 17, "span": "a"})
        assert begun.wait(PATIENCE_S)
        app.control.revoke_by_stamped_headers({"customer": [16, 17]}, terminate=True)
        with pytest.raises(TaskRevokedError, match="terminated"):
            running.get(timeout=PATIENCE_S)
        # The beat that has ended the run has read the list, by which all that begins goes now.
        waiting = note.apply_async(("waiting",), stamps={"customer": 17})
        other = note.apply_async(("other",), stamps={"customer": 18})
        with pytest.raises(TaskRevokedError, match="revoked"):
            waiting.get(timeout=PATIENCE_S)
        assert other.get(timeout=PATIENCE_S) == "other"
    assert ran == ["other"]


def test_a_task_that_was_taken_over_is_stopped_and_records_nothing(local: Place) -> None:
    app = local.app(Queue("default", consumer="ecs", visibility_timeout_s=10))
    begun, cancelled = threading.Event(), threading.Event()

    @app.task
    async def along() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with Running(local, app, pool="asyncio"):
        result = along.delay()
        assert begun.wait(PATIENCE_S)
        local.client("dynamodb").update_item(
            TableName=app.conf.task_table,
            Key={"id": {"S": result.id}},
            UpdateExpression="SET #token = :token",
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues={":token": {"S": "another's"}},
        )
        assert cancelled.wait(PATIENCE_S)
    record = local.record(app, result.id)
    assert (record.phase, record.token) == ("running", "another's")


def test_a_task_is_retried_by_a_message_of_its_own(local: Place) -> None:
    app = local.app()

    @app.task(bind=True)
    def flaky(self: Any) -> int:
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        retries: int = self.request.retries
        return retries

    result = flaky.delay()
    with Running(local, app):
        assert result.get(timeout=PATIENCE_S) == 2
    assert result.attempts == 3


def test_a_task_may_call_others_and_show_states_from_a_worker(local: Place) -> None:
    app = local.app()
    child = app.task(name="child")(lambda n: n)

    @app.task(bind=True)
    def parent(self: Any) -> Any:
        self.update_state(state="CALLING", meta={"n": 1})
        return [app.AsyncResult(self.request.id).state, child.delay(5).id]

    @app.task(bind=True)
    async def aparent(self: Any) -> Any:
        await self.aupdate_state(state="CALLING", meta={"n": 1})
        return [await app.AsyncResult(self.request.id).astate(), (await child.adelay(6)).id]

    with Running(local, app, concurrency=4):
        for task, value in ((parent, 5), (aparent, 6)):
            state, id = task.delay().get(timeout=PATIENCE_S)
            assert state == "CALLING"
            assert app.AsyncResult(id).get(timeout=PATIENCE_S) == value


def test_several_queues_share_the_concurrency(local: Place) -> None:
    app = local.app(Queue("default", consumer="ecs"), Queue("reports", consumer="ecs"))
    running: list[int] = []
    most: list[int] = []

    @app.task
    def work() -> None:
        running.append(1)
        most.append(len(running))
        running.pop()

    results = [work.apply_async(queue=name) for name in ("default", "reports") for _ in range(5)]
    with Running(local, app, concurrency=1):
        for result in results:
            result.get(timeout=PATIENCE_S)
    assert max(most) == 1


def test_a_group_of_a_fifo_queue_is_run_in_its_order(local: Place) -> None:
    app = local.app(Queue("orders.fifo", consumer="ecs"))
    done: list[str] = []

    @app.task(bind=True, queue="orders")
    def advance(self: Any, step: str) -> None:
        if step == "first" and self.request.retries == 0:
            raise self.retry(countdown=0)
        done.append(step)

    results = [
        advance.apply_async((step,), message_group_id="order-42")
        for step in ("first", "second", "third")
    ]
    with Running(local, app):
        for result in results:
            result.get(timeout=PATIENCE_S)
    assert done == ["first", "second", "third"]


def test_a_group_has_one_slot_and_others_go_on_beside_it(local: Place) -> None:
    app = local.app(Queue("orders.fifo", consumer="ecs"))
    gate = Gate()
    done: list[str] = []

    @app.task(queue="orders", message_group_id=lambda step: step[0])
    def advance(step: str) -> None:
        if step == "a1":
            gate.wait()
        done.append(step)

    results = [advance.delay(step) for step in ("a1", "a2", "a3", "b1", "c1", "b2")]
    with Running(local, app, concurrency=2):
        assert gate.reached.wait(PATIENCE_S)
        wait_until(lambda: len(done) == 3)  # of the others, in the other slot
        assert "a2" not in done
        gate.opened.set()
        for result in results:
            result.get(timeout=PATIENCE_S)
    for group in "abc":
        assert [step for step in done if step[0] == group] == sorted(
            step for step in done if step[0] == group
        )


@pytest.mark.parametrize(("countdown", "held_back"), [(1, []), (3_600, ["a1", "a2"])])
def test_a_retry_holds_back_its_group_until_it_is_due_and_no_other(
    local: Place, countdown: int, held_back: list[str]
) -> None:
    app = local.app(Queue("orders.fifo", consumer="ecs"))
    done: list[str] = []

    @app.task(bind=True, queue="orders", message_group_id=lambda step: step[0])
    def advance(self: Any, step: str) -> None:
        if step == "a1" and self.request.retries == 0:
            raise self.retry(countdown=countdown)
        done.append(step)

    results = {step: advance.delay(step) for step in ("a1", "a2", "b1", "b2")}
    with Running(local, app, concurrency=4):
        wait_until(lambda: results["a1"].state == "RETRY" or "a1" in done)
        for step in results.keys() - set(held_back):
            results[step].get(timeout=PATIENCE_S)
    for group in "ab":
        ran = [step for step in done if step[0] == group]
        assert ran == [
            step for step in sorted(results) if step[0] == group and step not in held_back
        ]


def test_two_workers_keep_the_order_of_each_group_through_retries(local: Place) -> None:
    app = local.app(Queue("orders.fifo", consumer="ecs"))
    done: list[tuple[str, int]] = []

    @app.task(bind=True, queue="orders", message_group_id=lambda group, _number: group)
    def advance(self: Any, group: str, number: int) -> None:
        if number % 3 == 1 and self.request.retries < 2:
            raise self.retry(countdown=0)
        done.append((group, number))

    results = [advance.delay(group, number) for number in range(5) for group in "abcd"]
    with Running(local, app, concurrency=3), Running(local, app, concurrency=3):
        for result in results:
            result.get(timeout=PATIENCE_S)
        wait_until(lambda: local.depth(app, "orders") == 0)
    for group in "abcd":
        assert [number for each, number in done if each == group] == [0, 1, 2, 3, 4]


def test_what_goes_to_the_dead_letter_queue_lets_its_group_go_on(local: Place) -> None:
    app = local.app(Queue("orders.fifo", consumer="ecs"))

    @app.task(queue="orders", message_group_id="one")
    def advance(step: str) -> str:
        if step == "bad":
            raise Reject("no such order")
        return step

    refused, passed = advance.delay("bad"), advance.delay("good")
    with Running(local, app):
        assert passed.get(timeout=PATIENCE_S) == "good"
        wait_until(lambda: refused.state == "FAILURE")
    ((body, reason),) = local.letters(app, "orders")
    assert refused.id in body
    assert reason == "no such order"


def test_what_cannot_be_run_is_kept_and_the_worker_goes_on(local: Place) -> None:
    app = local.app()
    local.client("sqs").send_message(QueueUrl=local.url(app), MessageBody="garbage")
    app.send_task("unheard.of")

    @app.task
    def refuse() -> None:
        raise Reject("no such order")

    refuse.delay()
    fine = app.task(name="fine")(lambda: "fine").delay()
    with Running(local, app):
        assert fine.get(timeout=PATIENCE_S) == "fine"
        wait_until(lambda: local.depth(app) == 0)
    reasons = sorted(reason for _, reason in local.letters(app))
    assert [each[:12] for each in reasons] == ["NotRegistere", "no such orde", "the body is "]


def test_a_message_that_the_worker_cannot_handle_does_not_stop_it(
    local: Place, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = local.app()
    execute = Executor.execute

    async def faulty(executor: Any, delivery: Any) -> Any:
        if json.loads(delivery.body)["args"] == [0]:
            raise ZeroDivisionError("a fault of Caraway's own")
        return await execute(executor, delivery)

    monkeypatch.setattr(Executor, "execute", faulty)
    results = [app.task(name="echo")(lambda n: n).delay(n) for n in range(2)]
    with Running(local, app):
        assert results[1].get(timeout=PATIENCE_S) == 1
        wait_until(lambda: "could not handle a message of default" in said.text)
    assert "ZeroDivisionError" in said.text


# -- how much it costs ----------------------------------------------------------------------------


def test_cheap_tasks_cost_less_than_thirty_five_requests_a_hundred(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    send = AiobotocoreWire.send

    async def counting(wire: Any, service: str, operation: str, params: Any) -> Any:
        response = await send(wire, service, operation, params)
        if operation != "receive_message" or response.get("Messages"):
            asked[operation] += 1
        return response

    monkeypatch.setattr(AiobotocoreWire, "send", counting)
    app = local.app(worker_heartbeat_interval=None)
    tasks = 1_000
    ran: list[int] = []
    done = threading.Event()

    @app.task(idempotent=True, ignore_result=True)
    def cheap(n: int) -> None:
        ran.append(n)
        if len(ran) >= tasks:
            done.set()

    async def producer() -> None:
        await asyncio.gather(*(cheap.adelay(n) for n in range(tasks)))

    asyncio.run(producer())
    with Running(local, app, concurrency=20) as running:
        assert done.wait(PATIENCE_S)
        wait_until(lambda: local.depth(app) == 0)
        running.stop()
    assert sorted(ran) == list(range(tasks))
    assert set(asked) <= {
        "get_queue_url",
        "send_message_batch",
        "receive_message",
        "delete_message_batch",
        "delete_message",
        "change_message_visibility",  # of the poke
    }
    assert sum(asked.values()) / tasks <= 0.35, asked


# -- stopping -------------------------------------------------------------------------------------


def test_a_warm_shutdown_finishes_what_runs_and_releases_what_was_not_begun(
    local: Place, said: pytest.LogCaptureFixture
) -> None:
    app = local.app(Queue("orders.fifo", consumer="ecs"))
    gate = Gate()
    work = app.task(name="work", queue="orders")(gate.wait)
    results = [work.apply_async(message_group_id="one") for _ in range(2)]
    with Running(local, app, concurrency=2) as running:
        assert gate.reached.wait(PATIENCE_S)
        # The second is held, too: it may be run after the first only.
        wait_until(lambda: local.waiting(app, "orders") == [])
        running.stop()
        wait_until(lambda: "warm shutdown" in said.text)
        gate.opened.set()
        running.poke()
        assert running.code() == 0
    assert gate.passed == 1
    assert [result.state for result in results] == ["SUCCESS", "PENDING"]
    wait_until(lambda: local.waiting(app, "orders"))


def test_a_worker_on_several_queues_holds_no_more_messages_than_it_has_slots(
    local: Place,
) -> None:
    names = ("default", "reports", "mails")
    app = local.app(*(Queue(name, consumer="ecs") for name in names))
    gate = Gate()
    work = app.task(name="work")(gate.wait)
    with Running(local, app, concurrency=1):
        # Each queue is asked for the one free slot before there is any message.
        results = [work.apply_async(queue=name) for name in names]
        assert gate.reached.wait(PATIENCE_S)
        wait_until(lambda: sum(len(local.waiting(app, name)) for name in names) == 2)
        gate.opened.set()
        for result in results:
            result.get(timeout=PATIENCE_S)
    assert gate.passed == 3


def test_a_task_that_outlasts_the_shutdown_is_released_to_another_worker(
    local: Place, said: pytest.LogCaptureFixture
) -> None:
    app = local.app()
    gate, runs = Gate(), []

    @app.task
    def work() -> int:
        runs.append(1)
        if len(runs) == 1:
            gate.wait()
        return len(runs)

    result = work.delay()
    # Time enough for the long poll to end by the poke: one that is given up may take messages.
    with Running(local, app, shutdown_timeout_s=2) as running:
        assert gate.reached.wait(PATIENCE_S)
        running.stop()
        running.poke()
        assert running.code() == 0
    record = local.record(app, result.id)
    assert (record.phase, record.open_at, record.attempt) == ("retry", 0, 0)
    assert "1 running tasks are released to run again" in said.text
    with Running(local, app):
        assert result.get(timeout=PATIENCE_S) == 2
    gate.opened.set()  # what the first still did is of no account
    assert app.AsyncResult(result.id).get(timeout=PATIENCE_S) == 2


def test_a_second_stop_does_not_wait(local: Place, said: pytest.LogCaptureFixture) -> None:
    app = local.app()
    gate = Gate()
    result = app.task(name="work")(gate.wait).delay()
    with Running(local, app, shutdown_timeout_s=3_600) as running:
        assert gate.reached.wait(PATIENCE_S)
        running.stop()
        running.poke()
        running.stop()
        assert running.code() == 1
    gate.opened.set()
    assert local.record(app, result.id).phase == "retry"
    assert "warm shutdown, running tasks have 3600 s" in said.text
    assert "cold shutdown, running tasks are released" in said.text


def test_a_coroutine_that_is_released_is_cancelled(local: Place) -> None:
    app = local.app()
    begun, ended = threading.Event(), threading.Event()

    @app.task
    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    work.delay()
    with Running(local, app, shutdown_timeout_s=0) as running:
        assert begun.wait(PATIENCE_S)
        running.stop()
        running.poke()
        assert running.code() == 0
    assert ended.is_set()


def test_a_worker_may_be_stopped_before_it_has_begun(local: Place) -> None:
    worker = Worker(local.app())
    worker.stop()
    assert worker.run() == 0
    worker.stop()  # and after it has ended


SCRIPT = """
import sys
from caraway import Caraway, Queue
from caraway.workers import ecs, receiving
from caraway.workers.logs import set_up_logging
receiving.POLL_S = 1
app = Caraway("shop")
app.conf.task_queues = [Queue("default", consumer="ecs")]
@app.task(name="hang")
def hang():
    print("hanging now")
    import threading
    threading.Event().wait()
if __name__ == "__main__":
    set_up_logging(app, "INFO", sys.stdout)
    # One slot, which is taken: no poll is under way that could take what is released.
    worker = ecs.Worker(app, concurrency=1, shutdown_timeout_s=3_600)
    print(worker.banner(), flush=True)
    sys.exit(worker.run())
"""


def test_signals_end_a_worker_also_when_a_task_hangs(local: Place, tmp_path: Path) -> None:
    app = local.app()
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={
            **os.environ,
            "AWS_ENDPOINT_URL": local.endpoint_url or "",
            "CARAWAY_QUEUE_NAME_PREFIX": app.conf.queue_name_prefix,
            "CARAWAY_TASK_TABLE": app.conf.task_table,
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    with process, process.stdout as output:
        try:
            result = app.send_task("hang")
            for line in output:
                lines.append(line)
                if "hanging now" in line:
                    process.send_signal(signal.SIGTERM)
                if "SIGTERM: warm shutdown" in line:
                    process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 1
        finally:
            process.kill()
    text = "".join(lines)
    assert ".> app:         shop" in text
    assert f"hang[{result.id}]: hanging now" in text
    assert "SIGINT again: cold shutdown" in text
    assert local.record(app, result.id).phase == "retry"
    wait_until(lambda: local.waiting(app))


# -- holding --------------------------------------------------------------------------------------


def test_a_task_longer_than_the_visibility_timeout_runs_once(local: Place) -> None:
    visibility_s = 8  # a busy machine stands still for less
    app = local.app(Queue("default", consumer="ecs", visibility_timeout_s=visibility_s))
    gate = Gate()
    result = app.task(name="long")(gate.wait).delay()
    with Running(local, app, concurrency=2):
        assert gate.reached.wait(PATIENCE_S)
        first = local.record(app, result.id).open_at or 0.0
        now = app.aws.now
        # The lease, and with it the message, would be free by now.
        wait_until(lambda: now().timestamp() > first + visibility_s / 2)
        assert (local.record(app, result.id).open_at or 0.0) > first
        gate.opened.set()
        result.get(timeout=PATIENCE_S)
        wait_until(lambda: local.depth(app) == 0)
    assert gate.passed == 1
    assert local.record(app, result.id).lost == 0


# -- when something is missing --------------------------------------------------------------------


def test_a_worker_whose_table_is_missing_says_so_and_goes_on_when_it_is_there(
    local: Place, said: pytest.LogCaptureFixture
) -> None:
    app = local.app()
    table = f"{app.conf.task_table}-late"
    app.conf.task_table = table
    result = app.task(name="echo")(lambda n: n).delay(5)
    with Running(local, app):
        wait_until(lambda: "the worker goes on trying" in said.text)
        assert table in said.text
        local.table(table)
        assert result.get(timeout=PATIENCE_S) == 5
        wait_until(lambda: "AWS answers again" in said.text)
    assert said.text.count("the worker goes on trying") == 1


def test_a_worker_whose_queue_is_missing_says_so_and_goes_on_when_it_is_there(
    local: Place, said: pytest.LogCaptureFixture
) -> None:
    app = local.app(Queue("default", consumer="ecs"), Queue("reports", consumer="ecs"))
    echo = app.task(name="echo")(lambda n: n)
    sqs, url = local.client("sqs"), local.url(app)
    name = url.rpartition("/")[2]
    running = Running(local, app)
    sqs.delete_queue(QueueUrl=url)
    with running:
        wait_until(lambda: "the worker goes on trying" in said.text)
        for n in range(3):  # the other queue does not wait for it
            result = echo.apply_async((n,), queue="reports")
            assert result.get(timeout=PATIENCE_S) == n
        assert said.text.count("the worker goes on trying") == 1
        assert name in said.text
        sqs.create_queue(QueueName=name)
        assert echo.delay(5).get(timeout=PATIENCE_S) == 5
        wait_until(lambda: "AWS answers again" in said.text)


# -- what it says ---------------------------------------------------------------------------------


def test_a_worker_says_what_it_does(local: Place, said: pytest.LogCaptureFixture) -> None:
    app = local.app()
    result = app.task(name="echo")(lambda n: n).delay(5)
    with Running(local, app, hostname="w1@here"):
        result.get(timeout=PATIENCE_S)
        wait_until(lambda: f"Task echo[{result.id}] succeeded in " in said.text)
    for line in ("w1@here ready.", f"Task echo[{result.id}] received"):
        assert line in said.text


def test_what_a_task_prints_is_logged(local: Place, said: pytest.LogCaptureFixture) -> None:
    app = local.app()

    @app.task
    def chatty() -> None:
        print("hello from a task")  # noqa: T201

    result = chatty.delay()
    before = sys.stdout
    with Running(local, app):
        result.get(timeout=PATIENCE_S)
        wait_until(lambda: "hello from a task" in said.text)
    assert sys.stdout is before


def test_the_banner_shows_queues_and_tasks(local: Place) -> None:
    app = local.app(Queue("default", consumer="ecs"), Queue("reports", consumer="ecs"))
    app.task(name="shop.add")(lambda: None)
    worker = Worker(app, ["reports"], concurrency=8, hostname="w1@here")
    banner = worker.banner()
    for part in (
        "w1@here caraway ",
        f".> app:         {app.main}",
        f".> results:     {app.conf.task_table}",
        ".> concurrency: 8 (threads)",
        f"  . reports              {app.conf.queue_name_prefix}reports (visibility 360 s)",
        "  . shop.add",
    ):
        assert part in banner
    assert "default" not in banner


# -- what to consume ------------------------------------------------------------------------------


def test_a_worker_consumes_the_queues_it_is_told_or_those_declared_for_it(local: Place) -> None:
    app = local.app(Queue("default"), Queue("reports", consumer="ecs"))

    def consumed(*names: str) -> list[str]:
        worker = Worker(app, names)
        return [queue.name for queue in worker.queues]

    assert consumed() == ["reports"]
    assert consumed("reports", "default", "reports") == ["reports", "default"]
    with pytest.raises(QueueNotFound, match="did you mean 'reports'"):
        consumed("report")


def test_a_worker_without_a_queue_says_what_to_do(local: Place) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"-Q \(it has default\)"):
        Worker(local.app(Queue("default")))


# -- showing itself -------------------------------------------------------------------------------


def present_at(local: Place, app: Caraway) -> list[Presence]:
    return run_now(present(app.aws, Presences(app.site.records.table)))


def test_a_worker_shows_itself_and_what_it_runs_until_it_stops(local: Place) -> None:
    app = local.app()
    gate = Gate()

    @app.task
    def waits() -> None:
        gate.wait()

    sent = waits.delay()
    with Running(local, app, hostname="shown@box", heartbeat_interval_s=0.05) as running:
        assert gate.reached.wait(PATIENCE_S)
        # A worker that beats so often is taken for gone where the machine is busy, and comes back.
        (told,) = wait_until(lambda: [each for each in present_at(local, app) if each.tasks])
        assert (told.hostname, told.pid, told.pool) == ("shown@box", os.getpid(), "threads")
        assert [each.id for each in told.tasks] == [sent.id]
        assert told.running == 1
        known = run_now(about(app.aws, Presences(app.site.records.table), [told.about]))
        assert waits.name in known[told.about].registered
        gate.opened.set()
        sent.get(timeout=PATIENCE_S)
        wait_until(lambda: any(each.processed == 1 for each in present_at(local, app)))
        running.stop()
        running.poke()
        assert running.code() == 0
    assert present_at(local, app) == []


def test_a_worker_without_a_heartbeat_shows_nothing(local: Place) -> None:
    app = local.app()

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with Running(local, app, heartbeat_interval_s=0):
        assert add.delay(1, 2).get(timeout=PATIENCE_S) == 3
        assert present_at(local, app) == []


# -- signals --------------------------------------------------------------------------------------


def test_the_life_of_a_worker_is_announced(local: Place) -> None:
    app = local.app()
    add = app.task(name="add")(lambda x, y: x + y)
    threads: list[str] = []

    def where(**_: Any) -> None:
        threads.append(threading.current_thread().name)

    with listening() as ear, Running(local, app, hostname="w1@here") as running:
        task_prerun.connect(where, sender="add")
        try:
            assert add.delay(1, 2).get(timeout=PATIENCE_S) == 3
            wait_until(lambda: ear.of("task_success"))
        finally:
            task_prerun.disconnect(where, sender="add")
        running.stop()
        running.poke()
        assert running.code() == 0
    life = [each for each in ear.names if each.startswith(("celeryd", "worker"))]
    assert life == [
        "celeryd_init",
        "celeryd_after_setup",
        "worker_init",
        "worker_process_init",
        "worker_ready",
        "worker_shutting_down",
        "worker_process_shutdown",
        "worker_shutdown",
    ]
    assert threads[0].startswith("task")
    assert ear.one("worker_ready").sender is running.worker
    stopped = ear.one("worker_shutting_down")
    assert (stopped.sender, stopped["how"], stopped["exitcode"]) == ("w1@here", "Warm", 0)
    assert [each["request"].hostname for each in ear.of("task_received")] == ["w1@here"]
    assert ear.of("heartbeat_sent")[0].sender.hostname == "w1@here"


def test_a_worker_may_be_set_up_by_a_receiver(local: Place) -> None:
    app = local.app()

    def set_up(sender: str, instance: Any, conf: Any, **_: Any) -> None:
        conf.worker_concurrency = 3

    celeryd_init.connect(set_up, sender="w1@here")
    try:
        assert Worker(app, hostname="w1@here").pool.concurrency == 3
    finally:
        celeryd_init.disconnect(set_up, sender="w1@here")
