"""One run of a scenario: an engine, the proxy, workers, a producer, and the verdict at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.core.record import Record
from caraway.local.engine import LocalEngine
from caraway.local.environ import surroundings
from caraway.requests.items import from_item
from tests.chaos.faults import Plan
from tests.chaos.fleet import Fleet, Killer
from tests.chaos.function import Function
from tests.chaos.history import Finding, History, Revoke, Run, Sent, check
from tests.chaos.lying import lying
from tests.chaos.proxy import Proxy
from tests.chaos.stage import ROOT, TABLE, Stage
from tests.chaos.waiting import unmoved, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.chaos.scenarios import Scenario

KILLS: Final = "Kill"


@dataclass
class Report:
    """What became of a run.

    Attributes
    ----------
    begun_again
        Tasks whose function began more than once, retries included.
    faults
        How often each kind was injected, kills and repeated invocations among them.
    exit_codes
        Of the workers at the end, 0 after a warm shutdown.
    waited_for
        Where everything stood when nothing moved any more; empty if the run came to its end.
    """

    scenario: Scenario
    tasks: int
    begun_again: int
    findings: list[Finding]
    faults: dict[str, int]
    exit_codes: list[int | None]
    seconds: float
    waited_for: list[str]

    def count(self, verdict: str) -> int:
        """Return how many tasks a promise was broken for."""
        return len({each.id for each in self.findings if each.verdict == verdict})


def run(
    scenario: Scenario, seed: int, folder: Path, say: Callable[[str], None] = lambda _line: None
) -> Report:
    """Run a scenario; its logs stay in `folder`."""
    began = time.monotonic()
    plan = Plan(seed, scenario.rules)
    with ExitStack() as stack:
        engine = stack.enter_context(LocalEngine(port=0, log=folder / "engine.log"))
        proxy = stack.enter_context(Proxy(engine.endpoint_url, plan, folder / "faults.log"))
        stage = Stage(engine, proxy, folder, scenario)
        _make_queues(stage)
        environ = surroundings(stage.environ)
        function = None
        if "lambda" in scenario.doors:
            queue = scenario.queues["lambda"]
            function = Function(engine, stage.environ, folder, seed, scenario.invoke_again, queue)
            function.deploy()
        with (
            Fleet(scenario.workers, environ, folder, scenario.queues.get("ecs", "")) as fleet,
            Killer(
                seed, scenario.kill_every_s, scenario.freeze_s, folder / "effects.log"
            ) as killer,
        ):
            _produce(scenario, seed, environ, folder)
            sent = list(_enqueued(folder))
            say(f"{scenario.name}: {len(sent):,} tasks are sent")
            duplicates = threading.Thread(
                target=function.invoke_again if function else lambda _bodies: None,
                args=(list(proxy.noted.bodies),),
            )
            duplicates.start()
            ids = {each.id for each in sent}
            waited_for: list[str] = []
            if not wait(stage, ids, duplicates.is_alive, say):
                waited_for = unmoved(stage, ids, fleet.states)
                (folder / "waiting.log").write_text("\n".join(waited_for))
            duplicates.join()
        history = _collect(stage, sent)
    faults = {
        **proxy.noted.faults,
        KILLS: killer.kills,
        "InvokedAgain": function.invoked if function else 0,
    }
    return Report(
        scenario,
        len(sent),
        history.begun_again,
        check(history),
        faults,
        fleet.exit_codes,
        time.monotonic() - began,
        waited_for,
    )


def _make_queues(stage: Stage) -> None:
    sqs, dynamodb = stage.engine.client("sqs"), stage.engine.client("dynamodb")
    for name in (*stage.queues, *stage.dead_letter_queues):
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        sqs.create_queue(QueueName=name, Attributes=attributes)
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )


def _produce(scenario: Scenario, seed: int, environ: Mapping[str, str], folder: Path) -> None:
    with (folder / "producer.log").open("wb") as log:
        subprocess.run(
            [
                *(sys.executable, "-m", "tests.chaos.producer"),
                *(scenario.workload, str(seed), scenario.name, str(scenario.tasks)),
                *scenario.doors,
            ],
            env=dict(environ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
        )


def _enqueued(folder: Path) -> Iterator[Sent]:
    for line in (folder / "enqueue.log").read_text().splitlines():
        yield Sent(**json.loads(line))


def _revoked(folder: Path) -> Iterator[Revoke]:
    for line in (folder / "revokes.log").read_text().splitlines():
        yield Revoke(**json.loads(line))


# -- what is there at the end ----------------------------------------------------------------


def _collect(stage: Stage, sent: list[Sent]) -> History:
    """Take down all that is known.

    Functions may run still where a run was given up: so messages first, all at one moment, and
    then records. What a message has caused is durable when the message is gone.
    """
    messages = lying(stage.engine, [*stage.queues, *stage.dead_letter_queues])
    scanned = stage.engine.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
    records = [Record.read(from_item(item)) for page in scanned for item in page["Items"]]
    return History(
        sent,
        list(runs_of(stage.folder / "effects.log")),
        list(stage.proxy.noted.writes),
        {record.id: record for record in records},
        left={each.id for each in messages if each.queue in stage.queues},
        dead={each.id for each in messages if each.queue in stage.dead_letter_queues},
        revokes={each.id: each for each in _revoked(stage.folder)},
    )


def runs_of(effects: Path) -> Iterator[Run]:
    """Give the runs of the effects log, in the order in which they began."""
    lines = [line.split() for line in effects.read_text().splitlines()]
    ends = {(id, token, pid): float(at) for event, id, token, pid, at in lines if event == "end"}
    for event, id, token, pid, at in lines:
        if event == "begin":
            key = id, token, pid
            yield Run(id, None if token == "-" else token, float(at), int(pid), ends.get(key))
