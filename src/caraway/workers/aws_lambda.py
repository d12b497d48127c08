"""The Lambda door: an SQS event in, ``batchItemFailures`` out.

A module of yours may say ``handler = lambda_handler(app)``. :func:`handler` does so by itself for
the app that the environment variable ``CARAWAY_APP`` names (``module:attribute``).
"""

from __future__ import annotations

import asyncio
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, Final

try:
    from aws_lambda_powertools import Logger
except ModuleNotFoundError as missing:
    raise ImportError(
        "the Lambda worker needs aws-lambda-powertools: pip install 'caraway[lambda]'"
    ) from missing

from caraway import signals
from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.user_code import call_function, is_coroutine_function
from caraway.aws.wires import ThreadWire
from caraway.core.disposition import Delivery, Leave
from caraway.core.executor import Executor
from caraway.core.job import Decided
from caraway.core.port import Lost, Raised
from caraway.core.record import LAMBDA
from caraway.core.routing import Queue
from caraway.core.sending import queue_url
from caraway.exceptions import ImproperlyConfigured, OperationalError, TimeLimitExceeded
from caraway.loader import load_app
from caraway.requests.sqs import ChangeMessageVisibility
from caraway.workers.function_time import ADVISED_S, MARGIN_S, Share, left_s, shortage
from caraway.workers.json_lines import json_lines
from caraway.workers.limits import NO_LIMITS, call_async_within, limits_of
from caraway.workers.line import Line
from caraway.workers.logs import announce_loggers, announce_set_up
from caraway.workers.main_thread import MainThread
from caraway.workers.observing import Meanwhile, observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.app import Caraway
    from caraway.core.context import Context
    from caraway.core.disposition import Disposition
    from caraway.core.port import Outcome

REQUESTS_AT_ONCE: Final = 10
_TEXTS: Final = ("messageId", "receiptHandle", "body", "eventSourceARN")
_QUEUE_ARN: Final = re.compile(r"arn:[\w-]+:sqs:[\w-]*:\d*:[\w.-]+")
_DIGITS: Final = 15


@dataclass
class _Received:
    """One record of an event, and what became of it.

    Attributes
    ----------
    stays
        Whether it is to come back.
    error
        Why nothing is known of its end.
    """

    record: dict[str, Any]
    queue: Queue
    stays: bool = False
    error: Exception | None = None


