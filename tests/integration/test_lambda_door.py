"""The Lambda door: an SQS event in, the messages that are to come back out."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Middleware, Publication, Queue
from caraway.exceptions import (
    Ignore,
    ImproperlyConfigured,
    Reject,
    ResourceMissing,
    SoftTimeLimitExceeded,
    TimeLimitExceeded,
)
from caraway.workers import aws_lambda, function_time, main_thread
from caraway.workers.aws_lambda import LambdaWorker, lambda_handler
from caraway.workers.function_time import LAST_S, MARGIN_S
from tests.integration.conftest import PATIENCE_S
from tests.listening import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway import Context
    from tests.integration.conftest import Place

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")

EVENTS = Path(__file__).parents[2] / "events"
ACCOUNT = "arn:aws:sqs:us-east-1:123456789012"


@dataclass
class FakeContext:
    """What Lambda hands to a function: here its time is what a test says."""

    left_s: Callable[[], float] = lambda: 60.0
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left_s() * 1000)


@dataclass
class Door:
    """A Lambda function for one app, and the event source mapping that would invoke it."""

    place: Place
    app: Caraway
    concurrency: int = 1
    _worker: LambdaWorker | None = field(default=None)

    @property
    def worker(self) -> LambdaWorker:
        if self._worker is None:
            self._worker = LambdaWorker(self.app, self.concurrency)
            self.place.closing.callback(self._worker.close)
        return self._worker

    def event(self, queue: str = "default", limit: int = 10) -> dict[str, Any]:
        """Receive messages, as an event."""
        kind = self.app.site.router.queue(queue)
        name = kind.sqs_name(self.app.conf.queue_name_prefix)
        received = self.place.receive(self.place.url(self.app, queue), limit, hidden_s=360)
        return {"Records": [as_record(message, name) for message in received]}

    def invoke(self, event: dict[str, Any] | None = None, **context: Any) -> list[str]:
        """Invoke the function; return the ids of the messages that are to come back."""
        answer = self.worker.handle(event or self.event(), FakeContext(**context))
        assert answer.keys() == {"batchItemFailures"}
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def as_record(message: dict[str, Any], queue: str) -> dict[str, Any]:
    """Return a received message as Lambda's poller shows it."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"{ACCOUNT}:{queue}",
        "awsRegion": "us-east-1",
    }


@pytest.fixture
def door(moto: Place) -> Door:
    app = moto.app(Queue("default"), Queue("orders.fifo"))
    return Door(moto, app)


# -- running --------------------------------------------------------------------------------------


def test_the_tasks_of_an_event_are_run_and_nothing_comes_back(door: Door) -> None:
    add = door.app.task(name="add")(lambda x, y: x + y)
    results = [add.delay(n, 1) for n in range(3)]
    assert door.invoke() == []
    assert [result.get(timeout=1) for result in results] == [1, 2, 3]
    record = door.place.record(door.app, results[0].id)
    assert (record.phase, record.attempt, record.open_at) == ("done", 0, None)


def test_tasks_whose_stamps_are_revoked_do_not_run(door: Door) -> None:
    add = door.app.task(name="add")(lambda x, y: x + y)
    stamped = [add.apply_async((n, 1), stamps={"customer": n}) for n in (17, 18)]
    door.app.control.revoke_by_stamped_headers({"customer": 17})
    assert door.invoke() == []
    assert [result.state for result in stamped] == ["REVOKED", "SUCCESS"]


def test_an_asynchronous_task_is_run_on_one_loop_that_is_kept(door: Door) -> None:
    @door.app.task
    async def loop_of() -> int:
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop())

    results = []
    for _ in range(2):
        results.append(loop_of.delay())
        assert door.invoke() == []
    first, second = [result.get(timeout=1) for result in results]
    assert first == second == id(door.worker._loop)


