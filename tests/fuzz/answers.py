"""What a worker makes of an input: it runs, or it is a dead letter with a reason."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from caraway import Caraway
from caraway.core.claim_check import Store
from caraway.core.disposition import Delete, Leave
from caraway.core.occurrences import NOT_DUE
from caraway.core.port import run_now
from caraway.core.record import DONE, FAILED
from caraway.core.routing import Queue
from caraway.exceptions import Ignore, ImproperlyConfigured, OperationalError, Reject, Retry
from caraway.requests.dynamodb import ITEM_LIMIT_BYTES, UpdateItem
from caraway.requests.s3 import PutObject
from caraway.requests.sqs import DeleteMessage, ReceivedMessage, ReceiveMessages
from caraway.workers.aws_lambda import LambdaWorker
from tests.fuzz.inputs import BUCKET
from tests.support import FakeTask, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.context import Context
    from tests.fuzz.inputs import Input

STORE: Final = Store(BUCKET, message_limit_bytes=500, result_limit_bytes=50)
FULL_TIME: Final = SimpleNamespace(
    get_remaining_time_in_millis=lambda: 300_000, aws_request_id="request"
)
MOST_INVOCATIONS: Final = 50


@dataclass
class Answers:
    """What became of the inputs of one kind.

    Attributes
    ----------
    run
        Inputs of which every message was run.
    dead
        Those of which one was a dead letter.
    """

    inputs: int = 0
    run: int = 0
    dead: int = 0
    broken: list[str] = field(default_factory=list)

    def ask(self, given: Input, door: Function) -> None:
        """Let a worker have an input, and judge what became of it."""
        self.inputs += 1
        try:
            is_dead = consumed(given, door)
        except Exception as error:  # that is what is looked for
            self.broken.append(f"{given}: {type(error).__name__}: {error}")
            return
        self.run += not is_dead
        self.dead += is_dead


class Function(LambdaWorker):
    """The Lambda door over an account in memory, another one for each input."""

    def __init__(self) -> None:
        app = Caraway("fuzz")
        app.conf.update(task_queues=[Queue("default"), Queue("orders", fifo=True)])
        super().__init__(app)
        self.unexpected: list[Exception] = []
        self._own_aws = self._aws

    def close(self) -> None:
        """Close what it has of its own."""
        self._aws = self._own_aws
        super().close()

    def enter(self, world: World) -> None:
        """Go on in this account."""
        account: Any = world.aws
        self._aws, self._executor, self.unexpected = account, world.executor, []

    def _say(self, error: Exception) -> None:
        if not isinstance(error, OperationalError):
            self.unexpected.append(error)


def world_of(given: Input) -> World:
    """Return an account that holds an input, with its messages on the queue."""

    def retries(request: Context) -> None:
        if request.retries < 2:
            raise Retry(when=1, args=[*request.args, "again"])

    world = World(
        FakeTask("ok", lambda request: list(request.args)),
        FakeTask("fails", _raising(ValueError("no"))),
        FakeTask("retries", retries),
        FakeTask("rejects", _raising(Reject("no"))),
        FakeTask("ignores", _raising(Ignore())),
        queues=[Queue("default", fifo=given.number % 4 == 0)],
        store=STORE if given.number % 3 else Store(),
    )
    for key, content in given.objects.items():
        run_now(world.aws.perform(PutObject(BUCKET, key, content)))
    for body in given.bodies:
        world.put(body)
    return world


def _raising(error: BaseException) -> Callable[[Context], Any]:
    def function(_request: Context) -> None:
        raise error

    return function


def consumed(given: Input, function: Function) -> bool:
    """Let a worker consume an input; return whether it has become a dead letter.

    Raises
    ------
    AssertionError
        If a message is lost, or is never done with, or is dead without a reason.
    """
    world = world_of(given)
    if given.distort is not None:
        _invoke(given, world, function)
        return _judged(world)
    first = world.deliver()
    assert isinstance(first, Delete | Leave)
    world.drain()
    assert len(world.aws.items) + _unread(world) > 0 or first == Delete(NOT_DUE), "it is lost"
    return _judged(world)


def _judged(world: World) -> bool:
    phases = phases_of(world)
    assert phases <= {DONE, FAILED}, f"its record is {phases}"
    letters = world.dead_letters()
    assert all(letter.attributes.get("reason") for letter in letters), "no reason is said"
    assert FAILED not in phases or letters, "it failed without a dead letter"
    for request in world.aws.requests:  # AWS takes what has a UTF-8 form, and items of 400 KB
        text = json.dumps(request.params(), ensure_ascii=False, default=bytes.hex).encode()
        assert not isinstance(request, UpdateItem) or len(text) < ITEM_LIMIT_BYTES
    return bool(letters)


def phases_of(world: World) -> set[str]:
    """Return the phases of the tasks that were run.

    The places of a group have none, and the body of a chord that has failed was not claimed.
    """
    items = world.aws.items.values()
    return {item["phase"] for item in items if "phase" in item and "token" in item}


def _unread(world: World) -> int:
    """Return how many dead letters there are of which nothing is recorded."""
    recorded = {id for _table, id in world.aws.items}
    return sum(letter.attributes.get("id") not in recorded for letter in world.dead_letters())


# -- the Lambda door -------------------------------------------------------------------------


def _invoke(given: Input, world: World, function: Function) -> None:
    """Invoke the function as a poller does: what it does not name, or fails with, comes back.

    Only the first event is distorted, so that every message is met by a right one at last.
    """
    function.enter(world)
    distort = given.distort
    queue = world.queue("default")
    for _ in range(MOST_INVOCATIONS):
        at = world.aws.next_visible_at(queue)
        if at is None:
            break
        world.aws.time = max(world.aws.time, at)
        request = ReceiveMessages(world.url("default"), limit=10, visibility_timeout_s=360)
        received = run_now(world.aws.perform(request))
        event = {"Records": [_record(each, queue) for each in received]}
        before = world.aws.requests.copy()
        asked = distort(deepcopy(event)) if distort else event
        staying = _answer(function, asked, event, is_right=distort is None)
        done = [each for each in received if each.message_id not in staying]
        if distort is None or asked == event:
            _nothing_is_lost(world, done, len(before))
        for each in done:
            run_now(world.aws.perform(DeleteMessage(world.url("default"), each.receipt_handle)))
        distort = None
    else:
        raise AssertionError("messages go round and round")


def _answer(
    function: Function, asked: Any, event: dict[str, Any], *, is_right: bool
) -> set[str | None]:
    """Return the ids of the messages that stay on the queue."""
    everything: set[str | None] = {each["messageId"] for each in event["Records"]}
    try:
        answer = function.handle(asked, FULL_TIME)
    except (ImproperlyConfigured, OperationalError):
        assert not is_right, "a right event is refused"
        return everything
    assert not function.unexpected, f"{function.unexpected[0]!r}"
    named = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
    # A batch that names what is not of it fails as a whole, and what the event left out stays.
    shown = {each["messageId"] for each in asked["Records"]} if isinstance(asked, dict) else set()
    return everything if named - everything else named | (everything - shown)


def _nothing_is_lost(world: World, done: list[ReceivedMessage], before: int) -> None:
    """Every message that is deleted has left something: a record, or a copy of itself."""
    left = len(world.aws.items) + len(world.dead_letters())
    assert not done or left or len(world.aws.requests) > before, "it is lost"


def _record(received: ReceivedMessage, queue: str) -> dict[str, Any]:
    attributes = {
        "ApproximateReceiveCount": str(received.receive_count),
        "SentTimestamp": str(int(received.sent_at_s * 1000)),
        "SenderId": "AROAEXAMPLE:producer",
        "ApproximateFirstReceiveTimestamp": str(int(received.sent_at_s * 1000)),
    }
    if received.group_id is not None:
        attributes["MessageGroupId"] = received.group_id
    return {
        "messageId": received.message_id,
        "receiptHandle": received.receipt_handle,
        "body": received.body,
        "attributes": attributes,
        "messageAttributes": {},
        "md5OfBody": "0" * 32,
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue}",
        "awsRegion": "eu-west-1",
    }
