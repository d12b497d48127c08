"""Logging: what tasks and workers write, with Celery's names."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway
from caraway.exceptions import Ignore, Reject
from caraway.utils.log import TaskFormatter, get_logger, get_task_logger
from caraway.workers.logs import LogEvents, set_up_logging, stdouts_logged
from tests.stage import Stage

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.usefixtures("loggers_as_they_were")


@pytest.fixture
def stage() -> Stage:
    return Stage(worker_log_format="%(levelname)s %(name)s %(message)s")


@pytest.fixture
def lines(stage: Stage) -> io.StringIO:
    """Return what a worker of the stage writes."""
    stage.app.conf.worker_task_log_format = "%(levelname)s [%(task_name)s/%(task_id)s] %(message)s"
    stream = io.StringIO()
    set_up_logging(stage.app, "INFO", stream)
    stage.events = Told(LogEvents(stage.app.tasks))
    return stream


class Told(list[Any]):
    """Hands each event to an observer as it is appended."""

    def __init__(self, observe: LogEvents) -> None:
        super().__init__()
        self._observe = observe

    def append(self, event: Any) -> None:
        self._observe(event)


# -- task loggers ---------------------------------------------------------------------------------


def test_a_line_written_in_a_task_carries_its_name_and_id(stage: Stage, lines: io.StringIO) -> None:
    logger = get_task_logger("shop.mail")

    @stage.app.task(name="mail")
    def mail() -> None:
        logger.info("to %s", "ada")
        helper()

    @stage.app.task(name="helper")
    def helper() -> None:
        logger.warning("helping")

    id = mail.delay().id
    stage.work()
    assert f"INFO [mail/{id}] to ada\n" in lines.getvalue()
    assert f"WARNING [mail/{id}] helping\n" in lines.getvalue()
    logger.info("outside")
    helper()
    assert "INFO shop.mail outside\nWARNING shop.mail helping\n" in lines.getvalue()


def test_outside_of_tasks_the_fields_of_a_task_are_unknown() -> None:
    formatter = TaskFormatter("%(task_name)s[%(task_id)s] %(message)s")
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello", None, None)
    assert formatter.format(record) == "???[???] hello"


def test_task_loggers_hang_below_the_workers() -> None:
    assert get_task_logger("bazaar.orders").parent is logging.getLogger("caraway.task")
    logging.getLogger("market")
    assert get_task_logger("market.orders").parent is logging.getLogger("caraway.task")
    below = get_task_logger("caraway.task.mine")
    assert below.parent is logging.getLogger("caraway.task")
    assert get_task_logger("caraway.task") is below.parent
    assert get_task_logger("caraway").parent is logging.getLogger()
    assert get_logger("beat").name == "caraway.beat"
    assert get_logger("caraway.beat").name == "caraway.beat"


def test_the_root_logger_can_be_left_alone(stage: Stage) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    stage.app.conf.worker_hijack_root_logger = False
    set_up_logging(stage.app, "INFO", io.StringIO())
    assert root.handlers == before
    assert len(logging.getLogger("caraway").handlers) == 1


def test_what_stands_in_for_a_standard_stream_can_be_given_to_others(
    capfd: pytest.CaptureFixture[str],
) -> None:
    app = Caraway("shop")
    with stdouts_logged(app):
        stream = sys.stdout
        subprocess.run([sys.executable, "-c", "print('from a child')"], stdout=stream, check=True)
        assert (stream.writable(), stream.readable(), stream.seekable()) == (True, False, False)
        stream.close()
        assert not stream.closed
    assert "from a child" in capfd.readouterr().out


# -- a worker's lines -------------------------------------------------------------------------


def test_a_workers_lines_look_like_celerys(stage: Stage, lines: io.StringIO) -> None:
    @stage.app.task(name="work", bind=True, throws=(KeyError,))
    def work(self: Any, how: str) -> str:
        if how == "retry" and self.request.retries == 0:
            raise self.retry(countdown=2, exc=ConnectionError("nobody answers"))
        errors = {
            "fail": ValueError("bad"),
            "expected": KeyError("gone"),
            "ignore": Ignore(),
            "reject": Reject("no such order"),
        }
        if how in errors:
            raise errors[how]
        return "fine"

    def said(how: str, **options: Any) -> list[str]:
        lines.truncate(0)
        lines.seek(0)
        id = work.apply_async((how,), **options).id
        stage.work()
        assert f"Task work[{id}] " in lines.getvalue()
        return lines.getvalue().replace(id, "ID").splitlines()

    received = "INFO caraway.worker.strategy Task work[ID] received"
    trace = "caraway.app.trace Task work[ID]"
    assert said("return") == [
        received,
        f"INFO {trace} succeeded in 0.0000s: 'fine'",
    ]
    assert said("retry") == [
        received,
        f"INFO {trace} retry: Retry in 2.0s: ConnectionError('nobody answers')",
        received,
        f"INFO {trace} succeeded in 0.0000s: 'fine'",
    ]
    failed = said("fail")
    assert failed[:3] == [
        received,
        f"ERROR {trace} raised unexpected: ValueError('bad')",
        "Traceback (most recent call last):",
    ]
    assert "in work" in failed[3]
    assert failed[-1] == "ValueError: bad"
    assert said("expected") == [received, f"INFO {trace} raised expected: KeyError('gone')"]
    assert said("ignore") == [received, f"INFO {trace} ignored"]
    assert said("reject") == [
        received,
        f"ERROR {trace} goes to its dead-letter queue: no such order",
    ]
    assert said("return", expires=-1) == [received, f"INFO {trace} not run: expired"]


def test_a_long_result_is_cut_short_in_its_line(stage: Stage, lines: io.StringIO) -> None:
    stage.app.task(name="long")(lambda: "x" * 5_000).delay()
    stage.work()
    assert len(lines.getvalue()) < 700


def test_a_message_that_is_no_task_is_said_once(stage: Stage, lines: io.StringIO) -> None:
    stage._execute("garbage", "default", 1)
    (line,) = lines.getvalue().splitlines()
    assert line.startswith("ERROR caraway.app.trace Message on default goes to its dead-letter")


def test_a_hook_that_raises_is_said(stage: Stage, lines: io.StringIO) -> None:
    class Clumsy(stage.app.Task):  # type: ignore[misc, name-defined]
        def on_success(self, *_: Any) -> None:
            raise RuntimeError("oops")

    stage.app.task(name="clumsy", base=Clumsy)(lambda: None).delay()
    stage.work()
    assert "A hook of task clumsy[" in lines.getvalue()
    assert "RuntimeError: oops" in lines.getvalue()


# -- what tasks print -----------------------------------------------------------------------------


def test_what_a_task_prints_is_logged_with_its_name(stage: Stage, lines: io.StringIO) -> None:
    @stage.app.task(name="chatty")
    def chatty() -> None:
        print("hello", "world")  # noqa: T201 - what tasks do
        print("two\nlines", file=sys.stderr)  # noqa: T201 - what tasks do
        sys.stdout.writelines(["un", "ended"])

    id = chatty.delay().id
    with stdouts_logged(stage.app):
        stage.work()
        sys.stdout.flush()
        assert not sys.stdout.isatty()
    for said in ("hello world", "two", "lines"):
        assert f"WARNING [chatty/{id}] {said}\n" in lines.getvalue()
    assert "WARNING caraway.worker.stdout unended\n" in lines.getvalue()


def test_what_threads_print_does_not_mix(stage: Stage, lines: io.StringIO) -> None:
    both = threading.Barrier(2, timeout=120)

    def say(word: str) -> None:
        sys.stdout.write(word)
        both.wait()
        sys.stdout.write(f" {word}\n")

    with stdouts_logged(stage.app):
        threads = [threading.Thread(target=say, args=(word,)) for word in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(line.rpartition("stdout ")[2] for line in lines.getvalue().splitlines()) == [
        "one one",
        "two two",
    ]


def test_printing_can_be_left_alone(
    stage: Stage, lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.app.conf.worker_redirect_stdouts = False
    with stdouts_logged(stage.app):
        print("plain")  # noqa: T201 - what tasks do
    assert capsys.readouterr().out == "plain\n"
    assert not lines.getvalue()


def test_printing_is_logged_at_the_level_of_the_settings(stage: Stage, lines: io.StringIO) -> None:
    stage.app.conf.worker_redirect_stdouts_level = "ERROR"
    with stdouts_logged(stage.app):
        print("oh")  # noqa: T201 - what tasks do
    assert lines.getvalue() == "ERROR caraway.worker.stdout oh\n"


def test_a_logger_that_writes_to_the_redirected_stream_does_not_turn_in_circles(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = Caraway("shop")
    logger = logging.getLogger("caraway.worker.stdout")
    with stdouts_logged(app):
        handler = logging.StreamHandler(sys.stderr)
        logger.addHandler(handler)
        try:
            print("once")  # noqa: T201 - what tasks do
        finally:
            logger.removeHandler(handler)
    assert capsys.readouterr().err == "once\n"


def test_a_result_that_cannot_be_shown_does_not_disturb_its_task(
    stage: Stage, lines: io.StringIO
) -> None:
    class Shy(str):
        def __repr__(self) -> str:
            raise RuntimeError("do not look at me")

    @stage.app.task
    def shy() -> str:
        return Shy("done")

    result = shy.delay()
    stage.work()
    assert result.get() == "done"
    assert "Shy>" in lines.getvalue()
