"""What workers write: Celery's lines, from the executor's events."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, Final, cast

from caraway import signals
from caraway.core.context import current
from caraway.core.errors import text_of
from caraway.core.events import (
    Ended,
    Event,
    Fenced,
    HookFailed,
    ProcessLost,
    Received,
    Undeliverable,
)
from caraway.core.settle import (
    Again,
    Failed,
    Ignored,
    Missed,
    Rejected,
    Replaced,
    Requeued,
    Revoked,
    Succeeded,
    far_traceback,
)
from caraway.utils.log import Clocked, TaskFormatter, get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from caraway.app import Caraway
    from caraway.core.settle import Definition, Ending

logger = get_logger("worker")
strategy = get_logger("worker.strategy")
trace = get_logger("app.trace")

RESULT_SHOWN: Final = 400
"""Characters of a result in a log line."""


class LogEvents:
    """Writes one line for each event; the observer of both doors."""

    def __init__(self, tasks: Mapping[str, Definition]) -> None:
        self._tasks = tasks

    def __call__(self, event: Event) -> None:
        """Write the line of an event."""
        match event:
            case Received():
                if strategy.isEnabledFor(logging.INFO):
                    strategy.info("Task %s[%s] received", event.message.task, event.message.id)
            case Undeliverable(delivery, reason):
                trace.error(
                    "Message on %s goes to its dead-letter queue: %s", delivery.queue.name, reason
                )
            case Ended():
                self._ended(event)
            case Fenced(message):
                trace.warning(
                    "Task %s[%s] was taken over by another worker: this outcome is dropped",
                    message.task,
                    message.id,
                )
            case ProcessLost(message, why):
                trace.error(
                    "Task %s[%s] has lost its process and comes back: %s",
                    message.task,
                    message.id,
                    why,
                )
            case HookFailed(message, error):
                _log_error(
                    logging.ERROR, "A hook of task %s[%s] raised", (message.task, message.id), error
                )

    def _ended(self, event: Ended) -> None:
        task, id = event.message.task, event.message.id
        match event.ending:
            case Succeeded() as succeeded:
                if trace.isEnabledFor(logging.INFO):
                    product, seconds = succeeded.product, event.runtime_s
                    shown = (product.shown or text_of(product.value))[:RESULT_SHOWN]
                    trace.info("Task %s[%s] succeeded in %.4fs: %s", task, id, seconds, shown)
            case Again(delay_s, error):
                trace.info("Task %s[%s] retry: Retry in %.1fs: %r", task, id, delay_s, error)
            case Failed(error):
                definition = self._tasks.get(task)
                expected = isinstance(error, getattr(definition, "throws", ()))
                if expected:
                    trace.info("Task %s[%s] raised expected: %r", task, id, error)
                else:
                    _log_error(
                        logging.ERROR, "Task %s[%s] raised unexpected: %r", (task, id, error), error
                    )
            case other:
                _log_what_it_asked_for(task, id, other)


def _log_what_it_asked_for(task: str, id: str, ending: Ending) -> None:
    """Log an ending that is neither the function's value nor its exception."""
    match ending:
        case Replaced(by):
            names = ", ".join(each["task"] for each in by.steps)
            trace.info("Task %s[%s] replaced by %s", task, id, names)
        case Ignored():
            trace.info("Task %s[%s] ignored", task, id)
        case Revoked("terminated", signal):
            trace.error("Task %s[%s] terminated (%s)", task, id, signal)
        case Revoked(reason):
            trace.info("Task %s[%s] not run: %s", task, id, reason)
        case Missed(reason):
            trace.warning("Task %s[%s] missed: %s", task, id, reason)
        case Rejected(reason):
            trace.error("Task %s[%s] goes to its dead-letter queue: %s", task, id, reason)
        case Requeued(reason):
            trace.info("Task %s[%s] requeued: %s", task, id, reason)


def _log_error(level: int, line: str, arguments: tuple[object, ...], error: BaseException) -> None:
    """Log a line with the traceback of an exception, wherever it was raised."""
    far = far_traceback(error)
    if far is None:
        trace.log(level, line, *arguments, exc_info=error)
    else:
        trace.log(level, f"{line}\n%s", *arguments, far.rstrip())


