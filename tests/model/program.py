"""The executor as a function: from the answers that it got to what it asks next."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast

from caraway.aws.user_code import call_blocking
from caraway.core.disposition import Delete, Delivery
from caraway.core.executor import Executor
from caraway.core.message import Message
from caraway.core.port import Stopped
from caraway.core.publish import Site
from caraway.core.replay import replay
from caraway.core.routing import Queue, Router
from caraway.core.transitions import Records
from caraway.core.turns import Terms
from caraway.exceptions import NotReplayable, Reject, Retry
from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.sqs import GetQueueUrl
from tests.stepping import StandStill, TurnToCome, UserCode
from tests.support import FakeTask, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caraway.core.context import Context
    from caraway.core.disposition import Disposition
    from caraway.core.port import Aws, Outcome
    from caraway.requests.base import Request
    from tests.model.config import Config
    from tests.stepping import Next

LEASE_S: Final = 30.0
ID: Final = "i"
REPLAY: Final = "replay"
"""Stands for a body, where an execution is a replay's."""

Frozen: TypeAlias = "tuple[tuple[str, Any], ...]"
Answer: TypeAlias = "tuple[Literal['written', 'refused', 'read'], Frozen] | str"
"""What an execution is answered: an item, "sent", or how user code ends."""


class Execution(NamedTuple):
    """One execution of a delivery, as far as the answers go."""

    body: str
    worn: bool = False
    ahead: bool = False
    answers: tuple[Answer, ...] = ()


class _Ahead:
    """The turn of a delivery that is claimed ahead of its run."""

    def __init__(self, answers: Iterator[Answer]) -> None:
        self._answers = answers

    async def admit(self, task: str, *, alone: bool) -> Terms:
        return Terms(LEASE_S, counts=False)

    async def comes(self) -> bool:
        answer = next(self._answers, None)
        if answer is None:
            await StandStill(TurnToCome())
        return answer == "comes"

    async def is_over(self, *, hooked: bool = False) -> None:
        """Let nobody wait."""


class _Replay:
    """A port that gives the answers of before, and then stands still."""

    def __init__(self, program: Program, answers: Sequence[Answer]) -> None:
        self._program = program
        self._answers = iter(answers)
        self.ahead = _Ahead(self._answers)

    async def perform(self, request: Request[Any]) -> Any:
        if isinstance(request, GetQueueUrl):
            return request.name
        answer = next(self._answers, None)
        if answer is None:
            await StandStill(request)
        if not isinstance(answer, tuple):
            return answer
        kind, item = answer
        if kind == "refused":
            raise ConditionFailed(dict(item))
        return dict(item)

    async def perform_all(self, requests: Sequence[Request[Any]]) -> list[Any]:
        return [await self.perform(request) for request in requests]

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        answer = next(self._answers, None)
        if answer is None:
            await StandStill(UserCode(function))
        if answer == "stop":
            return Stopped()
        self._program.outcome = cast("str", answer)
        return call_blocking(function, *args)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")

    def now(self) -> datetime:
        return self._program.now


class Program:
    """The executor as a function from the answers that it got to what it asks next."""

    def __init__(self, config: Config) -> None:
        self.queue = Queue("default", fifo=config.fifo)
        router = Router([self.queue, "callbacks", "errbacks"])
        self.site = Site(router, Records("t"), max_deliveries=config.max_deliveries or 10**6)
        self.tasks = {
            "task": FakeTask("task", self._run, idempotent=config.idempotent),
            "errback": FakeTask("errback"),
        }
        self.is_late = config.late
        self.outcome = ""
        self.now = datetime(2026, 1, 1, tzinfo=timezone.utc)
        self._known: dict[Execution, Next | Disposition] = {}

    def first_message(self) -> str:
        """Return the body with which it all begins."""
        due = self.now - timedelta(hours=1) if self.is_late else None
        return Message(
            ID,
            "task",
            (0,),
            sent_at=self.now,
            group_id="g" if self.queue.fifo else None,
            link=(signature("callback", queue="callbacks"),),
            link_error=(signature("errback", queue="errbacks"),),
            schedule="entry" if due else None,
            scheduled_time=due,
            when={"every_s": 3_600, "grace_s": 60} if due else None,
        ).to_body()

    def _run(self, request: Context) -> Any:
        match self.outcome:
            case "retry":
                raise Retry(args=[1])
            case "reject":
                raise Reject("no")
            case "requeue":
                raise Reject("busy", requeue=True)
            case "failure":
                raise ValueError("no")
        return request.attempt

    async def _asked_for(self, port: Aws) -> Disposition:
        """Replay the task; there is no message that it would answer for."""
        try:
            await replay(port, self.site, self.tasks, ID)
        except NotReplayable as refused:
            return Delete(str(refused))
        return Delete("replayed")

    def next(self, execution: Execution) -> Next | Disposition:
        """Return what an execution stands before, or what it ended with."""
        known = self._known.get(execution)
        if known is None:
            known = self._known[execution] = self._replay(execution)
        return known

    def _replay(self, execution: Execution) -> Next | Disposition:
        port = _Replay(self, execution.answers)
        delivery = Delivery(
            execution.body,
            self.queue,
            LEASE_S,
            receive_count=1_000 if execution.worn else 1,
            group_id="g",
            turn=port.ahead if execution.ahead else None,
        )
        executor = Executor(port, self.site, self.tasks, door="explored")
        if execution.body == REPLAY:
            coroutine = self._asked_for(port)
        else:
            coroutine = executor.execute(delivery)
        try:
            before: Next = coroutine.send(None)
        except StopIteration as stop:
            disposition: Disposition = stop.value
            return disposition
        coroutine.close()
        return before
