"""A load: how many tasks, what each of them is like, and what runs them."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from caraway.exceptions import InvalidOption
from caraway.lean import dataclass

Architecture: TypeAlias = Literal["arm64", "x86_64"]
Network: TypeAlias = Literal["public", "nat", "endpoints"]

DAY_S: Final = 86_400
MONTH_DAYS: Final = 730 / 24
"""A month as AWS's price lists have it: 730 hours."""
CPU_SHARE: Final = 0.2
"""Part of a task's time that is CPU, where the workload does not say: most tasks wait for others.
"""

_RANGES: Final[dict[str, tuple[float, float]]] = {
    "tasks_per_day": (1, 1e12),
    "mean_ms": (0.1, 43_200_000),
    "payload_kb": (0, 1_048_576),
    "result_kb": (0, 1_048_576),
    "result_reads": (0, 1_000),
    "retries": (0, 100),
    "chord_share": (0, 1),
    "scheduled_per_day": (0, 1e12),
    "log_kb": (0, 10_240),
    "sent_together": (1, 10),
    "batch_size": (1, 10),
    "memory_mb": (128, 10_240),
    "lambda_concurrency": (1, 1_000),
    "account_concurrency": (1, 10_000_000),
    "vcpus": (0.25, 16),
    "worker_gb": (0.5, 120),
    "worker_concurrency": (1, 1_000),
    "utilisation": (0.05, 1),
    "queues": (1, 10_000),
    "burst_factor": (1, 10_000),
    "burst_minutes": (0, 43_200),
}


@dataclass(frozen=True)
class Workload:
    """A load. The defaults are those of the templates where these decide.

    Attributes
    ----------
    tasks_per_day
        Tasks sent a day; the members of a chord and its body count, retries do not.
    mean_ms
        How long one takes on average, in milliseconds.
    cpu_ms
        How much of that it computes; :data:`CPU_SHARE` of it by default.
    payload_kb, result_kb
        Its arguments and its result as JSON, in KiB.
    idempotent, ignore_result
        The task's options of these names.
    result_reads
        How often each result is read. One who waits for it reads it as often as it looks: twice for
        a task that ends at once, 15 times in a second.
    retries
        Retries for each task, on average: 0.02 is one in fifty.
    chord_share
        Part of the tasks that are members of a chord, 0 to 1.
    scheduled_per_day
        Messages a day that EventBridge Scheduler sends; its rules cost nothing.
    log_kb
        What a task itself logs, in KiB.
    fifo
        Whether the queues are FIFO.
    sent_together
        Messages in one send, 1 to 10: 1 is a lone ``delay()``, 10 a group, or many calls at once.
    batch_size
        Messages in one receive, and in one invocation, 1 to 10: 10 while messages wait.
    memory_mb
        Memory of the Lambda function, in MiB.
    lambda_concurrency
        Tasks that an invocation runs at a time: the ``concurrency`` of its handler.
    account_concurrency
        The account's quota of concurrent invocations.
    vcpus, worker_gb
        Size of an ECS worker.
    worker_concurrency
        Tasks that it runs at a time.
    spot
        Whether the workers run on Fargate Spot.
    network
        How ECS workers reach AWS: ``public`` addresses, a ``nat`` gateway, or interface
        ``endpoints``.
    utilisation
        Part of the workers' capacity that the average load uses.
    architecture
        Of function and workers.
    queues
        Queues that share the load, each with an event source of its own.
    burst_factor, burst_minutes
        A burst: so many times the average load, for so long.

    Raises
    ------
    InvalidOption
        If a value is no number, out of range, or contradicts another one.
    """

    tasks_per_day: float
    mean_ms: float = 200.0
    cpu_ms: float | None = None
    payload_kb: float = 1.0
    result_kb: float = 0.1
    idempotent: bool = False
    ignore_result: bool = False
    result_reads: float = 0.0
    retries: float = 0.0
    chord_share: float = 0.0
    scheduled_per_day: float = 0.0
    log_kb: float = 0.0
    fifo: bool = False
    sent_together: int = 1
    batch_size: int = 10
    memory_mb: int = 512
    lambda_concurrency: int = 1
    account_concurrency: int = 1_000
    vcpus: float = 0.5
    worker_gb: float = 1.0
    worker_concurrency: int = 8
    spot: bool = False
    network: Network = "public"
    utilisation: float = 0.7
    architecture: Architecture = "arm64"
    queues: int = 1
    burst_factor: float = 3.0
    burst_minutes: float = 10.0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # neither does "not a number"
                raise InvalidOption(f"{name} = {value:g}: expected {least:g} to {most:,.0f}")
        if not 0 <= self.task_cpu_ms <= self.mean_ms:
            raise InvalidOption(
                f"cpu_ms = {self.cpu_ms:g}: a task that takes {self.mean_ms:g} ms computes for 0 "
                f"to {self.mean_ms:g} of them"
            )
        if self.ignore_result and self.result_reads:
            raise InvalidOption(
                "result_reads: with ignore_result there is no result to read; leave one of them out"
            )
        if self.scheduled_per_day > self.tasks_per_day:
            raise InvalidOption(
                f"scheduled_per_day = {self.scheduled_per_day:g}: these are some of the "
                f"{self.tasks_per_day:g} tasks a day"
            )
        if not 2 <= self.worker_gb / self.vcpus <= 8:
            raise InvalidOption(
                f"worker_gb = {self.worker_gb:g}: Fargate gives {self.vcpus:g} vCPU between "
                f"{2 * self.vcpus:g} and {8 * self.vcpus:g} GB"
            )

    @property
    def task_cpu_ms(self) -> float:
        """Milliseconds for which a task computes."""
        return CPU_SHARE * self.mean_ms if self.cpu_ms is None else self.cpu_ms

    @property
    def per_second(self) -> float:
        """Attempts a second that the average load asks for."""
        return self.tasks_per_day / DAY_S * (1 + self.retries)

    @property
    def per_month(self) -> float:
        """Tasks a month."""
        return self.tasks_per_day * MONTH_DAYS
