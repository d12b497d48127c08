"""Where an owner's schedules are stored: rules of EventBridge, or EventBridge Scheduler.

One of them holds all of an app's schedules; whether a role for Scheduler is set says which. What is
still in the other one is moved by the next sync.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

from caraway.core.rule_store import RULE_LIMIT, RuleStore
from caraway.core.schedule_store import ScheduleStore
from caraway.exceptions import ImproperlyConfigured
from caraway.lean import dataclass
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from caraway.core.port import Aws
    from caraway.core.scheduling import Scheduling
    from caraway.core.stored import Held, Kept, Kind, Origin, Owner, Put, Stored
    from caraway.requests.base import Json


class Store(Protocol):
    """Keeps the schedules of one owner.

    What changes anything takes many at once, asks for all of them, and gives each one's failure in
    its place, None for what succeeded. Each may be repeated.
    """

    @property
    def owner(self) -> Owner:
        """Whose schedules it keeps."""
        ...

    @property
    def kind(self) -> Kind:
        """What it keeps."""
        ...

    def name_of(self, stored: Stored) -> str:
        """Return the name under which it is kept."""
        ...

    def digits_of(self, stored: Stored) -> str:
        """Return what its mark says of its content."""
        ...

    def check(self, stored: Stored) -> None:
        """Raise :class:`~caraway.exceptions.InvalidOption` for what the store does not take."""
        ...

    def resource(self, stored: Stored, queue_arn: Json) -> dict[str, Json]:
        """Return it as a resource of CloudFormation."""
        ...

    async def kept(
        self,
        aws: Aws,
        origin: Origin | None = None,
        entry: str | None = None,
        pages: float = inf,
    ) -> list[Kept]:
        """List the owner's schedules: all, of one origin, or of one entry; of some pages at most.

        Rules without a mark, whose tags are not looked at, are among them, and of a single entry
        also those that are named alike: :meth:`read` tells.
        """
        ...

    async def read(self, aws: Aws, kept: Sequence[Kept]) -> list[Held | None]:
        """Read schedules as a whole; None for what is gone, or not the owner's after all."""
        ...

    async def admit(self, aws: Aws, new: Sequence[Stored]) -> None:
        """Say whether new schedules from code can be created.

        Raises
        ------
        ImproperlyConfigured
            If not so many more fit, or one of the entries was made at run time.
        """
        ...

    async def put(self, aws: Aws, puts: Sequence[Put]) -> list[Exception | None]:
        """Create schedules, or replace those before; what has another name is not deleted."""
        ...

    async def switch(self, aws: Aws, held: Sequence[Held], *, on: bool) -> list[Exception | None]:
        """Let schedules fire, or pause them."""
        ...

    async def remove(self, aws: Aws, held: Sequence[Held]) -> list[Exception | None]:
        """Delete schedules; one that is gone is no failure."""
        ...


@dataclass(frozen=True)
class Stores:
    """The store that an app uses, and the other one, in which something may be left."""

    current: Store
    other: Store

    @classmethod
    def of(
        cls,
        owner: Owner,
        scheduling: Scheduling | None = None,
        group: str = "default",
        rule_limit: int = RULE_LIMIT,
    ) -> Stores:
        """Return an owner's stores.

        Parameters
        ----------
        scheduling
            None keeps schedules as rules.
        group
            The schedule group in which schedules may be left, where there is no role any more.
        rule_limit
            Rules that the event bus takes.
        """
        rules = RuleStore(owner, rule_limit)
        if scheduling is None:
            return cls(rules, ScheduleStore(owner, group))
        return cls(ScheduleStore(owner, scheduling.group, scheduling.role_arn), rules)


async def find(aws: Aws, store: Store, entry: str) -> list[Held]:
    """Return what a store has of an entry, whoever made it.

    That is one schedule; two in Scheduler where a change of it was cut short, or was made by two at
    once.
    """
    read = await store.read(aws, await store.kept(aws, entry=entry))
    found = [held for held in read if held and held.stored.entry == entry]
    return [held for held in found if held.stored.origin == found[0].stored.origin]


async def queue_arns(aws: Aws, queues: Iterable[str]) -> dict[str, str]:
    """Return the ARNs of queues, by their names.

    Raises
    ------
    ImproperlyConfigured
        If a FIFO queue cannot be sent to by EventBridge.
    ResourceMissing
        If a queue does not exist.
    """
    return {queue: await _queue_arn(aws, queue) for queue in sorted(set(queues))}


async def _queue_arn(aws: Aws, name: str) -> str:
    attributes = await aws.perform(GetQueueAttributes(await aws.perform(GetQueueUrl(name))))
    fifo = attributes.get("FifoQueue") == "true"
    if fifo and attributes.get("ContentBasedDeduplication") != "true":
        raise ImproperlyConfigured(
            f"queue {name!r}: EventBridge sends to a FIFO queue only if its "
            "ContentBasedDeduplication is on: set it in the template, or schedule the task on a "
            "standard queue"
        )
    return attributes["QueueArn"]