def test_connections_are_kept_between_invocations(door: Door) -> None:
    task = door.app.task(name="nothing")(lambda: None)
    clients = set()
    for _ in range(2):
        task.delay()
        door.invoke()
        wire: Any = door.worker._aws._wire
        clients.add(id(wire._botocore._clients["dynamodb"]))
    assert len(clients) == 1


def test_a_task_may_call_others_and_show_states(door: Door) -> None:
    child = door.app.task(name="child")(lambda n: n)

    @door.app.task(bind=True)
    def parent(self: Any) -> str:
        self.update_state(state="CALLING")
        state: str = door.app.AsyncResult(self.request.id).state
        child.delay(5)
        return state

    @door.app.task(bind=True)
    async def aparent(self: Any) -> str:
        await self.aupdate_state(state="CALLING")
        await child.adelay(6)
        return await door.app.AsyncResult(self.request.id).astate()

    results = [parent.delay(), aparent.delay()]
    assert door.invoke() == []
    assert [result.get(timeout=1) for result in results] == ["CALLING", "CALLING"]
    assert [json.loads(each["body"])["args"] for each in door.event()["Records"]] == [[5], [6]]


def test_tasks_run_one_by_one_unless_they_may_run_together(moto: Place) -> None:
    door = Door(moto, moto.app(Queue("default")), concurrency=2)
    both = threading.Barrier(2, timeout=PATIENCE_S)
    meet = door.app.task(name="meet")(lambda: both.wait() >= 0)
    results = [meet.delay(), meet.delay()]
    assert door.invoke() == []
    assert [result.get(timeout=1) for result in results] == [True, True]


def test_the_lease_outlasts_the_function(door: Door) -> None:
    seen: list[float] = []

    @door.app.task(bind=True)
    def look(self: Any) -> None:
        record = door.place.record(door.app, self.request.id)
        assert record.open_at is not None
        seen.append(record.open_at - door.app.aws.now().timestamp())

    look.delay()
    door.invoke(left_s=lambda: 100.0)
    assert 90 + MARGIN_S < seen[0] <= 100 + MARGIN_S + 1


# -- other endings --------------------------------------------------------------------------------


def test_a_failed_or_ignored_task_has_ended(door: Door) -> None:
    def fail(error: str) -> None:
        raise {"value": ValueError("bad"), "ignore": Ignore()}[error]

    task = door.app.task(name="fail")(fail)
    results = [task.delay("value"), task.delay("ignore")]
    assert door.invoke() == []
    assert [result.state for result in results] == ["FAILURE", "IGNORED"]


def test_a_retry_is_a_message_of_its_own(door: Door) -> None:
    @door.app.task(bind=True)
    def flaky(self: Any) -> str:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return "done"

    result = flaky.delay()
    event = door.event()
    assert door.invoke(event) == []
    assert door.invoke() == []
    assert result.get(timeout=1) == "done"
    assert door.invoke(event) == []  # a redelivery of what is done
    assert result.attempts == 2


def test_garbage_and_unknown_tasks_go_to_the_dead_letter_queue(door: Door) -> None:
    door.app.task(name="maths.add")(lambda x: x)
    door.app.send_task("maths.ad", [1])
    url = door.place.url(door.app)
    door.place.client("sqs").send_message(QueueUrl=url, MessageBody="garbage")
    assert door.invoke() == []
    letters = dict(door.place.letters(door.app))
    assert "not JSON" in letters.pop("garbage")
    ((body, reason),) = letters.items()
    assert json.loads(body)["task"] == "maths.ad"
    assert "did you mean 'maths.add'" in reason


def test_a_rejected_task_is_a_dead_letter_and_a_requeued_one_comes_back(door: Door) -> None:
    def refuse(requeue: bool) -> None:
        raise Reject("no such order", requeue=requeue)

    task = door.app.task(name="refuse")(refuse)
    task.delay(False)
    task.delay(True)
    event = door.event()
    assert door.invoke(event) == [event["Records"][1]["messageId"]]
    assert [reason for _, reason in door.place.letters(door.app)] == ["no such order"]
    assert door.place.waiting(door.app) == ["[True]"]  # at once


