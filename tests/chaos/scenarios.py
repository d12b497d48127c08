"""What is tried: each scenario is one sort of trouble, the last is all of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.app import VISIBILITY_S
from tests.chaos.faults import Delay, FailEntries, Lose, Redeliver, Refuse, Resend, Rule
from tests.chaos.workload import FIFO_QUEUES, QUEUES

if TYPE_CHECKING:
    from tests.chaos.workload import Door

THREADS: Final = ("-P", "threads", "-c", "40")
PREFORK: Final = ("-P", "prefork", "-c", "6")

OUTAGE: Final = 15
"""Requests in a row that all fail, so that the SDKs' own retries do not help."""


@dataclass(frozen=True)
class Scenario:
    """One sort of trouble.

    Attributes
    ----------
    title
        What the table says.
    workers
        Options of each ``caraway worker``.
    kill_every_s
        Mean time between two ``kill -9`` of whoever runs a task, 0 for none: a worker, a child of
        its pool, or a process of the function.
    freeze_s
        Above 0 it is no kill: the process stands still for so long, and then goes on.
    invoke_again
        Share of the messages of the Lambda queue with which the function is invoked once more.
    workload
        What is sent, by its name in :data:`tests.chaos.subjects.WORKLOADS`.
    """

    name: str
    title: str
    doors: tuple[Door, ...] = ("ecs",)
    rules: tuple[Rule, ...] = ()
    workers: tuple[tuple[str, ...], ...] = (THREADS, PREFORK)
    kill_every_s: float = 0.0
    freeze_s: float = 0.0
    invoke_again: float = 0.0
    workload: str = "mixture"
    tasks: int = 2_000

    @property
    def queues(self) -> dict[Door, str]:
        """The queue of each door."""
        names = FIFO_QUEUES if self.workload == "fifo" else QUEUES
        return {door: names[door] for door in self.doors}


SLOW: Final = (
    Rule("*", Delay(request_s=0.4, response_s=0.4), 0.05),
    Rule("dynamodb:*", Delay(request_s=VISIBILITY_S * 2.0), 0.003),
    Rule("dynamodb:*", Delay(response_s=VISIBILITY_S * 2.0), 0.003),
)
UNSENT: Final = (
    Rule("*", Lose(executed=False), 0.04),
    Rule("*", Lose(executed=False, reset=True), 0.02),
    Rule("*", Lose(executed=False), 0.02, together=OUTAGE),
)
UNANSWERED: Final = (
    Rule("*", Lose(executed=True), 0.04),
    Rule("*", Lose(executed=True, reset=True), 0.02),
    Rule("*", Lose(executed=True), 0.02, together=OUTAGE),
)
ERRORS: Final = (
    Rule("*", Refuse("internal"), 0.03),
    Rule("*", Refuse("unavailable"), 0.03),
    Rule("*", Refuse("throttled"), 0.03),
    Rule("*", Refuse("unavailable"), 0.02, together=OUTAGE),
    Rule("*", Refuse("bad_request"), 0.005),
)
PARTIAL: Final = (
    Rule("sqs:*Batch", FailEntries(0.3), 0.25),
    Rule("sqs:*Batch", FailEntries(0.3, executed=True), 0.15),
    Rule("dynamodb:BatchExecuteStatement", FailEntries(0.3), 0.25),
    Rule("dynamodb:BatchExecuteStatement", FailEntries(0.3, executed=True), 0.15),
)
TWICE: Final = (
    Rule("sqs:ReceiveMessage", Redeliver(), 0.25),
    Rule("sqs:ReceiveMessage", Resend(), 0.25),
)
LATE: Final = (
    Rule("sqs:ReceiveMessage", Delay(response_s=VISIBILITY_S * 2.0), 0.25),
    Rule("sqs:ReceiveMessage", Resend(delay_s=VISIBILITY_S * 2), 0.2),
    Rule("sqs:DeleteMessage*", Delay(request_s=VISIBILITY_S * 2.0), 0.2),
)
FIFO_LATE: Final = (Rule("sqs:ReceiveMessage", Delay(response_s=VISIBILITY_S * 2.0), 0.05),)
"""SQS resends no message of a FIFO queue out of its turn: there are no duplicates to inject."""
LIGHT: Final = (
    Rule("*", Lose(executed=False), 0.03),
    Rule("*", Lose(executed=True), 0.03),
    Rule("*", Refuse("unavailable"), 0.02),
    Rule("*", Refuse("throttled"), 0.02),
)
"""What the SDKs mostly mend by asking again."""
NETWORK: Final = (
    *LIGHT,
    Rule("*", Lose(executed=True), 0.01, together=OUTAGE),
    Rule("*", Refuse("unavailable"), 0.01, together=OUTAGE),
    Rule("*", Refuse("bad_request"), 0.002),
)
"""The network's part where other things go wrong as well."""
EVERYTHING: Final = (*LATE, *TWICE, *PARTIAL, *SLOW, *NETWORK)

