"""What a run sends: tasks drawn by the seed, each with the only ending that is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from caraway.core.ids import derived_id
from tests.chaos.app import VISIBILITY_S
from tests.chaos.history import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway import Signature

Door: TypeAlias = Literal["ecs", "lambda"]
QUEUES: Final[dict[Door, str]] = {"ecs": "short", "lambda": "default"}
FIFO_QUEUES: Final[dict[Door, str]] = {"ecs": "short-orders.fifo", "lambda": "orders.fifo"}
LONG_SHARE: Final = 0.05
"""Share of the tasks that take about as long as the visibility timeout."""
SHORT_S: Final = 0.03
FOLLOWED_SHARE: Final = 0.1
_KINDS: Final = {"usual": 60, "idempotent": 12, "flaky": 14, "failing": 9, "rejected": 5}


@dataclass(frozen=True)
class Stop:
    """A revoke, so many seconds after the call was sent."""

    after_s: float
    terminate: bool


@dataclass(frozen=True)
class Call:
    """One call of the workload.

    Attributes
    ----------
    follows
        Whether a task follows its success, with its value.
    group
        That of a FIFO queue; its calls are sent one after the other.
    canvas
        What is sent in place of a task: a workflow whose ids are decided.
    """

    id: str
    task: str
    args: tuple[Any, ...]
    queue: str
    follows: bool = False
    endings: tuple[Sent, ...] = field(default=())
    """Of the task, and of what follows it."""
    group: str | None = None
    countdown_s: int = 0
    stop: Stop | None = None
    canvas: Signature[Any] | None = None


def workload(seed: int, run: str, tasks: int, doors: tuple[Door, ...]) -> Iterator[Call]:
    """Give the calls of a run; what follows a task counts as a task.

    Parameters
    ----------
    run
        Part of every id, so that no run meets the records of another.
    """
    rng = Random(f"workload {seed}")
    made = number = 0
    while made < tasks:
        number += 1
        door = rng.choice(doors)
        follows = rng.random() < FOLLOWED_SHARE and made + 1 < tasks
        call = _call(rng, derived_id(run, seed, number), number, door, follows=follows)
        made += len(call.endings)
        yield call


def _call(rng: Random, id: str, n: int, door: Door, *, follows: bool) -> Call:
    queue = QUEUES[door]
    seconds = round(duration_s(rng, door), 3)
    if door == "lambda" and rng.random() < 0.002:
        return Call(id, "overrun", (n, 0.0), queue, endings=(Sent(id, "SUCCESS", n * 7),))
    ((kind, _),) = rng.choices(list(_KINDS.items()), list(_KINDS.values()))
    if kind == "flaky":
        failures = rng.randint(1, 3)
        ending = Sent(id, "SUCCESS", [n, failures])
        return Call(id, kind, (n, min(seconds, 1.0), failures), queue, endings=(ending,))
    if kind == "failing":
        return Call(id, kind, (n, seconds), queue, endings=(Sent(id, "FAILURE", "ValueError"),))
    if kind == "rejected":
        ending = Sent(id, "FAILURE", "Reject", dead_letter=True)
        return Call(id, kind, (n, seconds), queue, endings=(ending,))
    endings = [Sent(id, "SUCCESS", n * 7, claims=kind == "usual")]
    if follows:
        endings.append(Sent(derived_id("link:0", id), "SUCCESS", n * 7 + 1))
    return Call(id, kind, (n, seconds), queue, follows, tuple(endings))


def duration_s(rng: Random, door: Door) -> float:
    """Return how long a task takes: a moment, or about as long as the visibility timeout."""
    if rng.random() >= LONG_SHARE:
        return rng.uniform(0, SHORT_S)
    if door == "lambda":
        return rng.uniform(0.2, 1.5)
    return rng.uniform(0.4, 1.7) * VISIBILITY_S