def test_a_task_that_runs_elsewhere_comes_back_when_its_lease_is_over(door: Door) -> None:
    runs: list[int] = []
    task = door.app.task(name="once")(lambda: runs.append(1))
    result = task.delay()
    event = door.event()
    (record,) = event["Records"]

    @door.app.task(name="rival")
    def rival() -> None:
        """Meet the claim of the same message, as a second delivery would."""

    door.place.client("dynamodb").update_item(
        TableName=door.app.conf.task_table,
        Key={"id": {"S": result.id}},
        UpdateExpression="SET phase = :running, #token = :other, open_at = :later, attempt = :zero",
        ExpressionAttributeNames={"#token": "token"},
        ExpressionAttributeValues={
            ":running": {"S": "running"},
            ":other": {"S": "another's"},
            ":later": {"N": str(door.app.aws.now().timestamp() + 100)},
            ":zero": {"N": "0"},
        },
    )
    assert door.invoke(event) == [record["messageId"]]
    assert not runs


# -- time -----------------------------------------------------------------------------------------


def test_with_little_time_left_messages_are_given_back_at_once(door: Door) -> None:
    left = [60.0]

    @door.app.task(name="long")
    def long(n: int) -> int:
        left[0] = MARGIN_S - 1
        return n

    results = [long.delay(n) for n in range(3)]
    event = door.event()
    ids = [each["messageId"] for each in event["Records"]]
    assert door.invoke(event, left_s=lambda: left[0]) == ids[1:]
    assert results[0].get(timeout=1) == 0
    assert [result.state for result in results[1:]] == ["PENDING", "PENDING"]
    assert len(door.place.receive(door.place.url(door.app))) == 2


def test_a_function_without_time_for_any_task_says_so_at_its_first_message(door: Door) -> None:
    result = door.app.task(name="work")(lambda: 1).delay()
    event = door.event()
    with pytest.raises(ImproperlyConfigured, match=r"has 5 s.*Set the function's Timeout to 30 s"):
        door.invoke(event, left_s=lambda: MARGIN_S)
    assert result.state == "PENDING"
    assert door.invoke(event, left_s=lambda: MARGIN_S + 0.1) == []
    assert result.get(timeout=1) == 1


def test_an_invocation_that_begins_with_enough_time_begins_its_first_message(door: Door) -> None:
    results = [door.app.task(name="work")(lambda n: n).delay(n) for n in range(2)]
    left = iter([MARGIN_S + 0.01])  # and what was left when the message was looked at is less
    event = door.event()
    second = event["Records"][1]["messageId"]
    assert door.invoke(event, left_s=lambda: next(left, MARGIN_S - 0.01)) == [second]
    assert [result.state for result in results] == ["SUCCESS", "PENDING"]


# -- FIFO -----------------------------------------------------------------------------------------


def orders(door: Door) -> tuple[Any, list[str]]:
    done: list[str] = []

    @door.app.task(name="advance", bind=True, queue="orders")
    def advance(self: Any, step: str) -> None:
        if step == "retry" and self.request.retries == 0:
            raise self.retry(countdown=0)
        if step == "requeue":
            raise Reject("not now", requeue=True)
        done.append(step)

    return advance, done


@pytest.mark.parametrize("first", ["retry", "requeue"])
def test_the_order_of_a_group_is_kept_behind_a_message_that_stays(door: Door, first: str) -> None:
    advance, done = orders(door)
    for group, step in (("a", first), ("a", "second"), ("b", "other"), ("a", "third")):
        advance.apply_async((step,), message_group_id=group)
    event = door.event("orders")
    groups = [each["attributes"]["MessageGroupId"] for each in event["Records"]]
    stay = [
        each["messageId"]
        for each, group in zip(event["Records"], groups, strict=True)
        if group == "a"
    ]
    assert len(stay) == 3
    assert door.invoke(event) == stay
    assert done == ["other"]


