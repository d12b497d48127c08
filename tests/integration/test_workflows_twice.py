"""Workflows on Lambda and the local engine, every message of which is delivered twice."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import pytest

from caraway import Queue, chord
from tests.integration.conftest import PATIENCE_S
from tests.integration.test_lambda_door import Door
from tests.unit.canvas.canvases import Names, tasks_of
from tests.unit.canvas.oracle import foretold
from tests.unit.canvas.places import PLACES, PRIMITIVES
from tests.unit.canvas.stage import Script, Seen, assert_as_foretold, got

if TYPE_CHECKING:
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
class Function:
    """The Lambda door of an app, invoked twice with each message."""

    place: Place
    app: Caraway
    _deadline: float = field(default_factory=lambda: time.monotonic() + 10 * PATIENCE_S)

    def run_all(self) -> None:
        """Invoke until the queue is empty: a message goes only when all it leads to is there."""
        door, url = Door(self.place, self.app, concurrency=10), self.place.url(self.app)
        sqs = self.place.client("sqs")
        while self.place.depth(self.app) > 0:
            assert time.monotonic() < self._deadline, "the queue is not empty"
            event = door.event()
            if not event["Records"]:
                continue
            door.invoke(event)
            left = door.invoke(event)
            for each in event["Records"]:
                if each["messageId"] not in left:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=each["receiptHandle"])


@pytest.fixture
def function(local: Place) -> Function:
    return Function(local, local.app(Queue("default")))


@pytest.mark.usefixtures("loggers_as_they_were")
def test_all_kinds_of_workflows_at_once_take_effect_once(function: Function) -> None:
    script = Script(function.app, named=False)
    canvases = compositions()
    results = [script.built(canvas).delay() for canvas in canvases]
    function.run_all()
    for canvas, result in zip(canvases, results, strict=True):
        names = {task.name for task in tasks_of(canvas)}
        ran = Counter(each for each in script.runs if each[0] in names)
        assert_as_foretold(Seen(*got(result), ran, {}), foretold(canvas))
    assert len(canvases) == 72


@pytest.mark.usefixtures("loggers_as_they_were")
def test_the_body_of_a_chord_of_more_than_a_node_takes_effect_once(function: Function) -> None:
    script = Script(function.app, named=False)
    members = [script.say.s(name=f"m{number}", does="returns") for number in range(150)]
    result = chord(members, script.say.s(name="body", does="returns")).delay()
    function.run_all()
    expected = ", ".join(f"m{number}" for number in range(150))
    assert result.get(timeout=PATIENCE_S) == f"body([{expected}])"
    assert sorted(name for name, _ in script.runs) == sorted(
        [*(f"m{number}" for number in range(150)), "body"]
    )