class _PerLogger(logging.Formatter):
    """Lines written inside tasks carry the task's name and id, others do not."""

    def __init__(self, plain: str, in_task: str) -> None:
        super().__init__()
        self._plain = Clocked(plain)
        self._in_task = TaskFormatter(in_task)

    def format(self, record: logging.LogRecord) -> str:
        context = current.get()
        inside = context is not None and context.running() is not None
        return (self._in_task if inside else self._plain).format(record)


def set_up_logging(app: Caraway, level: str | int, stream: TextIO | None = None) -> None:
    """Send log lines to standard error in the formats that the settings give.

    With a receiver of ``setup_logging`` it is left to that.
    """
    if announce_set_up(level, app.conf.worker_log_format):
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_PerLogger(app.conf.worker_log_format, app.conf.worker_task_log_format))
    root = (
        logging.getLogger() if app.conf.worker_hijack_root_logger else logging.getLogger("caraway")
    )
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("botocore", "aiobotocore", "boto3", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    announce_loggers(root, level, app.conf.worker_log_format, app.conf.worker_task_log_format)


def announce_set_up(level: str | int, line_format: str | None = None) -> bool:
    """Send ``setup_logging``; say whether a receiver sets logging up, and not the worker."""
    if not signals.setup_logging.receivers:
        return False
    signals.setup_logging.send(
        None, loglevel=level, logfile=None, format=line_format, colorize=False
    )
    return True


def announce_loggers(
    root: logging.Logger,
    level: str | int,
    line_format: str | None = None,
    task_format: str | None = None,
) -> None:
    """Let receivers add to what is set up."""
    about = {"loglevel": level, "logfile": None, "colorize": False}
    signals.after_setup_logger.send(None, logger=root, format=line_format, **about)
    of_tasks = logging.getLogger("caraway.task")
    signals.after_setup_task_logger.send(None, logger=of_tasks, format=task_format, **about)


@contextmanager
def stdouts_logged(app: Caraway) -> Iterator[None]:
    """Let what tasks print become log lines, where the settings say so."""
    if not app.conf.worker_redirect_stdouts:
        yield
        return
    level = logging.getLevelName(app.conf.worker_redirect_stdouts_level)
    out, err = LoggedStream(level, sys.stdout), LoggedStream(level, sys.stderr)
    with redirect_stdout(cast("TextIO", out)), redirect_stderr(cast("TextIO", err)):
        yield


class LoggedStream:
    """Stands in for a standard stream, so that what a task prints becomes log lines.

    Parameters
    ----------
    level
        The level of the lines.
    original
        Where logging itself writes when it must: what it says of its own faults is not logged.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, level: int, original: TextIO) -> None:
        self._logger = get_logger("worker.stdout")
        self._level = level
        self._original = original
        self._here = threading.local()  # the lines of two threads do not mix

    def write(self, text: str) -> int:
        """Log the whole lines of ``text``; the rest waits for its end."""
        if getattr(self._here, "is_logging", False):
            return self._original.write(text)
        *lines, self._here.rest = (getattr(self._here, "rest", "") + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def _log(self, line: str) -> None:
        self._here.is_logging = True
        try:
            if line.strip():
                self._logger.log(self._level, "%s", line)
        finally:
            self._here.is_logging = False

    def writelines(self, lines: Any) -> None:
        """Log several lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Log what has no line end yet."""
        if rest := getattr(self._here, "rest", ""):
            self._here.rest = ""
            self._log(rest)

    def isatty(self) -> bool:
        """Say that nobody looks."""
        return False

    def fileno(self) -> int:
        """Return the file of the stream behind: what a child process writes goes there."""
        return self._original.fileno()

    @property
    def buffer(self) -> Any:
        """The bytes of the stream behind: what writes bytes goes there."""
        return self._original.buffer

    def readable(self) -> bool:
        """Say that nothing can be read."""
        return False

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def seekable(self) -> bool:
        """Say that there is no going back."""
        return False

    @property
    def closed(self) -> bool:
        """Never: what a task closes, the next one prints to."""
        return False

    def close(self) -> None:
        """Log what has no line end yet; it stays open."""
        self.flush()
