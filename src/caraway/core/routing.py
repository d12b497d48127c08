"""Which queue a task goes to, by the task's name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from caraway.exceptions import (
    ImproperlyConfigured,
    InvalidOption,
    QueueNotFound,
    UnknownOption,
    nearest,
)
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

Consumer: TypeAlias = Literal["lambda", "ecs"]
RouterFunction: TypeAlias = Callable[..., Any]
"""Called as ``router(name, args, kwargs, options, task=None)``, as in Celery; returns a queue's
name, ``{"queue": name}``, or None to pass."""

FIFO_SUFFIX: Final = ".fifo"
MAP: Final = "caraway.map"
STARMAP: Final = "caraway.starmap"
"""Tasks that call another one, their argument ``task``, many times within one run."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}")


_TYPES: Final[tuple[tuple[tuple[str, ...], tuple[type, ...], str], ...]] = (
    (("name",), (str,), "text"),
    (("dead_letter_queue",), (str, type(None)), "a queue's name"),
    (("fifo",), (bool,), "True or False"),
    (("visibility_timeout_s", "max_receive_count", "retention_s"), (int,), "a whole number"),
)


@dataclass(frozen=True)
class Queue:
    """A queue, and who consumes it.

    Parameters
    ----------
    name
        As tasks and routes name it: letters, digits, ``-`` and ``_``, at most 75 characters. A
        trailing ``.fifo`` makes it a FIFO queue.
    consumer
        ``"lambda"`` (default) or ``"ecs"``: which door runs its tasks.
    visibility_timeout_s
        How long a received message stays hidden, 1 to 43,200 seconds. On ECS it is also the lease
        that a heartbeat renews; on Lambda it should be six times the function's time-out.
    fifo
        Whether SQS keeps order within message groups.
    max_receive_count
        SQS's own backstop. Receives are no failures, so it is high: 1,000.
    dead_letter_queue
        Name of the dead-letter queue; by default the queue's name and ``-dlq``.
    retention_s
        How long SQS keeps a message, 60 to 1,209,600 seconds (14 days, the default).
    """

    name: str
    consumer: Consumer = "lambda"
    visibility_timeout_s: int = 360
    fifo: bool = False
    max_receive_count: int = 1000
    dead_letter_queue: str | None = None
    retention_s: int = 1_209_600

    if not TYPE_CHECKING:

        def __new__(cls, *_args: object, **options: object) -> Self:
            """Refuse an option that no queue has, with the nearest."""
            for name in options.keys() - cls.__dataclass_fields__.keys():
                near = nearest(name, cls.__dataclass_fields__)
                raise UnknownOption(f"a queue has no option named {name!r}{near}")
            return object.__new__(cls)

    def __post_init__(self) -> None:
        self._check_types()
        if self.name.endswith(FIFO_SUFFIX):
            object.__setattr__(self, "name", self.name.removesuffix(FIFO_SUFFIX))
            object.__setattr__(self, "fifo", True)
        if not _NAME.fullmatch(self.name):
            raise ImproperlyConfigured(
                f"queue name {self.name!r}: use letters, digits, '-' and '_', at most 75 characters"
            )
        if self.consumer not in get_args(Consumer):
            raise ImproperlyConfigured(
                f"queue {self.name!r}: consumer={self.consumer!r} is neither 'lambda' nor 'ecs'"
                + nearest(str(self.consumer), get_args(Consumer))
            )
        if not 1 <= self.visibility_timeout_s <= 43_200:
            raise ImproperlyConfigured(
                f"queue {self.name!r}: visibility_timeout_s={self.visibility_timeout_s} "
                "is not within SQS's 1 to 43200 seconds"
            )
        if not 1 <= self.max_receive_count <= 1000:
            raise ImproperlyConfigured(
                f"queue {self.name!r}: max_receive_count={self.max_receive_count} "
                "is not within SQS's 1 to 1000"
            )
        if not 60 <= self.retention_s <= 1_209_600:
            raise ImproperlyConfigured(
                f"queue {self.name!r}: retention_s={self.retention_s} "
                "is not within SQS's 60 to 1209600 seconds (14 days)"
            )

    def _check_types(self) -> None:
        """Refuse a value that only SQS, or a worker, would stumble over."""
        for names, kinds, expected in _TYPES:
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                    raise ImproperlyConfigured(
                        f"queue {self.name!r}: {name}={value!r:.80}: expected {expected}"
                    )

    def sqs_name(self, prefix: str = "") -> str:
        """Return the queue's name in SQS."""
        return f"{prefix}{self.name}{FIFO_SUFFIX if self.fifo else ''}"

    def dead_letter_sqs_name(self, prefix: str = "") -> str:
        """Return the name in SQS of its dead-letter queue."""
        name = self.dead_letter_queue or f"{self.name}-dlq"
        return f"{prefix}{name.removesuffix(FIFO_SUFFIX)}{FIFO_SUFFIX if self.fifo else ''}"


@dataclass(frozen=True)
class _Rule:
    """One entry of ``task_routes``: either a pattern and its queue, or a router function."""

    matches: Callable[[str], bool]
    target: RouterFunction | Queue | str
    exact: bool = False

    def queue(self, name: str, args: Any, kwargs: Any, options: Mapping[str, Any]) -> str | None:
        if not self.matches(name):
            return None
        if isinstance(self.target, str | Queue):
            return _name_of(self.target)
        chosen = self.target(name, args, kwargs, dict(options), task=None)
        return _name_of(_queue_of(chosen, self.target))