def test_a_retry_on_a_fifo_queue_goes_on_before_what_is_behind_it(door: Door) -> None:
    advance, done = orders(door)
    for step in ("retry", "second"):
        advance.apply_async((step,), message_group_id="a")
    event = door.event("orders")
    door.invoke(event)
    assert door.invoke(event) == []  # as they come back, in their order
    assert done == ["retry", "second"]


def test_a_dead_letter_lets_its_group_go_on_within_the_same_event(door: Door) -> None:
    done: list[str] = []

    @door.app.task(queue="orders", message_group_id="a")
    def advance(step: str) -> None:
        if step == "bad":
            raise Reject("no such order")
        done.append(step)

    for step in ("bad", "second", "third"):
        advance.delay(step)
    assert door.invoke(door.event("orders")) == []
    assert done == ["second", "third"]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_groups_keep_their_order_whatever_is_run_at_a_time(door: Door, concurrency: int) -> None:
    door.concurrency = concurrency
    done: list[str] = []

    @door.app.task(queue="orders", message_group_id=lambda step: step[0])
    def advance(step: str) -> None:
        done.append(step)

    for step in ("a1", "b1", "a2", "c1", "b2", "a3"):
        advance.delay(step)
    assert door.invoke(door.event("orders")) == []
    for group, wanted in (("a", ["a1", "a2", "a3"]), ("b", ["b1", "b2"]), ("c", ["c1"])):
        assert [step for step in done if step[0] == group] == wanted


def test_a_failed_task_does_not_hold_up_its_group(door: Door) -> None:
    done: list[str] = []

    @door.app.task(queue="orders")
    def advance(step: str) -> None:
        done.append(step)
        if step == "fail":
            raise ValueError(step)

    for step in ("fail", "second"):
        advance.apply_async((step,), message_group_id="a")
    assert door.invoke(door.event("orders")) == []
    assert done == ["fail", "second"]


# -- when AWS does not answer ---------------------------------------------------------------------


def test_the_invocation_fails_when_aws_answers_for_no_message(door: Door) -> None:
    task = door.app.task(name="nothing")(lambda: None)
    task.delay()
    task.delay()
    door.app.conf.task_table = "missing"
    with pytest.raises(ResourceMissing, match="missing"):
        door.invoke()


def test_messages_that_aws_does_not_answer_for_come_back_and_the_others_do_not(
    door: Door,
) -> None:
    ran: list[int] = []
    cheap = door.app.task(name="cheap", idempotent=True, ignore_result=True)(ran.append)
    claimed = door.app.task(name="claimed")(ran.append)
    cheap.delay(1)
    claimed.delay(2)
    cheap.delay(3)
    door.app.conf.task_table = "missing"
    event = door.event()
    assert door.invoke(event) == [event["Records"][1]["messageId"]]
    assert ran == [1, 3]


def test_a_message_that_the_door_itself_cannot_handle_comes_back(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = door.app.task(name="echo")(lambda n: n)
    results = [task.delay(n) for n in range(3)]
    execute = door.worker._executor.execute

    async def faulty(delivery: Any) -> Any:
        if json.loads(delivery.body)["args"] == [1]:
            raise ZeroDivisionError("a fault of Caraway's own")
        return await execute(delivery)

    monkeypatch.setattr(door.worker._executor, "execute", faulty)
    event = door.event()
    assert door.invoke(event) == [event["Records"][1]["messageId"]]
    assert [result.state for result in results] == ["SUCCESS", "PENDING", "SUCCESS"]


RECORD = json.loads((EVENTS / "sqs-bad-input.json").read_text())["Records"][0]


# -- events ---------------------------------------------------------------------------------------


def test_an_event_without_messages_needs_nothing(door: Door) -> None:
    assert door.invoke({"Records": []}) == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"detail-type": "Scheduled Event"},
        {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "k"}}}]},
        {"Records": [{"EventSource": "aws:sns", "Sns": {}}]},
        {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
        {"Records": [{**RECORD, "attributes": "none"}]},
        {"Records": [{**RECORD, "attributes": {"SentTimestamp": 5}}]},
        {"Records": [{**RECORD, "messageId": 5}]},
        {"Records": [{**RECORD, "eventSourceARN": "default"}]},
        {"Records": "none"},
        ["no object"],
        "text",
    ],
)
def test_an_event_of_something_else_is_refused(door: Door, event: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="takes the events of SQS queues"):
        door.worker.handle(event, FakeContext())


