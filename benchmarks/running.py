"""A system at work: a producer that is told what to send, and a worker that can be paused."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks import marks
from benchmarks.processes import ROOT, Group

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from benchmarks.brokers import Broker
    from benchmarks.systems import System

WARM_UP = 20
PATIENCE_S = 180.0
QUIET_S = 0.5
"""After so long without a request but receives a worker has settled what it has run."""
_LOOK_S = 0.02


@dataclass(frozen=True)
class Sent:
    """What a producer has used to send."""

    cpu_s: float
    wall_s: float
    requests: Counter[str]


@dataclass(frozen=True)
class Worked:
    """What a worker has used for tasks that were on the queue before.

    Attributes
    ----------
    wall_s
        Until the last task had run.
    cpu_s
        Of its whole process group, until everything was settled: results written, messages
        acknowledged.
    memory_mb
        By tasks run.
    """

    tasks: int
    wall_s: float
    cpu_s: float
    requests: Counter[str]
    memory_mb: dict[int, float]


class Running:
    """A system at work on a broker; see :func:`running`."""

    def __init__(self, system: System, broker: Broker, folder: Path) -> None:
        self.system, self.broker = system, broker
        self._folder = folder
        self._marks = folder / "marks"
        self._marks.touch()
        self.environ = {
            **broker.environ,
            **system.environ,
            "PYTHONPATH": str(ROOT),
            marks.VARIABLE: str(self._marks),
        }
        self._ended = 0
        self._worker: Group | None = None

    @contextmanager
    def producer(self) -> Iterator[None]:
        """Run a producer within the block."""
        command = [str(self.system.python), "-m", self.system.module]
        log = self._folder / "producer.log"
        with Group(command, self.environ, log, talks=True) as self._producer:
            yield

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run a worker within the block; it has run some tasks when the block begins."""
        command = [str(self.system.python), "-m", *self.system.worker]
        with Group(command, self.environ, self._folder / "worker.log") as self._worker:
            self.send("loop", WARM_UP)
            self.wait(WARM_UP)
            self.settle()
            yield

    def send(self, mode: str, count: int) -> Sent:
        """Let the producer send."""
        self.broker.reset()
        told = self._tell("send", mode, count)
        return Sent(told["cpu_s"], told["wall_s"], self.broker.counts())

    def profile(self, mode: str, count: int) -> dict[str, float]:
        """Let the producer send; return the seconds that each module took of its main thread."""
        told: dict[str, float] = self._tell("profile", mode, count)
        return told

    def wait_for(self, what: str, argument: int, times: int, *, tasks: int) -> list[float]:
        """Let the producer wait for results; return the seconds of each.

        Parameters
        ----------
        tasks
            How many are run for each of them.
        """
        taken = [each["wall_s"] for each in self._tell("wait", what, argument, times)]
        self.wait(tasks * times)
        return taken

    def producer_mb(self) -> float:
        """Memory of the producer."""
        return self._producer.memory_mb()

    def fill(self, mode: str, count: int) -> Sent:
        """Let the producer send while the worker is paused."""
        assert self._worker is not None
        self._worker.pause()
        return self.send(mode, count)

    def work(self, count: int, looks: int = 0) -> Worked:
        """Let the worker run what is on the queue, and look at its memory so many times."""
        assert self._worker is not None
        before = self._worker.cpu_s()
        self.broker.reset()
        began = time.perf_counter()
        self._worker.resume()
        memory_mb = {}
        for look in range(1, looks):
            part = count * look // looks
            self.wait(part, ends=False)
            memory_mb[part] = self._worker.memory_mb()
        self.wait(count)
        wall_s = time.perf_counter() - began
        if looks:
            memory_mb[count] = self._worker.memory_mb()
        requests, cpu_s = self.settle()
        return Worked(count, wall_s, cpu_s - before, requests, memory_mb)

    def wait(self, count: int, *, ends: bool = True) -> None:
        """Wait until so many more tasks have run."""
        until = time.monotonic() + PATIENCE_S
        seen = 0
        while (ran := self._marks.stat().st_size - self._ended) < count:
            if ran > seen:
                seen, until = ran, time.monotonic() + PATIENCE_S
            if time.monotonic() > until:
                raise RuntimeError(f"{self.system.name}: {ran} of {count} tasks have run")
            assert self._worker is not None
            self._worker.check()
            time.sleep(_LOOK_S)
        if ends:
            self._ended += count

    def settle(self) -> tuple[Counter[str], float]:
        """Wait until the worker is idle; return its requests, and its CPU when it became so."""
        assert self._worker is not None
        counts, cpu_s = self.broker.counts(), self._worker.cpu_s()
        since = time.monotonic()
        while time.monotonic() - since < QUIET_S:
            time.sleep(_LOOK_S)
            now = self.broker.counts()
            if now != counts:
                counts, cpu_s, since = now, self._worker.cpu_s(), time.monotonic()
        return counts, cpu_s

    def _tell(self, *command: Any) -> Any:
        return asking(self._producer, command)


def asking(process: Group, command: Any) -> Any:
    """Hand a line of JSON to a process that talks, and return its answer."""
    pipes = process.process
    assert pipes.stdin is not None
    assert pipes.stdout is not None
    pipes.stdin.write(f"{json.dumps(command)}\n".encode())
    pipes.stdin.flush()
    answer = pipes.stdout.readline()
    if not answer:
        pipes.wait()
        process.check()
    return json.loads(answer)


@contextmanager
def running(
    system: System, broker: AbstractContextManager[Broker], *, works: bool = True
) -> Iterator[Running]:
    """Run a producer of a system, and a worker if it `works`, on a broker of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        at_work = Running(system, stack.enter_context(broker), folder)
        stack.enter_context(at_work.producer())
        if works:
            stack.enter_context(at_work.worker())
        yield at_work
