"""Both doors of the deployed template do the same for the same task, and lose nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from contextlib import ExitStack
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from caraway import states
from caraway.core import results
from caraway.core.message import read_message
from caraway.core.port import run_now
from caraway.core.sending import queue_url
from caraway.requests.sqs import SendMessage
from tests.e2e.conftest import APP, PATIENCE_S, receive_one, wait_until
from tests.e2e.corridor import (
    Colour,
    NoSuchShelf,
    Order,
    Price,
    aadd,
    add,
    advance,
    app,
    at_the_third_attempt,
    dearest,
    echo,
    fail,
    hold,
    ignore,
    keys,
    mark,
    postponed,
    put,
    wait_until_told,
)

if TYPE_CHECKING:
    from pathlib import Path

    from caraway.core.record import Record
    from caraway.result import AsyncResult
    from tests.e2e.conftest import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("producer", "ecs_worker", "occurrences")]


@pytest.fixture(params=["default", "large"])
def queue(request: pytest.FixtureRequest) -> str:
    """The queue of the Lambda door, and that of the ECS door."""
    return str(request.param)


@pytest.fixture
def folder() -> str:
    """Where a test's objects are."""
    return uuid4().hex


def record_of(result: AsyncResult[Any]) -> Record:
    return run_now(results.look(app.aws, app.site, result.id)).record


def ended(result: AsyncResult[Any]) -> bool:
    return wait_until(result.ready)


def test_a_task_runs_at_the_door_of_its_queue(queue: str) -> None:
    result = add.apply_async((2, 3), queue=queue)
    assert result.get(timeout=PATIENCE_S) == 5
    assert record_of(result).door == {"default": "lambda", "large": "ecs"}[queue]


def test_an_async_task_gives_its_result(queue: str) -> None:
    assert aadd.apply_async((2, 3), queue=queue).get(timeout=PATIENCE_S) == 5


def test_a_call_that_is_pickled_and_compressed_runs_at_both_doors(queue: str) -> None:
    prices = tuple(Price(Decimal(number), "EUR") for number in range(1_000))
    assert dearest.apply_async((prices,), queue=queue).get(timeout=PATIENCE_S) == "999"


def test_typed_arguments_arrive_as_what_they_were_and_so_does_the_result(queue: str) -> None:
    order = Order(
        id=uuid4(),
        due=date(2026, 2, 28),
        price=Price(Decimal("9.90"), "EUR"),
        colours=[Colour.RED],
    )
    sent = postponed.apply_async((order,), queue=queue)
    assert sent.get(timeout=PATIENCE_S) == order.model_copy(update={"due": date(2030, 1, 1)})


def test_a_failure_is_raised_as_what_it_was_with_the_traceback_of_the_worker(queue: str) -> None:
    sent = fail.apply_async(("top",), queue=queue)
    with pytest.raises(NoSuchShelf, match="top"):
        sent.get(timeout=PATIENCE_S)
    assert "raise NoSuchShelf(shelf)" in (sent.traceback or "")


def test_a_failure_can_be_run_again(queue: str) -> None:
    sent = fail.apply_async(("top",), queue=queue)
    assert ended(sent)
    sent.replay()
    with pytest.raises(NoSuchShelf, match="top"):
        sent.get(timeout=PATIENCE_S)
    assert sent.attempts == 2


@pytest.mark.usefixtures("deployed")
def test_a_plain_function_on_lambda_is_told_when_its_time_is_over() -> None:
    sent = wait_until_told.apply_async(soft_time_limit=0.2)
    assert sent.get(timeout=PATIENCE_S) == "told"


def test_a_task_is_retried_until_it_succeeds(queue: str) -> None:
    sent = at_the_third_attempt.apply_async(queue=queue)
    assert sent.get(timeout=PATIENCE_S) == 2
    assert sent.attempts == 3


def test_a_task_that_says_ignore_is_shown_as_ignored(queue: str) -> None:
    sent = ignore.apply_async(queue=queue)
    assert ended(sent)
    assert sent.state == states.IGNORED


def test_a_result_that_nobody_wants_is_not_kept(queue: str, folder: str) -> None:
    sent = mark.apply_async((folder,), queue=queue, ignore_result=True)
    assert wait_until(lambda: record_of(sent).phase == "done")
    assert len(keys(folder)) == 1
    assert record_of(sent).result is None


