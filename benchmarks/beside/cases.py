"""What is tried on both systems, and why each comes out as it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Case:
    """One sort of trouble.

    Attributes
    ----------
    seconds
        How long each task takes.
    kills
        Who is sent ``kill -9`` every ``kill_every_s``: a worker with all its processes, or a child
        of a pool, which runs a task.
    copies
        Share of the messages that SQS delivers twice.
    chords
        Chords of ten members are sent in place of tasks; one member of each is delivered twice.
    why
        What the difference is due to.
    """

    name: str
    title: str
    why: str
    tasks: int = 300
    seconds: float = 0.02
    countdown_s: int = 0
    kills: Literal["worker", "child"] | None = None
    kill_every_s: float = 2.0
    copies: float = 0.0
    chords: int = 0
    acks_late: bool = True


CASES: Final = (
    Case("calm", "nothing goes wrong", "Nothing to tell them apart."),
    Case(
        "kills",
        "`kill -9` of workers, `acks_late`",
        "Both run again what was not acknowledged.",
        seconds=0.3,
        kills="worker",
        kill_every_s=3.0,
    ),
    Case(
        "kills, early",
        "`kill -9` of workers, Celery's default",
        "Without `acks_late` a message is deleted before its task runs. Caraway has one mode.",
        seconds=0.3,
        kills="worker",
        kill_every_s=3.0,
        acks_late=False,
    ),
    Case(
        "children",
        "`kill -9` of pool children",
        "Both give the message back to the queue.",
        seconds=0.3,
        kills="child",
    ),
    Case(
        "long",
        "tasks of 13 s, a visibility timeout of 6 s",
        "Celery renews no visibility: SQS hands the message out again while the task runs, and the "
        "first receipt deletes it no more. Caraway's heartbeat renews it.",
        tasks=20,
        seconds=13.0,
    ),
    Case(
        "countdown",
        "a countdown of 15 s, a visibility timeout of 6 s",
        "Celery holds the message in the worker's memory, and SQS hands it out again. Caraway lets "
        "SQS delay it.",
        tasks=50,
        countdown_s=15,
    ),
    Case(
        "twice",
        "one message in four is delivered twice",
        "Celery has no record of what has run. SQS promises delivery at least once.",
        copies=0.25,
    ),
    Case(
        "chord",
        "chords of ten, one member in ten is delivered twice",
        "Celery's DynamoDB backend counts members with a number, which a second delivery raises "
        "too; Caraway counts them in a set.",
        chords=40,
        copies=0.1,
    ),
)
BY_NAME: Final = {case.name: case for case in CASES}
