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
from typing import TYPE_CHECKING, Any, Final

from caraway.core.envelope import parse_envelope
from caraway.core.record import DONE, FAILED, Record
from caraway.core.routing import Queue
from caraway.local.engine import LocalEngine
from caraway.local.environ import surroundings
from caraway.requests.items import from_item
from tests.chaos.faults import Plan
from tests.chaos.fleet import Fleet, Killer
from tests.chaos.function import Function
from tests.chaos.history import Finding, History, Revoke, Run, Sent, check
from tests.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.chaos.scenarios import Scenario

ROOT: Final = Path(__file__).parents[2]
PREFIX: Final = "chaos-"
TABLE: Final = "chaos-tasks"
PATIENCE_S: Final = 90.0
"""How long nothing more may be recorded before a run is judged as it is."""
KILLS: Final = "Kill"
_LOOK_S: Final = 0.5


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
    """

    scenario: Scenario
    tasks: int
    begun_again: int
    findings: list[Finding]
    faults: dict[str, int]
    exit_codes: list[int | None]
    seconds: float

    def count(self, verdict: str) -> int:
        """Return how many tasks a promise was broken for."""
        return len({each.id for each in self.findings if each.verdict == verdict})


@dataclass(frozen=True)
class Stage:
    """Where a run takes place: the engine's clients see no fault."""

    engine: LocalEngine
    proxy: Proxy
    folder: Path
    scenario: Scenario

    @property
    def queues(self) -> list[str]:
        """Names of the queues in SQS."""
        return [PREFIX + queue for queue in self.scenario.queues.values()]

    @property
    def dead_letter_queues(self) -> list[str]:
        """Names of their dead-letter queues in SQS."""
        return [
            Queue(queue).dead_letter_sqs_name(PREFIX) for queue in self.scenario.queues.values()
        ]

    @property
    def environ(self) -> dict[str, str]:
        """What leads producers and workers here, through the proxy."""
        quarantined = self.scenario.workload == "quarantine"
        return {
            **self.engine.environ(),
            **({"CHAOS_QUARANTINE": "1"} if quarantined else {}),
            "AWS_ENDPOINT_URL": self.proxy.endpoint_url,
            "CARAWAY_QUEUE_NAME_PREFIX": PREFIX,
            "CARAWAY_TASK_TABLE": TABLE,
            "CHAOS_FOLDER": str(self.folder),
        }


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
            _wait(stage, {each.id for each in sent}, duplicates, say, scenario.name)
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


# -- waiting ---------------------------------------------------------------------------------


def _wait(
    stage: Stage,
    ids: set[str],
    duplicates: threading.Thread,
    say: Callable[[str], None],
    name: str,
) -> None:
    """Wait until every task has ended and the queues are empty, or nothing moves any more."""
    writes = stage.proxy.noted.writes
    ended: set[str] = set()
    seen, moved, last, spoken = 0, time.monotonic(), None, time.monotonic()
    while time.monotonic() - moved < PATIENCE_S:
        new, seen = writes[seen:], len(writes)
        ended |= {write.id for write in new if write.phase in (DONE, FAILED)}
        depth = _depth(stage)
        if ids <= ended and not depth and not duplicates.is_alive():
            return
        if (len(ended), depth) != last:
            last, moved = (len(ended), depth), time.monotonic()
        if time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            say(f"{name}: {len(ended):,} of {len(ids):,} have ended, {depth} messages are left")
        time.sleep(_LOOK_S)


def _depth(stage: Stage) -> int:
    sqs = stage.engine.client("sqs")
    return sum(
        int(count)
        for queue in stage.queues
        for name, count in sqs.get_queue_attributes(
            QueueUrl=_url(stage.engine, queue), AttributeNames=["All"]
        )["Attributes"].items()
        if name.startswith("ApproximateNumberOfMessages")
    )


def _url(engine: LocalEngine, queue: str) -> str:
    url: str = engine.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    return url


# -- what is there at the end ----------------------------------------------------------------


def _collect(stage: Stage, sent: list[Sent]) -> History:
    engine = stage.engine
    scanned = engine.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
    records = [Record.read(from_item(item)) for page in scanned for item in page["Items"]]
    return History(
        sent,
        list(runs_of(stage.folder / "effects.log")),
        list(stage.proxy.noted.writes),
        {record.id: record for record in records},
        left={id for queue in stage.queues for id in _ids_on(engine, queue)},
        dead={id for queue in stage.dead_letter_queues for id in _ids_on(engine, queue)},
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


def _ids_on(engine: LocalEngine, queue: str) -> Iterator[str]:
    """Take every message from a queue: one of FIFO shows the next of a group when this is gone."""
    sqs, url = engine.client("sqs"), _url(engine, queue)
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            envelope: Any = parse_envelope(message["Body"])
            yield envelope["id"]