def test_arguments_and_results_too_large_for_a_message_travel_by_s3(queue: str) -> None:
    text = "caraway " * 50_000
    assert echo.apply_async((text,), queue=queue).get(timeout=PATIENCE_S) == text


def test_a_callback_follows_a_success_and_an_errback_a_failure(queue: str, folder: str) -> None:
    passed = add.apply_async((1, 1), queue=queue, link=mark.si(f"{folder}/success"))
    failed = fail.apply_async(("x",), queue=queue, link_error=mark.si(f"{folder}/failure"))
    assert ended(passed)
    assert ended(failed)
    assert wait_until(lambda: len(keys(f"{folder}/success")) == 1)
    assert wait_until(lambda: len(keys(f"{folder}/failure")) == 1)


async def _ten(queue: str) -> list[int]:
    sent = [await add.aapply_async((each, 1), queue=queue) for each in range(10)]
    return [await each.aget(timeout=PATIENCE_S) for each in sent]


def test_asynchronous_code_sends_and_waits_as_well(queue: str) -> None:
    import asyncio

    assert asyncio.run(_ten(queue)) == list(range(1, 11))


def test_a_message_that_comes_again_does_not_run_again(
    deployed: Deployed, queue: str, folder: str
) -> None:
    sent = mark.apply_async((folder,), queue=queue)
    assert ended(sent)
    again = read_message({"caraway": 1, "id": sent.id, "task": mark.name, "args": [folder]})
    url = run_now(queue_url(app.aws, app.site, app.site.router.queue(queue)))
    for _ in range(2):
        run_now(app.aws.perform(SendMessage(url, again.to_body())))
    assert wait_until(lambda: deployed.is_empty(queue))
    assert len(keys(folder)) == 1


def test_a_message_that_nobody_can_read_is_kept_with_the_reason(
    deployed: Deployed, queue: str
) -> None:
    url = run_now(queue_url(app.aws, app.site, app.site.router.queue(queue)))
    body = f"not a task message {uuid4()}"
    run_now(app.aws.perform(SendMessage(url, body)))
    message = receive_one(deployed.engine.client("sqs"), f"{url}-dlq")
    assert message["Body"] == body
    assert "not JSON" in json.dumps(message["MessageAttributes"])


def test_a_worker_told_to_stop_finishes_what_it_runs(deployed: Deployed, folder: str) -> None:
    with deployed.worker("-Q", "signals", "-c", "1") as worker:
        sent = hold.apply_async((folder,), queue="signals")
        assert wait_until(lambda: keys(f"{folder}/begun"))
        worker.signal(signal.SIGTERM)
        assert wait_until(lambda: "warm shutdown" in worker.text())
        put(f"{folder}/let-go")
        assert worker.exit_code() == 0
    assert sent.get(timeout=PATIENCE_S) == "let go"
    assert deployed.is_empty("signals")


def test_a_worker_told_twice_lets_go_and_another_one_runs_the_task(
    deployed: Deployed, folder: str
) -> None:
    with deployed.worker("-Q", "signals", "-c", "1") as worker:
        sent = hold.apply_async((folder,), queue="signals")
        assert wait_until(lambda: keys(f"{folder}/begun"))
        worker.signal(signal.SIGTERM)
        assert wait_until(lambda: "warm shutdown" in worker.text())
        worker.signal(signal.SIGTERM)
        assert worker.exit_code() == 1
    with deployed.worker("-Q", "signals", "-c", "1"):
        assert wait_until(lambda: len(keys(f"{folder}/begun")) == 2)
        put(f"{folder}/let-go")
        assert sent.get(timeout=PATIENCE_S) == "let go"
    assert record_of(sent).lost == 0


def test_a_task_whose_worker_was_killed_runs_again_when_its_lease_is_over(
    deployed: Deployed, folder: str
) -> None:
    with deployed.worker("-Q", "mortal", "-c", "1") as worker:
        sent = hold.apply_async((folder,), queue="mortal")
        assert wait_until(lambda: keys(f"{folder}/begun"))
        worker.signal(signal.SIGKILL)
        assert worker.exit_code() == -signal.SIGKILL
    with deployed.worker("-Q", "mortal", "-c", "1"):
        assert wait_until(lambda: len(keys(f"{folder}/begun")) == 2)
        put(f"{folder}/let-go")
        assert sent.get(timeout=PATIENCE_S) == "let go"
    assert record_of(sent).lost == 1