def test_an_event_by_hand_may_leave_out_what_sqs_counts(door: Door) -> None:
    result = door.app.task(name="echo")(lambda n: n).delay(1)
    event = door.event()
    event["Records"][0]["attributes"] = {"SentTimestamp": "now"}
    assert door.invoke(event) == []
    assert result.state == "SUCCESS"


def test_a_queue_outside_of_the_prefix_says_what_to_set(door: Door) -> None:
    event = json.loads((EVENTS / "sqs-bad-input.json").read_text())
    with pytest.raises(ImproperlyConfigured, match="CARAWAY_QUEUE_NAME_PREFIX"):
        door.invoke(event)


def deployed(moto: Place, *queues: str) -> Door:
    """Return a door for the names in the example events."""
    app = moto.app(*map(Queue, queues))
    app.conf.queue_name_prefix = "caraway-"
    for queue in app.site.router.queues.values():
        attributes = {"FifoQueue": "true"} if queue.fifo else {}
        for name in (queue.sqs_name("caraway-"), queue.dead_letter_sqs_name("caraway-")):
            moto.client("sqs").create_queue(QueueName=name, Attributes=attributes)
    return Door(moto, app)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("sqs-standard", [("demo/README.md",), ("demo/DESIGN.md",)]),
        ("sqs-eventbridge", [()]),
        ("sqs-fifo", [(42, "paid"), (42, "packed")]),
    ],
)
def test_the_example_events_run_their_tasks(moto: Place, name: str, args: list[Any]) -> None:
    door = deployed(moto, "default", "orders.fifo")
    ran: list[Any] = []

    def record(*values: Any, **named: Any) -> None:
        ran.append((*values, *named.values()))

    for task in ("count_words", "tick"):
        door.app.task(name=f"caraway.demo.app.{task}")(record)
    door.app.task(name="shop.orders.advance")(record)
    assert door.invoke(json.loads((EVENTS / f"{name}.json").read_text())) == []
    assert ran == args


def test_the_example_of_bad_input_is_kept_with_its_reasons(moto: Place) -> None:
    door = deployed(moto, "default")
    assert door.invoke(json.loads((EVENTS / "sqs-bad-input.json").read_text())) == []
    reasons = sorted(reason for _, reason in door.place.letters(door.app))
    assert len(reasons) == 3
    for reason, part in zip(reasons, ("no task named", "version 99", "not JSON"), strict=False):
        assert any(part in each for each in reasons), reason


# -- the handler ----------------------------------------------------------------------------------


def worker_of(handler: Any) -> LambdaWorker:
    worker: LambdaWorker = handler.__closure__[0].cell_contents
    return worker


def test_a_module_of_ones_own_may_hold_the_handler(door: Door) -> None:
    handler = lambda_handler(door.app)
    assert handler({"Records": []}, FakeContext()) == {"batchItemFailures": []}
    worker_of(handler).close()


