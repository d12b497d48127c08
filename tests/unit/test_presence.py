"""Workers that show themselves: what they write, who is seen, and what it costs."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Queue
from caraway.aws.memory import MemoryAws
from caraway.core.envelope import parse_envelope
from caraway.core.events import Ended, Received
from caraway.core.fields import is_name
from caraway.core.ids import new_id
from caraway.core.message import read_message
from caraway.core.port import run_now
from caraway.core.presence import (
    LATE,
    LIST,
    RUNNING_SHOWN,
    About,
    Presence,
    Presences,
    RunningTask,
    about,
    doubles,
    present,
)
from caraway.exceptions import AccessDenied, EndpointUnreachable, InvalidMessage, InvalidOption
from caraway.requests.dynamodb import GetItem, UpdateItem
from caraway.requests.items import to_item
from caraway.signals import heartbeat_sent
from caraway.workers.presence import ENLISTED_EVERY, Attendance, Tally, about_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.requests.base import Request

PRESENCES = Presences("caraway-tasks")
KIB = 1_024


def presence(aws: MemoryAws, name: str = "reports@box", token: str = "1", **more: Any) -> Presence:
    now = aws.now().timestamp()
    told: dict[str, Any] = {
        "hostname": name,
        "session": f"{name}\t{token}",
        "pid": 4321,
        "pool": "threads",
        "concurrency": 10,
        "queues": ("default",),
        "version": "0.1.0",
        "about": About().digest,
        "interval_s": 30.0,
        "started_at": now,
        "beat_at": now,
    }
    return Presence(**{**told, **more})


def attend(aws: MemoryAws, *presences: Presence) -> None:
    for each in presences:
        run_now(aws.perform(PRESENCES.beat(each)))
        run_now(aws.perform(PRESENCES.enlist(each.session)))


def seen(aws: MemoryAws) -> list[str]:
    return [each.session for each in run_now(present(aws, PRESENCES))]


# -- the items --------------------------------------------------------------------------------


def test_no_task_can_have_the_key_of_a_worker() -> None:
    keys = [
        LIST,
        PRESENCES.beat(presence(MemoryAws())).id,
        PRESENCES.describe(About(), 0).id,
    ]
    assert [key for key in keys if is_name(key)] == []
    app = Caraway("shop")
    for key in keys:
        with pytest.raises(InvalidOption, match="task_id"):
            app.send_task("shop.add", task_id=key)
        body = json.dumps({"caraway": 1, "id": key, "task": "shop.add"})
        with pytest.raises(InvalidMessage):
            read_message(parse_envelope(body))


def size_bytes(write: UpdateItem) -> int:
    """Return about what DynamoDB bills: the item in its wire form is never smaller."""
    return len(json.dumps(to_item({"id": write.id, **write.change.assign})))


def test_a_beat_of_an_idle_worker_is_billed_as_one_kib() -> None:
    aws = MemoryAws()
    name = "caraway@ip-10-123-123-123.ap-northeast-2.compute.internal"
    idle = presence(aws, name, "x" * 24, queues=("default", "reports", "orders.fifo"))
    assert size_bytes(PRESENCES.beat(idle)) <= KIB
    busy = replace(
        idle,
        running=1_000,
        tasks=tuple(
            RunningTask(new_id(), "shop.tasks.reports.generate_all", 1_767_225_600.123)
            for _ in range(RUNNING_SHOWN)
        ),
    )
    assert size_bytes(PRESENCES.beat(busy)) <= 2 * KIB


def test_a_beat_that_is_written_twice_is_one() -> None:
    once, twice = MemoryAws(), MemoryAws(fate=lambda _request: "repeat")
    for aws in (once, twice):
        attend(aws, presence(aws))
    assert once.items == twice.items


def test_what_a_later_version_says_more_is_passed_over() -> None:
    aws = MemoryAws()
    worker = presence(aws, tasks=(RunningTask("one", "shop.add", 5.0),))
    attend(aws, worker)
    item = aws.items[PRESENCES.table, PRESENCES.beat(worker).id]
    item["mood"] = "good"
    item["tasks"][0]["mood"] = "good"
    assert run_now(present(aws, PRESENCES)) == [worker]


def test_what_workers_have_in_common_is_one_item_however_many_they_are() -> None:
    first, second = About(("a", "b"), {"x": "1"}), About(("a", "b"), {"x": "1"})
    assert first.digest == second.digest
    assert first.digest != About(("a",), {"x": "1"}).digest
    assert first.digest != About(("a", "b"), {"x": "2"}).digest


# -- who is seen ------------------------------------------------------------------------------


def test_a_worker_is_seen_until_it_has_been_silent_for_too_long() -> None:
    aws = MemoryAws()
    attend(aws, presence(aws, "b"), presence(aws, "a"))
    assert seen(aws) == ["a\t1", "b\t1"]
    aws.pass_time(30 * LATE)
    attend(aws, presence(aws, "b"))
    assert seen(aws) == ["a\t1", "b\t1"]
    aws.pass_time(0.001)
    assert seen(aws) == ["b\t1"]


def test_who_is_gone_is_asked_for_once_only() -> None:
    aws = MemoryAws()
    attend(aws, presence(aws))
    aws.pass_time(1_000)
    assert seen(aws) == []
    aws.requests.clear()
    assert seen(aws) == []
    assert aws.requests == [GetItem(PRESENCES.table, LIST)]


def test_who_may_only_read_sees_the_workers_all_the_same() -> None:
    aws = MemoryAws()
    attend(aws, presence(aws, "gone"))
    aws.pass_time(1_000)
    attend(aws, presence(aws, "there"))

    def only_reads(request: Request[Any]) -> Any:
        return "fail" if isinstance(request, UpdateItem) else "ok"

    aws.fate = only_reads
    assert seen(aws) == ["there\t1"]


def test_a_table_that_does_not_answer_is_an_error_and_not_an_empty_list() -> None:
    aws = MemoryAws(fate=lambda _request: "fail")
    with pytest.raises(EndpointUnreachable):
        run_now(present(aws, PRESENCES))
    aws = MemoryAws()
    attend(aws, presence(aws))
    aws.fate = lambda request: "ok" if getattr(request, "id", "") == LIST else "fail"
    with pytest.raises(EndpointUnreachable):
        run_now(present(aws, PRESENCES))
    with pytest.raises(EndpointUnreachable):
        run_now(about(aws, PRESENCES, ["x"]))


def test_names_that_several_workers_have_are_found() -> None:
    aws = MemoryAws()
    workers = [presence(aws, "a", "1"), presence(aws, "a", "2"), presence(aws, "b")]
    assert doubles(workers) == ["a"]
    attend(aws, *workers)
    assert len(seen(aws)) == 3


# -- a worker's own side ----------------------------------------------------------------------


@pytest.fixture
def attendance() -> Callable[..., Attendance]:
    """Return what makes the attendance of a worker whose beats follow at once."""

    def make(aws: MemoryAws, **changes: Any) -> Attendance:
        given: dict[str, Any] = {
            "hostname": "reports@box",
            "pool": SimpleNamespace(name="threads", concurrency=10),
            "queues": [Queue("default")],
            "executor": SimpleNamespace(running={}),
            "slots": SimpleNamespace(running=0),
            "tally": Tally(lambda _event: None),
            "interval_s": 30.0,
        }
        return Attendance(aws, Caraway("shop"), **{**given, **changes})

    return make


def beats(attendance: Attendance, aws: MemoryAws, number: int) -> None:
    """Let a worker beat so often."""

    async def beat() -> None:
        for _ in range(number):
            aws.pass_time(30)
            await attendance._beat()

    run_now(beat())


def kinds(aws: MemoryAws) -> list[str]:
    told = [
        request.id.partition("\t")[0] for request in aws.requests if type(request) is UpdateItem
    ]
    aws.requests.clear()
    return told


def test_a_beat_is_one_write(attendance: Callable[..., Attendance]) -> None:
    aws = MemoryAws()
    worker = attendance(aws)
    beats(worker, aws, 1)
    assert kinds(aws) == ["about", "worker", "workers"]
    beats(worker, aws, ENLISTED_EVERY - 1)
    assert kinds(aws) == ["worker"] * (ENLISTED_EVERY - 1)
    beats(worker, aws, 1)
    assert kinds(aws) == ["worker", "workers"]


def test_what_workers_have_in_common_is_written_again_before_it_expires(
    attendance: Callable[..., Attendance],
) -> None:
    aws = MemoryAws()
    worker = attendance(aws)
    beats(worker, aws, 1)
    aws.pass_time(86_401)
    kinds(aws)
    beats(worker, aws, 1)
    assert kinds(aws)[0] == "about"


def test_a_worker_that_was_taken_off_the_list_by_mistake_is_on_it_again(
    attendance: Callable[..., Attendance],
) -> None:
    aws = MemoryAws()
    worker = attendance(aws)
    beats(worker, aws, 1)
    run_now(aws.perform(PRESENCES.strike([worker._first.session])))
    beats(worker, aws, ENLISTED_EVERY)
    assert seen(aws) == [worker._first.session]


def test_a_worker_says_what_it_does(attendance: Callable[..., Attendance]) -> None:
    aws = MemoryAws()
    message = read_message(parse_envelope('{"caraway":1,"id":"one","task":"shop.add"}'))
    running = {"t": SimpleNamespace(message=message, began=aws.now())}
    tally = Tally(lambda _event: None)
    worker = attendance(
        aws,
        executor=SimpleNamespace(running=running),
        slots=SimpleNamespace(running=1),
        tally=tally,
    )
    tally(Received(message, None))  # type: ignore[arg-type]
    tally(Ended(message, None, 0.1))  # type: ignore[arg-type]
    beats(worker, aws, 1)
    (told,) = run_now(present(aws, PRESENCES))
    assert (told.running, told.processed, told.queues) == (1, 1, ("default",))
    assert [(each.id, each.name) for each in told.tasks] == [("one", "shop.add")]


def test_a_name_that_another_worker_has_is_warned_of(
    attendance: Callable[..., Attendance], caplog: pytest.LogCaptureFixture
) -> None:
    aws = MemoryAws()
    beats(attendance(aws), aws, 1)
    assert caplog.text == ""
    beats(attendance(aws, hostname="other@box"), aws, 1)
    assert caplog.text == ""
    beats(attendance(aws), aws, 1)
    assert "another worker is named reports@box too (process " in caplog.text
    assert "give each a name of its own with -n, such as -n reports@%h" in caplog.text


class Refusing(MemoryAws):
    """An account that refuses to write, with an error of its own for each write."""

    errors: list[Exception]
    wanted: int
    written: asyncio.Event

    async def perform(self, request: Any) -> Any:
        if isinstance(request, UpdateItem):
            self.wanted -= 1
            if self.wanted <= 0:
                self.written.set()
            if self.errors:
                raise self.errors.pop(0)
        return await super().perform(request)


def run_beside_a_worker(attend: Callable[..., Attendance], aws: Refusing, writes: int) -> None:
    """Let a worker beat until it has tried so many writes, and leave."""

    async def run() -> None:
        aws.wanted, aws.written = writes, asyncio.Event()
        worker = attend(aws, interval_s=0.001)
        worker.begin()
        await aws.written.wait()
        await worker.end()

    asyncio.run(run())


def test_a_table_that_may_not_be_written_costs_one_line_and_nothing_else(
    attendance: Callable[..., Attendance], caplog: pytest.LogCaptureFixture
) -> None:
    aws = Refusing()
    aws.errors = [AccessDenied("dynamodb:UpdateItem is not allowed")]
    run_beside_a_worker(attendance, aws, 1)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.getMessage() == (
        "'caraway status' will not show this worker: dynamodb:UpdateItem is not allowed"
    )
    assert aws.items == {}


def test_beats_that_fail_are_followed_by_the_next(
    attendance: Callable[..., Attendance], caplog: pytest.LogCaptureFixture
) -> None:
    aws = Refusing()
    aws.errors = [EndpointUnreachable("no answer"), RuntimeError("what is this")]
    run_beside_a_worker(attendance, aws, 5)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["a heartbeat failed; the worker goes on"]
    assert kinds(aws)[:3] == ["about", "worker", "workers"]


def test_a_stopped_worker_is_not_on_the_list(attendance: Callable[..., Attendance]) -> None:
    aws = Refusing()
    aws.errors = []
    run_beside_a_worker(attendance, aws, 3)
    assert aws.item(PRESENCES.table, LIST) == {"id": LIST}


def test_receivers_of_heartbeat_sent_hear_each_beat_and_disturb_none(
    attendance: Callable[..., Attendance], caplog: pytest.LogCaptureFixture
) -> None:
    aws = Refusing()
    aws.errors = []
    heard: list[str] = []

    def receiver(sender: Attendance, **_: Any) -> None:
        heard.append(sender.hostname)
        raise LookupError("no such thing")

    heartbeat_sent.connect(receiver)
    try:
        run_beside_a_worker(attendance, aws, 6)
    finally:
        heartbeat_sent.disconnect(receiver)
    assert len(heard) > 1
    assert set(heard) == {"reports@box"}
    assert "LookupError: no such thing" in caplog.text
    assert seen(aws) == []


def test_a_worker_that_has_never_begun_leaves_nothing(
    attendance: Callable[..., Attendance],
) -> None:
    aws = MemoryAws()
    asyncio.run(attendance(aws).end())
    assert aws.requests == []


# -- what it says of the app ------------------------------------------------------------------


def test_settings_are_shown_where_they_differ_and_without_secrets() -> None:
    app = Caraway("shop")
    app.conf.update(
        timezone="Asia/Seoul",
        aws_endpoint_url="http://user:word@127.0.0.1:4566",
        beat_schedule={"clean": {"task": "shop.clean", "schedule": 60, "args": ("word",)}},
        task_queues=[Queue("default")],
    )
    app.task(name="shop.clean")(lambda: None)
    told = about_of(app.finalize())
    assert told.registered == ("shop.clean",)
    assert told.conf["timezone"] == '"Asia/Seoul"'
    assert told.conf["beat_schedule"] == '["clean"]'
    assert "Queue" in told.conf["task_queues"]
    assert "task_table" not in told.conf
    assert "word" not in json.dumps(told.conf)