def test_the_package_alone_runs_the_handler(deployed: Deployed, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(deployed.package) as archive:
        archive.extractall(unpacked)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from caraway.workers.aws_lambda import handler; print(handler({'Records': []}, None)); "
        "print({module.__file__.startswith(sys.argv[1]) for name, module in sys.modules.items() "
        "if name in ('caraway', 'boto3', 'pydantic', 'aws_lambda_powertools')})"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(unpacked)],
        env=deployed.environ | {"CARAWAY_APP": APP},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["{'batchItemFailures': []}", "{True}"]


@pytest.mark.parametrize("entry", ["minutely", "thrice"])
def test_a_rule_sends_a_task_whose_id_its_time_decides(
    occurrences: dict[str, list[AsyncResult[str]]], entry: str
) -> None:
    expected = occurrences[entry]
    assert wait_until(lambda: any(each.ready() for each in expected), patience_s=2 * PATIENCE_S)
    fired = next(each for each in expected if each.ready())
    assert datetime.fromisoformat(fired.get()).tzinfo is not None
    assert record_of(fired).door == "lambda"


def test_a_rule_of_whole_minutes_sends_what_is_due_at_their_seconds(
    occurrences: dict[str, list[AsyncResult[str]]],
) -> None:
    between = [each for place, each in enumerate(occurrences["thrice"]) if place % 3]
    assert wait_until(lambda: any(each.ready() for each in between), patience_s=2 * PATIENCE_S)
    fired = next(each for each in between if each.ready())
    assert datetime.fromisoformat(fired.get()).second in (20, 40)


# -- message groups -------------------------------------------------------------------------------


def in_turn(results: list[AsyncResult[Any]]) -> bool:
    """Wait for a group's results; say whether each began when the one before had ended."""
    times = [result.get(timeout=PATIENCE_S) for result in results]
    return all(ended <= began for (_, ended), (began, _) in pairwise(times))


@pytest.mark.parametrize("queue", ["orders", "parcels"])
def test_groups_keep_their_order_through_retries_and_dead_letters(
    deployed: Deployed, queue: str
) -> None:
    steps = ("first", "retry", "then", "retry", "refuse", "last")
    groups = [uuid4().hex for _ in range(3)]
    with ExitStack() as running:
        workers = [
            running.enter_context(deployed.worker("-Q", queue, "-c", "2"))
            for _ in range(2 if queue == "parcels" else 0)
        ]
        sent = {
            group: [advance.apply_async((group, step), queue=queue) for step in steps]
            for group in groups
        }
        for group in groups:
            refused = sent[group].pop(steps.index("refuse"))
            assert in_turn(sent[group])
            assert [result.attempts for result in sent[group]] == [1, 3, 1, 3, 1]
            assert ended(refused)
            assert refused.state == states.FAILURE
        assert wait_until(lambda: deployed.is_empty(f"{queue}.fifo"))
        for worker in workers:  # warmly: a long poll that is abandoned may still take a message
            worker.signal(signal.SIGTERM)
        assert [worker.exit_code() for worker in workers] == [0] * len(workers)


def test_a_group_goes_on_in_its_order_when_another_worker_takes_over(
    deployed: Deployed, folder: str
) -> None:
    group: dict[str, Any] = {"queue": "parcels", "message_group_id": folder}
    with deployed.worker("-Q", "parcels", "-c", "1") as first:
        held = hold.apply_async((folder,), **group)
        behind = mark.apply_async((f"{folder}/behind",), **group)
        assert wait_until(lambda: keys(f"{folder}/begun"))
        first.signal(signal.SIGTERM)
        assert wait_until(lambda: "warm shutdown" in first.text())
        first.signal(signal.SIGTERM)
        assert first.exit_code() == 1
    with deployed.worker("-Q", "parcels", "-c", "2"):
        assert wait_until(lambda: len(keys(f"{folder}/begun")) == 2)
        assert not behind.ready()
        put(f"{folder}/let-go")
        assert held.get(timeout=PATIENCE_S) == "let go"
        assert ended(behind)
        assert len(keys(f"{folder}/behind")) == 1