def test_the_handler_of_the_package_runs_the_app_of_the_environment(
    moto: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corner_shop.py").write_text(
        "from caraway import Caraway\napp = Caraway('corner')\n"
        "@app.task(name='greet')\ndef greet(name):\n    return f'Hello, {name}'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(aws_lambda, "_handler", None)
    with pytest.raises(ImproperlyConfigured, match="set CARAWAY_APP"):
        aws_lambda.handler({"Records": []}, FakeContext())
    monkeypatch.setenv("CARAWAY_APP", "corner_shop:app")
    producer = Door(moto, moto.app(Queue("default")))
    monkeypatch.setenv("CARAWAY_QUEUE_NAME_PREFIX", producer.app.conf.queue_name_prefix)
    monkeypatch.setenv("CARAWAY_TASK_TABLE", producer.app.conf.task_table)
    result = producer.app.send_task("greet", ["Ada"])
    try:
        assert aws_lambda.handler(producer.event(), FakeContext()) == {"batchItemFailures": []}
        assert result.get(timeout=1) == "Hello, Ada"
    finally:
        worker_of(aws_lambda._handler).close()
        del sys.modules["corner_shop"]


# -- logs -----------------------------------------------------------------------------------------


@pytest.fixture
def lines(door: Door, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[Any]]:
    """Return what the function has logged, line by line."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_is_logged_is_json_with_the_ids_of_the_invocation(
    door: Door, lines: Callable[[], list[Any]]
) -> None:
    def fail() -> None:
        raise ValueError("bad")

    id = door.app.task(name="fail")(fail).delay().id
    door.invoke()
    received, failed = lines()
    assert received["message"] == f"Task fail[{id}] received"
    assert failed["message"].startswith(f"Task fail[{id}] raised unexpected: ValueError('bad')")
    assert failed["level"] == "ERROR"
    assert "in fail" in failed["exception"]
    assert {each["function_request_id"] for each in (received, failed)} == {"request-1"}


def test_a_message_is_received_in_the_lines_of_its_own_invocation(
    door: Door, lines: Callable[[], list[Any]]
) -> None:
    id = door.app.task(name="add")(lambda x, y: x + y).delay(1, 2).id
    event = door.event()
    door.invoke(event)
    received, succeeded = [each["message"] for each in lines()]
    assert received == f"Task add[{id}] received"
    assert succeeded.startswith(f"Task add[{id}] succeeded in ")
    door.invoke(event)  # where nothing is left to be done
    assert [each["message"] for each in lines()] == [received]


# -- signals --------------------------------------------------------------------------------------


def test_a_cold_start_and_each_message_are_announced(door: Door) -> None:
    add = door.app.task(name="add")(lambda x, y: x + y)
    sent = [add.delay(1, 2), door.app.send_task("elsewhere")]
    with listening() as ear:
        assert door.invoke() == []
        door.worker.handle({"Records": []}, FakeContext())
    assert ear.names[:6] == [
        "import_modules",
        "celeryd_init",
        "celeryd_after_setup",
        "worker_init",
        "worker_process_init",
        "after_setup_logger",
    ]
    assert ear.one("worker_ready").sender is door.worker
    assert ear.one("worker_ready").sender.app is door.app
    assert ear.one("celeryd_init").sender == door.worker.hostname == "lambda@local"
    by_id = {each["request"].id: each["request"] for each in ear.of("task_received")}
    assert by_id.keys() == {each.id for each in sent}
    assert by_id[sent[0].id].delivery_info == {"queue": "default", "redelivered": False}
    assert ear.one("task_postrun")["retval"] == ear.one("task_success")["result"] == 3
    assert ear.one("task_unknown")["id"] == sent[1].id


def test_a_receiver_may_set_up_logging_in_place_of_the_function(moto: Place) -> None:
    handlers = logging.getLogger("caraway").handlers
    with listening("setup_logging", "after_setup_logger") as ear:
        assert Door(moto, moto.app()).worker.hostname == "lambda@local"
    assert ear.names == ["setup_logging"]
    assert logging.getLogger("caraway").handlers == handlers


# -- middleware -----------------------------------------------------------------------------------


class Tenancy(Middleware):
    """Hands the tenant of a call to its task, in the thread or on the loop where that runs."""

    carries = ("tenant",)

    def publish(self, publication: Publication) -> Iterator[None]:
        publication.headers.setdefault("tenant", "acme")
        yield

    def execute(self, task: Any, request: Context) -> Iterator[None]:
        token = tenant.set(request.headers["tenant"])
        try:
            yield
        finally:
            tenant.reset(token)


tenant: ContextVar[str] = ContextVar("tenant")


def test_middleware_surrounds_sends_and_runs_and_its_headers_reach_callbacks(door: Door) -> None:
    door.app.middleware = [Tenancy]

    @door.app.task(name="plain")
    def plain() -> str:
        return tenant.get()

    @door.app.task(name="asynchronous")
    async def asynchronous() -> str:
        await asyncio.sleep(0)
        return tenant.get()

    after = plain.si().set(task_id=f"after-{id(door)}")
    results = [
        plain.apply_async(headers={"tenant": "globex"}, link=after),
        asynchronous.delay(),
        door.app.AsyncResult(f"after-{id(door)}"),
    ]
    for _ in range(2):
        assert door.invoke() == []
    assert [each.get(timeout=1) for each in results] == ["globex", "acme", "globex"]


def test_a_middleware_that_fails_fails_the_attempt_of_a_message(door: Door) -> None:
    class Closed(Middleware):
        def execute(self, task: Any, request: Context) -> Iterator[None]:
            if request.retries == 0:
                raise ConnectionError("database")
            yield

    door.app.middleware = [Closed]
    retried = door.app.task(
        name="retried", autoretry_for=(ConnectionError,), default_retry_delay=0
    )(lambda: 1)
    failed = door.app.task(name="failed")(lambda: 1)
    results = [retried.delay(), failed.delay()]
    for _ in range(2):
        assert door.invoke() == []
    assert results[0].get(timeout=1) == 1
    assert isinstance(results[1].result, ConnectionError)


# -- tasks that do not end in time ----------------------------------------------------------------


@pytest.fixture
def endless() -> Iterator[Callable[[], None]]:
    """Return a function that does not end before the test."""
    over = threading.Event()

    def wait_for_the_end() -> None:
        over.wait()

    yield wait_for_the_end
    over.set()


def test_a_task_that_does_not_end_in_the_functions_time_is_recorded_before_it_is_cut_off(
    door: Door, endless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function_time, "LAST_S", 59.95)  # of the minute that there is
    result = door.app.task(name="work")(endless).delay()
    assert door.invoke() == []
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=0)


@pytest.mark.parametrize("budget_s", [900.0, MARGIN_S + 0.5])
@pytest.mark.parametrize("left_s", [LAST_S + 0.05, 0.0])
def test_a_task_that_had_little_of_its_functions_time_comes_back_for_more(
    door: Door, endless: Any, budget_s: float, left_s: float
) -> None:
    result = door.app.task(name="work")(endless).delay()
    left = iter([budget_s, MARGIN_S + 0.4])
    event = door.event()
    (first,) = [record["messageId"] for record in event["Records"]]
    assert door.invoke(event, left_s=lambda: next(left, left_s)) == [first]
    assert result.state == "STARTED"
    record = door.place.record(door.app, result.id)
    assert (record.phase, record.open_at) == ("running", 0)


def test_a_task_with_a_limit_of_its_own_is_ended_by_it_and_the_next_one_runs(
    door: Door, endless: Any
) -> None:
    slow = door.app.task(name="slow", time_limit=0.05)(endless).delay()
    fine = door.app.task(name="fine")(lambda: "fine").delay()
    assert door.invoke() == []
    with pytest.raises(TimeLimitExceeded):
        slow.get(timeout=0)
    assert fine.get(timeout=0) == "fine"


def tell(*_args: Any) -> str:
    """Wait until told to end."""
    try:
        threading.Event().wait()
    except SoftTimeLimitExceeded:
        return "tidied up"
    return "never here"


async def atell() -> str:
    try:
        await asyncio.Event().wait()
    except SoftTimeLimitExceeded:
        return "tidied up"
    return "never here"


@pytest.mark.parametrize("function", [tell, atell])
def test_a_soft_limit_is_raised_in_the_task(door: Door, function: Any) -> None:
    result = door.app.task(name="told", soft_time_limit=0.05)(function).delay()
    assert door.invoke() == []
    assert result.get(timeout=0) == "tidied up"


def test_a_function_that_is_ended_has_ended(door: Door) -> None:
    over: list[bool] = []

    @door.app.task(time_limit=0.05)
    def slow() -> None:
        try:
            threading.Event().wait()
        finally:
            over.append(True)

    result = slow.delay()
    assert door.invoke() == []
    assert over == [True]
    assert isinstance(result.result, TimeLimitExceeded)


def test_a_function_that_cannot_be_ended_is_recorded_and_the_next_one_waits_for_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_thread, "PARTING_S", 0.0)
    order: list[str] = []

    @door.app.task(time_limit=0.05)
    def stubborn() -> None:
        try:  # code outside of Python, which no signal ends
            hashlib.pbkdf2_hmac("sha256", b"", b"salt", 2_000_000)
        finally:
            order.append("stubborn")

    stuck = stubborn.delay()
    fine = door.app.task(name="fine")(lambda: order.append("fine")).delay()
    assert door.invoke() == []
    assert isinstance(stuck.result, TimeLimitExceeded)
    assert fine.state == "SUCCESS"
    assert order == ["stubborn", "fine"]


def test_functions_run_in_the_main_thread_and_coroutines_beside_it(door: Door) -> None:
    async def where() -> str:
        return threading.current_thread().name

    here = door.app.task(name="here")(lambda: threading.current_thread().name).delay()
    there = door.app.task(name="there")(where).delay()
    assert door.invoke() == []
    assert here.get(timeout=0) == threading.main_thread().name
    assert there.get(timeout=0).startswith("loop")


def test_a_function_may_run_an_event_loop_of_its_own(door: Door) -> None:
    result = door.app.task(name="own")(lambda: asyncio.run(asyncio.sleep(0, 5))).delay()
    assert door.invoke() == []
    assert result.get(timeout=0) == 5


def test_ctrl_c_goes_through_and_the_next_invocation_works(door: Door) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    door.app.task(name="stop")(stop).delay()
    with pytest.raises(KeyboardInterrupt):
        door.invoke()
    result = door.app.task(name="fine")(lambda: 5).delay()
    assert door.invoke() == []
    assert result.get(timeout=0) == 5


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_soft_limit_is_said_not_to_reach_a_function_in_another_thread(
    moto: Place, capsys: pytest.CaptureFixture[str], concurrency: int
) -> None:
    door = Door(moto, moto.app(Queue("default")), concurrency)
    plain = door.app.task(name="plain", soft_time_limit=60)(lambda: 5)
    results = [plain.delay(), plain.delay()]
    event = door.event()
    if concurrency == 1:  # a handler that somebody calls elsewhere than in the main thread
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(door.invoke, event).result() == []
    else:
        assert door.invoke(event) == []
    assert [result.get(timeout=0) for result in results] == [5, 5]
    assert capsys.readouterr().out.count("Task plain has a soft time limit") == 1


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_function_in_another_thread_is_fenced_off_when_its_time_is_over(
    moto: Place, endless: Any, concurrency: int
) -> None:
    door = Door(moto, moto.app(Queue("default")), concurrency)
    result = door.app.task(name="slow", time_limit=0.05)(endless).delay()
    event = door.event()
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(door.invoke, event).result() == []
    assert isinstance(result.result, TimeLimitExceeded)
