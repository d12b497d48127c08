"""Workflows on both doors, every message of which is delivered twice, on the local engine."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Queue, chord
from caraway.aws.asyncio_aws import AiobotocoreWire, ThreadWire
from caraway.workers.ecs import Worker
from tests.integration.conftest import PATIENCE_S
from tests.integration.test_lambda_door import Door
from tests.unit.canvas.canvases import Names, tasks_of
from tests.unit.canvas.oracle import foretold
from tests.unit.canvas.places import PLACES, PRIMITIVES
from tests.unit.canvas.stage import Script, Seen, assert_as_foretold, got

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway import Caraway
    from tests.integration.conftest import Place
    from tests.unit.canvas.canvases import Canvas


def compositions() -> list[Canvas]:
    """Return some of each kind in each place; no two tasks have one name."""
    names, common = Names(), ("a task", "a chain", "a group", "a chord")
    return [
        PLACES[place](PRIMITIVES[primitive](names), names)
        for place, primitive in product(PLACES, common)
    ]


@dataclass
class Workers:
    """What runs an app's tasks: one of the doors."""

    place: Place
    app: Caraway
    door: str
    _deadline: float = field(default_factory=lambda: time.monotonic() + 10 * PATIENCE_S)

    def is_busy(self) -> bool:
        """Say whether there are messages: one goes only when all that it leads to is there."""
        assert time.monotonic() < self._deadline, "the queue is not empty"
        return self.place.depth(self.app) > 0

    def run_all(self) -> None:
        """Run until the queue is empty; each message is delivered twice."""
        if self.door == "lambda":
            self._invoke_twice()
        else:
            self._receive_twice()

    def _invoke_twice(self) -> None:
        door, url = Door(self.place, self.app, concurrency=10), self.place.url(self.app)
        sqs = self.place.client("sqs")
        while self.is_busy():
            event = door.event()
            if not event["Records"]:
                continue
            door.invoke(event)
            left = door.invoke(event)
            for each in event["Records"]:
                if each["messageId"] not in left:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=each["receiptHandle"])

    def _receive_twice(self) -> None:
        worker = Worker(self.app, pool="threads", concurrency=8, heartbeat_interval_s=0)

        def stop_at_the_end() -> None:
            try:
                while self.is_busy():
                    time.sleep(0.05)
            finally:
                worker.stop()

        watching = threading.Thread(target=stop_at_the_end)
        watching.start()
        try:
            with twice():
                assert worker.run() == 0
        finally:
            watching.join()


@contextmanager
def twice() -> Iterator[None]:
    """Let each message that is received be there twice."""

    def doubled(send: Any) -> Any:
        async def doubling(wire: Any, service: str, operation: str, params: Any) -> Any:
            response = await send(wire, service, operation, params)
            if operation == "receive_message" and response.get("Messages"):
                response = {**response, "Messages": response["Messages"] * 2}
            return response

        return doubling

    with pytest.MonkeyPatch.context() as patch:
        for wire in (AiobotocoreWire, ThreadWire):
            patch.setattr(wire, "send", doubled(wire.send))
        yield


@pytest.fixture(params=["lambda", "ecs"])
def workers(local: Place, request: pytest.FixtureRequest) -> Workers:
    consumer = {"lambda": Queue("default"), "ecs": Queue("default", consumer="ecs")}
    return Workers(local, local.app(consumer[request.param]), request.param)


@pytest.mark.usefixtures("loggers_as_they_were")
@pytest.mark.parametrize("workers", ["lambda"], indirect=True)
def test_all_kinds_of_workflows_at_once_take_effect_once(workers: Workers) -> None:
    script = Script(workers.app, named=False)
    canvases = compositions()
    results = [script.built(canvas).delay() for canvas in canvases]
    workers.run_all()
    for canvas, result in zip(canvases, results, strict=True):
        names = {task.name for task in tasks_of(canvas)}
        ran = Counter(each for each in script.runs if each[0] in names)
        assert_as_foretold(Seen(*got(result), ran, {}), foretold(canvas))
    assert len(canvases) == 72


@pytest.mark.usefixtures("loggers_as_they_were")
def test_the_body_of_a_chord_of_more_than_a_node_takes_effect_once(workers: Workers) -> None:
    script = Script(workers.app, named=False)
    members = [script.say.s(name=f"m{number}", does="returns") for number in range(150)]
    result = chord(members, script.say.s(name="body", does="returns")).delay()
    workers.run_all()
    expected = ", ".join(f"m{number}" for number in range(150))
    assert result.get(timeout=PATIENCE_S) == f"body([{expected}])"
    assert sorted(name for name, _ in script.runs) == sorted(
        [*(f"m{number}" for number in range(150)), "body"]
    )
