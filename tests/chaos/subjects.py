"""Workloads with one subject each: what a mixture of everything would show too seldom."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from caraway import chain, chord
from caraway.core.ids import derived_id
from tests.chaos import app as tasks
from tests.chaos.history import Sent
from tests.chaos.workload import (
    FIFO_QUEUES,
    QUEUES,
    SHORT_S,
    Call,
    Door,
    Stop,
    duration_s,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway import Signature

GROUP_SIZE: Final = 20
KILLER_SHARE: Final = 0.02


def at_most_once(seed: int, run: str, count: int, doors: tuple[Door, ...]) -> Iterator[Call]:
    """Give tasks that may begin once, however they end."""
    rng = Random(f"at most once {seed}")
    for n in range(count):
        id, door = derived_id(run, seed, n), rng.choice(doors)
        # Longer than others: most of them shall run when somebody is killed.
        seconds = round(rng.uniform(0, 4 * SHORT_S) + duration_s(rng, door), 3)
        ending = Sent(id, "SUCCESS", n * 7, may_be_lost=True, begins=1)
        yield Call(id, "once", (n, seconds), QUEUES[door], endings=(ending,))


def fifo(seed: int, run: str, count: int, doors: tuple[Door, ...]) -> Iterator[Call]:
    """Give groups of messages whose order is kept, with retries, failures and dead letters."""
    rng = Random(f"fifo {seed}")
    for n in range(count):
        group = n // GROUP_SIZE
        id, door = derived_id(run, seed, n), doors[group % len(doors)]
        name, seconds = f"group-{group}", round(rng.uniform(0, SHORT_S), 3)
        if door == "ecs" and rng.random() < 0.02:
            seconds = round(duration_s(rng, door), 3)
        kind = rng.choices(("usual", "flaky", "failing", "rejected"), (78, 12, 6, 4))[0]
        args: tuple[Any, ...] = (n, seconds, 1) if kind == "flaky" else (n, seconds)
        ending = {
            "usual": Sent(id, "SUCCESS", n * 7, group=name),
            "flaky": Sent(id, "SUCCESS", [n, 1], group=name),
            "failing": Sent(id, "FAILURE", "ValueError", group=name),
            "rejected": Sent(id, "FAILURE", "Reject", dead_letter=True, group=name),
        }[kind]
        yield Call(id, kind, args, FIFO_QUEUES[door], endings=(ending,), group=name)


def quarantine(seed: int, run: str, count: int, doors: tuple[Door, ...]) -> Iterator[Call]:
    """Give the usual mixture, and in it tasks that kill whoever runs them."""
    rng = Random(f"quarantine {seed}")
    for n, call in enumerate(workload(seed, run, count, doors)):
        if len(call.endings) > 1 or rng.random() >= KILLER_SHARE:
            yield call
            continue
        ending = Sent(
            call.id,
            "FAILURE",
            "WorkerLostError",
            dead_letter=True,
            runs=False,
            begins=tasks.MAX_DELIVERIES,
            uncounted=True,
        )
        yield Call(call.id, "killer", (n,), call.queue, endings=(ending,))


def revoked(seed: int, run: str, count: int, doors: tuple[Door, ...]) -> Iterator[Call]:
    """Give tasks that wait, are delayed, retry or run when they are revoked, half of them."""
    rng = Random(f"revoked {seed}")
    for n in range(count):
        id, door = derived_id(run, seed, n), rng.choice(doors)
        long_s = rng.uniform(0.2, 4.0 if door == "ecs" else 1.0)
        seconds = round(long_s if rng.random() < 0.3 else rng.uniform(0, SHORT_S), 3)
        flaky = rng.random() < 0.2
        args: tuple[Any, ...] = (n, min(seconds, 1.0), 2) if flaky else (n, seconds)
        ending = Sent(id, "SUCCESS", [n, 2] if flaky else n * 7)
        stop = Stop(round(rng.uniform(0, 6), 3), terminate=rng.random() < 0.5)
        yield Call(
            id,
            "flaky" if flaky else "usual",
            args,
            QUEUES[door],
            endings=(ending,),
            countdown_s=rng.choice((0, 0, 0, 1, 3)),
            stop=stop if rng.random() < 0.5 else None,
        )


def workflows(seed: int, run: str, count: int, doors: tuple[Door, ...]) -> Iterator[Call]:
    """Give chains and chords, some with a member that fails; each task of them counts."""
    rng = Random(f"workflows {seed}")
    made = number = 0
    while made < count:
        number += 1
        canvas, endings = _canvas(rng, derived_id(run, seed, number), number, doors)
        made += len(endings)
        yield Call(endings[-1].id, "", (), "", endings=tuple(endings), canvas=canvas)


def _canvas(
    rng: Random, id: str, n: int, doors: tuple[Door, ...]
) -> tuple[Signature[Any], list[Sent]]:
    """Return a canvas whose ids are decided, and the ending of each of its tasks, the last last."""

    def placed(signature: Signature[Any]) -> Signature[Any]:
        return signature.set(queue=QUEUES[rng.choice(doors)])

    def some_s() -> float:
        return round(rng.uniform(0, SHORT_S), 3)

    if rng.random() < 0.3:
        links = [placed(tasks.usual.s(n, some_s()))]
        links += [placed(tasks.after.s()) for _ in range(rng.randint(1, 4))]
        canvas: Signature[Any] = chain(*links)
        ids: list[str] = []
        link: Any = canvas.freeze(id)
        while link is not None:
            ids.insert(0, link.id)
            link = link.parent
        return canvas, [Sent(each, "SUCCESS", n * 7 + place) for place, each in enumerate(ids)]
    size = rng.randint(2, 8)
    fails = rng.randrange(size) if rng.random() < 0.15 else None
    members = [
        placed((tasks.failing if place == fails else tasks.usual).s(n + place, some_s()))
        for place in range(size)
    ]
    canvas = chord(members, placed(tasks.total.s()))
    body: Any = canvas.freeze(id)
    endings = [
        Sent(member.id, "FAILURE", "ValueError")
        if place == fails
        else Sent(member.id, "SUCCESS", (n + place) * 7)
        for place, member in enumerate(body.parent.results)
    ]
    if fails is not None:
        return canvas, [*endings, Sent(body.id, "FAILURE", "ChordError", runs=False, begins=0)]
    value = sum((n + place) * 7 for place in range(size))
    return canvas, [*endings, Sent(body.id, "SUCCESS", value)]


WORKLOADS: Final[dict[str, Callable[[int, str, int, tuple[Door, ...]], Iterator[Call]]]] = {
    "mixture": workload,
    "at_most_once": at_most_once,
    "fifo": fifo,
    "quarantine": quarantine,
    "revoked": revoked,
    "workflows": workflows,
}
