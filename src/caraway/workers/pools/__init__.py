"""Where user code runs in a worker: the pools of ``caraway worker -P``."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from caraway.exceptions import ImproperlyConfigured, nearest
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.app import Caraway
    from caraway.core.port import Outcome
    from caraway.settings import Settings
    from caraway.workers.pools.processes import Limits

POOLS: Final = ("threads", "asyncio", "solo", "prefork", "gevent")
_CHILDREN: Final = ("prefork", "gevent")
"""Those with child processes."""
_AT_ONCE: Final = {"threads": 10, "asyncio": 10, "solo": 1, "gevent": 100}
"""Tasks at a time where nothing says how many; of prefork as many as there are CPUs."""


class Pool(Protocol):
    """Runs user code for a worker.

    Attributes
    ----------
    name
        As ``-P`` has it.
    concurrency
        Tasks at a time.
    ends_functions
        Whether it can end plain functions, and so hold their time limits. Coroutines it always can.
    """

    name: str
    concurrency: int
    ends_functions: bool

    def start(self) -> None:
        """Do what must be done before there are threads and an event loop."""
        ...

    async def open(self) -> None:
        """Wait until it can run user code."""
        ...

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code where it belongs; its outcome is a value."""
        ...

    def stop(self, token: str, signal: str) -> None:
        """End the user code that runs under a claim: its outcome is ``Stopped``.

        What cannot be ended is not waited for any more. ``signal`` is for a process.
        """
        ...

    @property
    def leaves_behind(self) -> bool:
        """Whether user code still runs that nobody waits for."""
        ...

    async def close(self) -> None:
        """Let go of everything; user code that still runs is not waited for."""
        ...


@dataclass(frozen=True)
class PoolOptions:
    """What is asked of a pool.

    Attributes
    ----------
    concurrency
        Tasks at a time; None: the pool's own default.
    autoscale
        Fewest and most child processes.
    max_tasks_per_child, max_memory_per_child
        When a child process is replaced: after so many tasks; above so many KiB.
    app_name
        ``module:attribute``, for a pool that imports the app again.
    """

    name: str = "threads"
    concurrency: int | None = None
    autoscale: tuple[int, int] | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    app_name: str | None = None

    def over_settings(self, conf: Settings) -> PoolOptions:
        """Return these options, with those of the settings where they say nothing and can hold."""
        options = self
        if self.concurrency is None and self.name != "solo":
            options = replace(options, concurrency=conf.worker_concurrency)
        if self.name not in _CHILDREN:
            return options
        return replace(
            options,
            max_tasks_per_child=self.max_tasks_per_child or conf.worker_max_tasks_per_child,
            max_memory_per_child=self.max_memory_per_child or conf.worker_max_memory_per_child,
        )

    def describe(self) -> str:
        """Return what a worker says about its pool when it starts."""
        if self.autoscale is not None:
            return "{} to {} ({})".format(*self.autoscale, self.name)
        return f"{self.at_once} ({self.name})"

    @property
    def at_once(self) -> int:
        """Tasks at a time."""
        if self.autoscale is not None:
            return max(self.autoscale)
        if self.concurrency is not None:
            return self.concurrency
        return _AT_ONCE.get(self.name) or cpus()


def cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_pool(options: PoolOptions, app: Caraway) -> Pool:
    """Return a pool for the tasks of an app.

    Raises
    ------
    ImproperlyConfigured
        If there is no such pool, or it cannot be as it is asked for.
    """
    _check(options)
    if options.name == "prefork":
        from caraway.workers.pools.forking import ForkNursery
        from caraway.workers.pools.processes import ProcessPool
        from caraway.workers.pools.serving import serve

        nursery = ForkNursery(lambda connection: serve(connection, app.tasks))
        return ProcessPool("prefork", nursery, app.tasks, _limits(options))
    if options.name == "gevent":
        from caraway.workers.pools.greenlets import GeventNursery, GeventPool

        return GeventPool(GeventNursery(options.app_name), app.tasks, _limits(options))
    from caraway.workers.pools.threads import AsyncioPool, SoloPool, ThreadPool

    kinds = {"threads": ThreadPool, "asyncio": AsyncioPool, "solo": SoloPool}
    return kinds[options.name](options.at_once)


def _check(options: PoolOptions) -> None:
    """Refuse a pool that cannot be as it is asked for."""
    name = options.name
    if name not in POOLS:
        known = ", ".join(POOLS[:-1])
        raise ImproperlyConfigured(
            f"no pool named {name!r}{nearest(name, POOLS)}: use {known} or {POOLS[-1]}"
        )
    if options.at_once < 1:
        raise ImproperlyConfigured(
            f"-c {options.at_once}: a worker runs at least one task at a time"
        )
    if name == "prefork":
        return
    if options.autoscale is not None:
        raise ImproperlyConfigured(
            f"--autoscale starts and ends child processes, and -P {name} does not: use "
            f"-c {options.at_once}, as a slot that is not used costs nothing, or -P prefork"
        )
    if name in _CHILDREN:
        return
    for option in ("max_tasks_per_child", "max_memory_per_child"):
        if getattr(options, option) is not None:
            raise ImproperlyConfigured(
                f"--{option.replace('_', '-')} replaces child processes, and -P {name} has "
                "none: use -P prefork"
            )


def _limits(options: PoolOptions) -> Limits:
    from caraway.workers.pools.processes import Limits

    in_greenlets = options.name == "gevent"
    fewest, most = options.autoscale or (options.at_once, options.at_once)
    return Limits(
        fewest=1 if in_greenlets else fewest,
        most=1 if in_greenlets else most,
        calls_each=options.at_once if in_greenlets else 1,
        tasks_per_child=options.max_tasks_per_child,
        memory_per_child_kb=options.max_memory_per_child,
    )