class LambdaWorker:
    """Runs the messages of one event after the other, within the time that is left.

    One event loop, its threads and its connections are kept between invocations. Tasks run one by
    one (``concurrency`` at a time). Quick ones share their requests; any other is claimed by
    itself, and begins when the endings before it are durable, so that a crash in it does not run
    those again (:mod:`caraway.workers.line`).

    A cold start is a worker's start, and the process that of its tasks: the signals say so.
    """

    def __init__(self, app: Caraway, concurrency: int = 1) -> None:
        self.app = app.finalize()
        self.hostname = f"lambda@{os.environ.get('AWS_LAMBDA_FUNCTION_NAME', 'local')}"
        signals.celeryd_init.send(self.hostname, instance=self, conf=app.conf, options={})
        signals.celeryd_after_setup.send(self.hostname, instance=self, conf=app.conf)
        signals.worker_init.send(self)
        signals.worker_process_init.send(None)
        self._logger = Logger(service=app.main or "caraway", logger_formatter=json_lines())
        _share_logging(self._logger)
        self._loop = asyncio.new_event_loop()
        self._main = MainThread(self._loop)
        self._is_main = False
        self._line = Line(concurrency, self._main.busy)
        self._has_begun = False
        self._concurrency = concurrency
        self._tasks_threads = self._new_threads()
        self._hooks_threads = self._new_threads()
        self._limited: set[str | None] = set()
        self._invocation: Any = None
        self._budget_s = 0.0
        self._requests_threads = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="aws")
        wire = ThreadWire(app.client_settings, self._requests_threads)
        self._aws = AsyncioAws(wire, self._call)
        app.share(self._loop, self._aws)  # the tasks' own calls need no other connections
        self._observe = Meanwhile(observer(app, self.hostname), self._loop)
        self._executor = Executor(
            self._aws,
            app.site,
            app.tasks,
            door=LAMBDA,
            hostname=self.hostname,
            observe=self._observe,
        )
        signals.worker_ready.send(self)

    def _new_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._concurrency, thread_name_prefix="task")

    def handle(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Run an event's messages; name those that are to come back."""
        _check_event(event)
        if event["Records"]:
            self._invocation, self._budget_s = context, left_s(context)
            _check_time(self._budget_s)  # so that at least the first message is begun
        self._has_begun = False
        self._logger.append_keys(function_request_id=getattr(context, "aws_request_id", None))
        self._is_main = self._concurrency == 1 and current_thread() is main_thread()
        failures = self._main.run(self._batch(event["Records"], context))
        return {"batchItemFailures": [{"itemIdentifier": id} for id in failures]}

    async def _batch(self, records: list[dict[str, Any]], context: Any) -> list[str]:
        """Return the ids of the messages that are not to be deleted, in their order.

        Raises the failure when AWS answered for none of them, so that Lambda's poller backs off;
        otherwise those that AWS did not answer for come back by themselves.
        """
        arns = {record["eventSourceARN"] for record in records}
        queues = {arn: self._queue(arn) for arn in arns}
        received = [_Received(record, queues[record["eventSourceARN"]]) for record in records]
        groups: dict[object, list[_Received]] = {}
        for place, each in enumerate(received):
            group = each.record["attributes"].get("MessageGroupId") if each.queue.fifo else None
            groups.setdefault(group or place, []).append(each)
        try:
            await asyncio.gather(*(self._in_order(group, context) for group in groups.values()))
        finally:
            self._observe.tell()
        if received and all(each.error is not None for each in received):
            raise received[0].error  # type: ignore[misc]  # just seen
        return [each.record["messageId"] for each in received if each.stays]

    async def _in_order(self, group: list[_Received], context: Any) -> None:
        """Run the messages of one group; the first that stays keeps back those behind it."""
        for place, each in enumerate(group):
            try:
                disposition = await self._one(each, context)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other groups go on
                self._say(error)
                for behind in group[place:]:
                    behind.stays, behind.error = True, error
                return
            if isinstance(disposition, Leave):
                for behind in group[place:]:
                    behind.stays = True
                    await self._leave(behind, disposition.visible_in_s)
                return

    def _say(self, error: Exception) -> None:
        if isinstance(error, OperationalError):
            self._logger.error("%s (the message comes back)", error)
        else:
            self._logger.exception("a message could not be handled; it comes back")

    async def _one(self, received: _Received, context: Any) -> Disposition:
        record, attributes = received.record, received.record["attributes"]
        turn = self._line.turn(partial(self._lease_s, context))
        delivery = Delivery(
            body=record["body"],
            queue=received.queue,
            lease_s=0.0,  # its turn says when it comes
            receive_count=_whole(attributes.get("ApproximateReceiveCount")) or 1,
            sent_at_s=_whole(attributes.get("SentTimestamp")) / 1000,
            group_id=attributes.get("MessageGroupId"),
            turn=turn,
        )
        try:
            return await self._executor.execute(delivery)
        finally:
            turn.leave()

    def _lease_s(self, context: Any) -> float:
        """Return the lease of a message that is claimed now, if there is time for it."""
        lasts_s = left_s(context)
        if lasts_s <= MARGIN_S and self._has_begun:
            raise Decided(Leave(0, f"only {lasts_s:.1f} s are left"))
        self._has_begun = True
        return lasts_s + MARGIN_S

    def _queue(self, arn: str) -> Queue:
        """Return the queue that records come from, as the app declares it if it does."""
        name = arn.rpartition(":")[2]
        prefix = self.app.conf.queue_name_prefix
        for queue in self.app.site.router.queues.values():
            if queue.sqs_name(prefix) == name:
                return queue
        if not name.startswith(prefix):
            raise ImproperlyConfigured(
                f"queue {name!r} does not begin with the prefix {prefix!r}: set "
                "CARAWAY_QUEUE_NAME_PREFIX of the function to the stack's"
            )
        return Queue(name.removeprefix(prefix))

    async def _leave(self, received: _Received, visible_in_s: int) -> None:
        """Say when the message comes back; otherwise it waits out the whole visibility timeout."""
        try:
            url = await queue_url(self._aws, self.app.site, received.queue)
            await self._aws.perform(
                ChangeMessageVisibility(url, received.record["receiptHandle"], visible_in_s)
            )
        except OperationalError as error:
            self._logger.warning("message stays hidden until its timeout: %s", error)

    async def _call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code: coroutines on this loop, functions in the main thread.

        What has not ended shortly before AWS cuts the function off is ended here, so that its
        record says so. One that did not have most of its invocation comes back, to have more time.
        """
        self._observe.tell()
        if args[1:]:  # hooks: the ending is recorded, and what they miss a redelivery brings back
            return await self._within(NO_LIMITS, self._hooks_threads, function, *args)
        own_s, soft_s = limits_of(args)
        share = Share.of(self._budget_s, left_s(self._invocation), own_s)
        limits = share.hard_s, soft_s
        outcome = await self._within(limits, self._tasks_threads, function, *args)
        is_cut_off = isinstance(outcome, Raised) and isinstance(outcome.error, TimeLimitExceeded)
        if is_cut_off and share.is_the_functions and not share.is_a_chance:
            return Lost(f"the function's time was over after {share.hard_s:.0f} s")
        return outcome

    async def _within(
        self,
        limits: tuple[float | None, float | None],
        threads: ThreadPoolExecutor,
        function: Callable[..., Any],
        *args: Any,
    ) -> Outcome[Any]:
        if is_coroutine_function(function):
            return await call_async_within(limits, function, *args)
        if self._is_main:
            return await self._main.call(limits, function, *args)
        hard_s, soft_s = limits
        if soft_s is not None:
            self._say_that_a_thread_is_not_told(args[0])
        running = self._loop.run_in_executor(threads, call_function, function, *args)
        await asyncio.wait([running], timeout=hard_s)
        if running.done():
            return running.result()
        # It goes on, fenced off, in a thread that nobody waits for. (PyThreadState_SetAsyncExc
        # would not end one that waits, and leaves CPython 3.11 with an evaluation breaker that is
        # set for ever, on which a traced program spins.)
        self._tasks_threads.shutdown(wait=False)
        self._tasks_threads = self._new_threads()
        return Raised(TimeLimitExceeded(hard_s))

    def _say_that_a_thread_is_not_told(self, context: Context) -> None:
        if context.task not in self._limited:
            self._limited.add(context.task)
            self._logger.warning(
                "Task %s has a soft time limit, which does not reach a plain function of a handler "
                "with a concurrency: make it an 'async def', or use time_limit",
                context.task,
            )

    def close(self) -> None:
        """Close its connections, threads and event loop; Lambda itself never does."""
        self._main.close()
        self._loop.run_until_complete(self._aws.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        self._tasks_threads.shutdown()
        self._hooks_threads.shutdown()
        self._requests_threads.shutdown()
        signals.worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)
        signals.worker_shutdown.send(self)


def _check_time(budget_s: float) -> None:
    """Refuse an invocation that begins with too little time for any message.

    Leaving its messages would be silent, and they would come back for ever.
    """
    if why := shortage(budget_s):
        raise ImproperlyConfigured(
            f"this invocation can run no task: {why}. Set the function's Timeout to {ADVISED_S} s "
            "or more, and its queues' VisibilityTimeout to six times that (caraway doctor)"
        )


def _check_event(event: object) -> None:
    """Refuse what is no event of SQS."""
    records = event.get("Records") if isinstance(event, dict) else None
    if isinstance(records, list) and all(_is_of_sqs(each) for each in records):
        return
    raise ImproperlyConfigured(
        f"this function takes the events of SQS queues, not {str(event)[:200]}: let an event "
        "source mapping of a queue invoke it"
    )


def _is_of_sqs(record: object) -> bool:
    if not isinstance(record, dict) or record.get("eventSource") != "aws:sqs":
        return False
    attributes = record.get("attributes")
    if not isinstance(attributes, dict):
        return False
    for each in (*map(record.get, _TEXTS), *attributes.values()):
        if not isinstance(each, str):
            return False
    return _QUEUE_ARN.fullmatch(record["eventSourceARN"]) is not None


def _whole(text: str | None) -> int:
    """Return a number that SQS wrote, 0 for none: who invokes by hand may leave it out."""
    if text is None or len(text) > _DIGITS or not (text.isascii() and text.isdigit()):
        return 0
    return int(text)


def _share_logging(logger: Logger) -> None:
    """Let the lines of Caraway and of tasks go where powertools writes, in its format."""
    import logging

    if announce_set_up(logger.log_level):
        return
    root = logging.getLogger("caraway")
    root.handlers = list(logger.handlers)
    root.setLevel(logger.log_level)
    root.propagate = False
    announce_loggers(root, logger.log_level)


def lambda_handler(
    app: Caraway, *, concurrency: int = 1
) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return the handler of a Lambda function that an SQS queue triggers.

    The event source mapping must report batch item failures
    (``FunctionResponseTypes: [ReportBatchItemFailures]``).

    Parameters
    ----------
    app
        The app whose tasks it runs.
    concurrency
        Functions that run at a time within one invocation; above 1 they must be thread-safe.
        ``async def`` tasks share the event loop then. Ten that run together share the requests for
        their records: two, as for ten that take a few milliseconds one after the other. Of longer
        ones it is eleven, one after the other.

    Raises
    ------
    ImproperlyConfigured
        From an invocation that is not of a queue, or that begins with too little time to run a
        task.
    OperationalError
        From an invocation, if AWS did not answer: Lambda fails the batch, and its messages come
        back after the visibility timeout.
    """
    worker = LambdaWorker(app, concurrency)

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return worker.handle(event, context)

    return handle


_handler: Callable[[dict[str, Any], Any], dict[str, Any]] | None = None


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run an SQS event for the app that ``CARAWAY_APP`` names."""
    global _handler
    if _handler is None:
        _handler = lambda_handler(load_app())
    return _handler(event, context)
