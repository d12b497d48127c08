"""Faults as values, and the seeded plan that decides which request meets which.

A decision depends on the seed, the operation and how many of it came before, and on nothing else:
the same seed meets the hundredth ``DeleteMessageBatch`` with the same fault again.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["bad_request", "internal", "unavailable", "throttled", "expired"]


@dataclass(frozen=True)
class Delay:
    """The request arrives later, or its response does; each by up to so many seconds."""

    request_s: float = 0.0
    response_s: float = 0.0


@dataclass(frozen=True)
class Lose:
    """The connection breaks off without a response: before the request arrived, or after.

    ``reset`` ends it with a TCP reset instead of a close.
    """

    executed: bool
    reset: bool = False


@dataclass(frozen=True)
class Refuse:
    """AWS answers with an error, in the service's own shape, and does nothing."""

    kind: Kind


@dataclass(frozen=True)
class FailEntries:
    """Some entries of a batch fail, each with this probability; perhaps only so it is said.

    Of SQS's batches, and of the statements that DynamoDB takes together.
    """

    share: float
    executed: bool = False

    def draw(self, chance: Random, count: int) -> dict[int, float]:
        """Return which of so many entries fail, each with a number that decides how."""
        drawn = [(chance.random(), chance.random()) for _ in range(count)]
        return {place: by for place, (at, by) in enumerate(drawn) if at < self.share}


@dataclass(frozen=True)
class Redeliver:
    """A receive hands out one of its messages twice."""


@dataclass(frozen=True)
class Resend:
    """A copy of a received message comes again so many seconds later, as SQS may do."""

    delay_s: int = 0


Fault: TypeAlias = Delay | Lose | Refuse | FailEntries | Redeliver | Resend


@dataclass(frozen=True)
class Rule:
    """Which operations meet a fault, and how often.

    Attributes
    ----------
    operations
        A pattern of ``service:Operation``, such as ``sqs:*Batch``.
    together
        So many requests of an operation that follow each other meet it or do not: the SDKs ask
        three times, and an outage outlasts that.
    """

    operations: str
    fault: Fault
    probability: float
    together: int = 1

    def concerns(self, operation: str) -> bool:
        """Say whether an operation may meet it."""
        return fnmatchcase(operation, self.operations)


@dataclass(frozen=True)
class Plan:
    """All that may go wrong in a run.

    Attributes
    ----------
    seed
        Repeats the run's decisions.
    """

    seed: int
    rules: tuple[Rule, ...] = ()

    def decide(self, operation: str, number: int) -> Fault | None:
        """Return what the ``number``-th request of an operation meets, None for nothing.

        Each rule that concerns it is tried in order; the first that strikes is the one.
        """
        for place, rule in enumerate(self.rules):
            if rule.concerns(operation):
                chance = self.chance(operation, number // rule.together, f"rule {place}")
                if chance.random() < rule.probability:
                    return rule.fault
        return None

    def chance(self, operation: str, number: int, purpose: str) -> Random:
        """Return the chance that decides one thing about one request."""
        return Random(f"{self.seed}/{operation}/{number}/{purpose}")


NOTHING: Final = Plan(0)
"""Nothing goes wrong."""
