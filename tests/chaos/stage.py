"""Where a run takes place: the engine, the proxy before it, and what leads others to them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.core.routing import Queue

if TYPE_CHECKING:
    from caraway.local.engine import LocalEngine
    from tests.chaos.proxy import Proxy
    from tests.chaos.scenarios import Scenario

ROOT: Final = Path(__file__).parents[2]
PREFIX: Final = "chaos-"
TABLE: Final = "chaos-tasks"
SLOWEST: Final = 4.0
"""More is not made of a busy machine: a test that takes ten minutes is one that hangs."""


def slowness() -> float:
    """Return how many times longer things take here than on a machine that has time for them.

    Where twenty processes want two CPUs, a function that is there after three seconds otherwise
    takes half a minute to start, and no message of its queue moves meanwhile.
    """
    return min(SLOWEST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


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
