"""The ECS door: a process that polls its queues, runs their tasks, and drains when told to."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from caraway import signals
from caraway._version import __version__
from caraway.exceptions import ImproperlyConfigured
from caraway.workers.limits import refuse_limits
from caraway.workers.logs import stdouts_logged
from caraway.workers.pools import PoolOptions, make_pool
from caraway.workers.protection import agent_of
from caraway.workers.session import Session
from caraway.workers.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caraway.app import Caraway
    from caraway.core.routing import Queue


class Worker:
    """A long-running worker.

    Parameters
    ----------
    queues
        Names of the queues to consume; by default those that the app declares with
        ``consumer="ecs"``.
    pool
        ``threads``, ``asyncio``, ``solo``, ``prefork`` or ``gevent``; the setting ``worker_pool``
        by default.
    concurrency
        Tasks at a time; the setting ``worker_concurrency`` by default.
    autoscale
        Fewest and most child processes of ``prefork``, in place of a concurrency.
    max_tasks_per_child, max_memory_per_child
        When a child process is replaced: after so many tasks; above so many KiB after one. By
        default what ``worker_max_tasks_per_child`` and ``worker_max_memory_per_child`` say.
    app_name
        ``module:attribute``: ``gevent`` imports the app again, in a process of its own.
    hostname
        Shown in logs and in ``self.request.hostname``.
    shutdown_timeout_s
        Seconds that a warm shutdown gives to running tasks; the setting
        ``worker_soft_shutdown_timeout`` by default.
    heartbeat_interval_s
        Seconds between two heartbeats; 0: none. The setting ``worker_heartbeat_interval`` by
        default.
    health_port, health_host
        Where ``/health`` is served; without a port it is not. 0 takes a free port.
    task_protection
        Whether ECS is asked to leave this container alone while a long task runs; where there is
        an agent of ECS by default.
    """

    def __init__(
        self,
        app: Caraway,
        queues: Sequence[str] | None = None,
        *,
        pool: str | None = None,
        concurrency: int | None = None,
        autoscale: tuple[int, int] | None = None,
        max_tasks_per_child: int | None = None,
        max_memory_per_child: int | None = None,
        app_name: str | None = None,
        hostname: str | None = None,
        shutdown_timeout_s: float | None = None,
        heartbeat_interval_s: float | None = None,
        health_port: int | None = None,
        health_host: str = "127.0.0.1",
        task_protection: bool | None = None,
    ) -> None:
        self.app = app.finalize()
        self.hostname = hostname or f"caraway@{socket.gethostname()}"
        conf = app.conf
        given: dict[str, object] = {"pool": pool, "concurrency": concurrency, "queues": queues}
        signals.celeryd_init.send(self.hostname, instance=self, conf=conf, options=given)
        self.queues = self._chosen(queues)
        asked = PoolOptions(
            pool or conf.worker_pool,
            concurrency,
            autoscale,
            max_tasks_per_child,
            max_memory_per_child,
            app_name,
        )
        self.pool_options = asked.over_settings(conf)
        self.pool = make_pool(self.pool_options, app)
        if not self.pool.ends_functions:
            refuse_limits(app, self.queues, self.pool.name)
        self.shutdown_timeout_s = (
            conf.worker_soft_shutdown_timeout if shutdown_timeout_s is None else shutdown_timeout_s
        )
        self.heartbeat_interval_s = (
            conf.worker_heartbeat_interval if heartbeat_interval_s is None else heartbeat_interval_s
        )
        self.ecs_agent = agent_of(task_protection)
        self.health = health_host, health_port
        self.vitals = Vitals(self.hostname)
        self._running: tuple[asyncio.AbstractEventLoop, Session] | None = None
        self._stops = 0
        signals.celeryd_after_setup.send(self.hostname, instance=self, conf=conf)

    def _chosen(self, names: Sequence[str] | None) -> list[Queue]:
        router = self.app.site.router
        if names:
            return [router.queue(name) for name in dict.fromkeys(names)]
        chosen = [queue for queue in router.queues.values() if queue.consumer == "ecs"]
        if not chosen:
            raise ImproperlyConfigured(
                "the app declares no queue with consumer='ecs': name the queues to consume with -Q "
                f"(it has {', '.join(sorted(router.queues))})"
            )
        return chosen

    def run(self) -> int:
        """Work until SIGTERM, SIGINT or :meth:`stop`; return the exit code.

        The first is warm: nothing more is received, running tasks get the shutdown timeout, then
        they are released. The second is cold: everything is released at once.
        """
        signals.worker_init.send(self)
        try:
            with stdouts_logged(self.app), self._health_served():
                self.pool.start()
                code, unfinished = asyncio.run(self._work())
        finally:
            signals.worker_shutdown.send(self)
        if unfinished and threading.current_thread() is threading.main_thread():
            # Threads cannot be stopped, and what they still do is fenced off: leave them behind.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        return code

    @contextmanager
    def _health_served(self) -> Iterator[None]:
        host, port = self.health
        if port is None:
            yield
            return
        from caraway.workers.health import serving

        with serving(self.vitals.report, host, port):
            yield

    async def _work(self) -> tuple[int, bool]:
        try:
            session = Session(
                self.app,
                self.queues,
                self.pool,
                hostname=self.hostname,
                shutdown_timeout_s=self.shutdown_timeout_s,
                heartbeat_interval_s=self.heartbeat_interval_s,
                on_ready=self._begin_to_serve,
                vitals=self.vitals,
                ecs_agent=self.ecs_agent,
            )
            self._running = asyncio.get_running_loop(), session
            for _ in range(self._stops):
                session.stop("stop()")
            return await session.run()
        finally:
            await self.pool.close()

    def _begin_to_serve(self) -> None:
        """Say that the worker is ready, once all that it needs is loaded."""
        signals.worker_ready.send(self)
        if threading.current_thread() is threading.main_thread():  # the process is its own
            # What was imported stays: to go through it in each full collection takes a worker of
            # small tasks a twentieth of its time.
            gc.collect()
            gc.freeze()

    def stop(self) -> None:
        """Do as a signal does, from another thread; also before the worker has begun."""
        self._stops += 1
        if self._running is not None:
            loop, session = self._running
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(session.stop, "stop()")

    def banner(self) -> str:
        """Return what a worker says about itself when it starts."""
        site = self.app.site
        lines = [
            f"{self.hostname} caraway {__version__}",
            f"{platform.platform()} · Python {platform.python_version()}",
            "",
            f".> app:         {self.app.main or '__main__'}",
            f".> results:     {site.records.table if site.keeps_results else 'disabled'}",
            f".> concurrency: {self.pool_options.describe()}",
            "",
            "[queues]",
            *(
                f"  . {queue.name:<20} {queue.sqs_name(site.queue_prefix)}"
                f" (visibility {queue.visibility_timeout_s} s)"
                for queue in self.queues
            ),
            "",
            "[tasks]",
            *(f"  . {name}" for name in sorted(self.app.tasks)),
        ]
        return "\n".join(lines)