SCENARIOS: Final = (
    Scenario("calm", "nothing goes wrong"),
    Scenario("slow", "slow answers, some slower than a lease", rules=SLOW),
    Scenario("unsent", "requests are lost, connections reset", rules=UNSENT),
    Scenario("unanswered", "requests are performed, answers are lost", rules=UNANSWERED),
    Scenario("errors", "400, 500, 503, throttling", rules=ERRORS),
    Scenario("partial", "single entries of batches fail", rules=PARTIAL),
    Scenario("twice", "messages are delivered twice", rules=TWICE),
    Scenario("late", "messages are delivered late, deletes come late", rules=LATE),
    Scenario("kills", "`kill -9` of workers", workers=(THREADS, THREADS), kill_every_s=1.5),
    Scenario(
        "children", "`kill -9` of pool children", workers=(PREFORK, PREFORK), kill_every_s=0.5
    ),
    Scenario(
        "frozen",
        "workers stand still for two leases, then go on",
        workers=(THREADS, THREADS, PREFORK),
        kill_every_s=1.0,
        freeze_s=VISIBILITY_S * 2.0,
    ),
    Scenario(
        "lambda",
        "time-outs, `kill -9`, invoked twice",
        doors=("lambda",),
        workers=(),
        kill_every_s=3.0,
        invoke_again=0.1,
    ),
    Scenario(
        "lambda-network",
        "requests and answers are lost, errors",
        doors=("lambda",),
        workers=(),
        rules=NETWORK,
    ),
    Scenario(
        "at-most-once",
        "`at_most_once` tasks: `kill -9`, time-outs, lost answers, invoked twice",
        doors=("ecs", "lambda"),
        rules=(*TWICE, *LIGHT),
        kill_every_s=1.0,
        invoke_again=0.1,
        workload="at_most_once",
    ),
    Scenario(
        "fifo",
        "FIFO groups: `kill -9`, late receives, entries fail, lost answers",
        doors=("ecs", "lambda"),
        rules=(*FIFO_LATE, *PARTIAL, *LIGHT),
        kill_every_s=5.0,
        workload="fifo",
    ),
    Scenario(
        "quarantine",
        "one task in 50 kills whoever runs it",
        doors=("ecs", "lambda"),
        workers=(PREFORK, PREFORK),
        workload="quarantine",
    ),
    Scenario(
        "revoke",
        "half are revoked, half of these with `terminate`; lost answers, delivered twice",
        doors=("ecs", "lambda"),
        rules=(*TWICE, *LIGHT),
        invoke_again=0.1,
        workload="revoked",
    ),
    Scenario(
        "workflows",
        "chords and chains: `kill -9`, delivered twice, entries fail, lost answers",
        doors=("ecs", "lambda"),
        rules=(*TWICE, *PARTIAL, *LIGHT),
        kill_every_s=3.0,
        invoke_again=0.1,
        workload="workflows",
    ),
    Scenario(
        "combined",
        "all of it at once",
        doors=("ecs", "lambda"),
        rules=EVERYTHING,
        workers=(THREADS, PREFORK),
        kill_every_s=4.0,
        invoke_again=0.05,
        tasks=10_000,
    ),
)
BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}

SHORT: Final = (
    Scenario(
        "short-ecs",
        "a bit of everything",
        rules=(
            Rule("sqs:ReceiveMessage", Delay(response_s=VISIBILITY_S * 1.5), 0.1),
            *TWICE,
            *PARTIAL,
            *LIGHT,
        ),
        workers=(("-P", "threads", "-c", "20"), ("-P", "prefork", "-c", "2")),
        kill_every_s=2.0,
        tasks=120,
    ),
    Scenario(
        "short-lambda",
        "a bit of everything",
        doors=("lambda",),
        rules=LIGHT,
        workers=(),
        kill_every_s=4.0,
        invoke_again=0.2,
        tasks=40,
    ),
    *(
        Scenario(
            f"short-{name}",
            "a bit of everything",
            rules=(*(FIFO_LATE if name == "fifo" else TWICE), *PARTIAL, *LIGHT),
            workers=(("-P", "prefork", "-c", "3"),),
            kill_every_s=0.0 if name == "quarantine" else 2.0,
            workload=name,
            tasks=40,
        )
        for name in ("at_most_once", "fifo", "quarantine", "revoked", "workflows")
    ),
)
"""What ``make test`` runs."""