def _name_of(queue: Queue | str | None) -> str | None:
    return queue.name if isinstance(queue, Queue) else queue


def _queue_of(target: Any, where: object) -> Queue | str | None:
    """Return the queue, or its name, that a route's right side holds."""
    match target:
        case None | str() | Queue():
            return target
        case Mapping():
            extra = set(target) - {"queue"}
            if extra or not isinstance(target.get("queue"), str | Queue):
                raise ImproperlyConfigured(
                    f"task_routes: {where!r} -> {dict(target)!r}: a route takes 'queue' only; "
                    "SQS has no exchanges, routing keys or priorities"
                )
            return _queue_of(target["queue"], where)
        case _:
            raise ImproperlyConfigured(
                f"task_routes: {where!r} -> {target!r}: expected a queue or {{'queue': name}}"
            )


def _rule(pattern: str | re.Pattern[str], target: RouterFunction | Queue | str) -> _Rule:
    if isinstance(pattern, re.Pattern):
        return _Rule(lambda name: pattern.match(name) is not None, target)
    if any(wild in pattern for wild in "*?["):
        expression = re.compile(fnmatch.translate(pattern))
        return _Rule(lambda name: expression.match(name) is not None, target)
    return _Rule(lambda name: name == pattern, target, exact=True)


def _rules(routes: Any) -> Iterable[_Rule]:
    """Read ``task_routes`` in any of Celery's shapes."""
    match routes:
        case None:
            return
        case Mapping():
            for pattern, target in routes.items():
                queue = target if callable(target) else _queue_of(target, pattern)
                if queue is None:
                    raise ImproperlyConfigured(f"task_routes: {pattern!r} names no queue")
                yield _rule(pattern, queue)
        case [str() | re.Pattern() as pattern, str() | Mapping() | Queue() as target]:
            yield from _rules({pattern: target})
        case list() | tuple():
            for entry in routes:
                yield from _rules(entry)
        case _ if callable(routes):
            yield _Rule(lambda _name: True, routes)
        case _:
            raise ImproperlyConfigured(
                f"task_routes: {routes!r}: expected a mapping of patterns to queues, "
                "a router function, or a list of these"
            )


def _asked_for(queue: object) -> str | None:
    """Return the queue's name that a call, or a task, asks for itself.

    Raises
    ------
    InvalidOption
        If it is neither a queue nor a name.
    """
    if queue is None or isinstance(queue, str | Queue):
        return _name_of(queue)
    raise InvalidOption(f"queue={queue!r:.80}: expected a queue's name, or a caraway.Queue")


class Router:
    """Chooses the queue of a task: the one it asks for, else the first route's, else the default.

    A queue exists by being named in ``task_queues``, in the right side of a route, or as the
    default. Exact names, globs (``reports.*``) and compiled regular expressions are tried in the
    order in which they are written, exact names first.

    Raises
    ------
    ImproperlyConfigured
        If two queues of one name differ, or ``task_routes`` has another shape.
    """

    def __init__(
        self, queues: Sequence[Queue | str] = (), routes: Any = None, default: str = "default"
    ) -> None:
        self.default = default
        self.queues: dict[str, Queue] = {}
        rules = list(_rules(routes))
        routed = [rule.target for rule in rules if isinstance(rule.target, str | Queue)]
        named = [*queues, default, *routed]
        # Declared queues first: a name alone says nothing of the queue, but that it is FIFO.
        for each in sorted(named, key=lambda each: isinstance(each, str)):
            queue = Queue(each) if isinstance(each, str) else each
            known = self.queues.setdefault(queue.name, queue)
            declared_twice = isinstance(each, Queue) and known != queue
            if declared_twice or (queue.fifo and not known.fifo):
                raise ImproperlyConfigured(
                    f"task_queues, task_routes: two different queues named {queue.name!r}"
                )
        self._rules = sorted(rules, key=lambda rule: not rule.exact)

    def queue(self, name: str) -> Queue:
        """Return a queue by its name.

        Raises
        ------
        QueueNotFound
            If no setting names it; the message suggests the nearest.
        """
        found = self.queues.get(name.removesuffix(FIFO_SUFFIX))
        if found is None:
            raise QueueNotFound(
                f"no queue named {name!r}{nearest(name, self.queues)}; "
                "name it in task_queues or task_routes"
            )
        return found

    def queue_of_all(self, name: str, options: Mapping[str, Any]) -> Queue | None:
        """Return the queue of every call of a task with these options, as :meth:`route` would.

        None where it takes more than the name: for a router function, or for a map.
        """
        first = next((rule for rule in self._rules if rule.matches(name)), None)
        is_asked = first is not None and callable(first.target) and options.get("queue") is None
        return None if is_asked or name in (MAP, STARMAP) else self.route(name, options=options)

    def route(
        self,
        name: str,
        args: Any = (),
        kwargs: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> Queue:
        """Return the queue for a task of that name.

        ``options["queue"]``, where given, wins over every route. A map goes where the task goes
        that it calls.
        """
        options = options or {}
        if name in (MAP, STARMAP) and isinstance(mapped := (kwargs or {}).get("task"), Mapping):
            name = mapped.get("task", name)
        chosen = _asked_for(options.get("queue"))
        for rule in self._rules:
            if chosen is not None:
                break
            chosen = rule.queue(name, args, kwargs or {}, options)
        return self.queue(chosen if chosen is not None else self.default)
