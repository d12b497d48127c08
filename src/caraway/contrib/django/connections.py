"""A task's connections to databases, treated as those of a request."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections, reset_queries

from caraway.middleware import Middleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from caraway.core.context import Context

_inherited: Final[list[Any]] = []
"""Connections of the parent process: to close them, or to let them go, would end them there."""


class Connections(Middleware):
    """Runs a task as Django runs a request: with connections that are neither stale nor left.

    Before and after each run in a worker, those that are unusable or older than ``CONN_MAX_AGE``
    are closed, in the thread that runs it. An eager task has its caller's, maybe in a transaction.
    """

    def execute(self, task: Any, request: Context) -> Iterator[None]:  # noqa: ARG002
        """Surround a run, in its thread."""
        if request.is_eager:
            yield
            return
        _tidy()
        try:
            yield
        finally:
            _tidy()

    async def aexecute(self, task: Any, request: Context) -> AsyncIterator[None]:  # noqa: ARG002
        """Surround a run whose queries asgiref runs in a thread of its own: in that one."""
        if request.is_eager:
            yield
            return
        tidy = sync_to_async(_tidy)
        await tidy()
        try:
            yield
        finally:
            await tidy()


def _tidy() -> None:
    reset_queries()  # with DEBUG Django remembers them
    close_old_connections()


@cache
def leave_them_to_the_parent() -> None:
    """Let children of this process, such as those of prefork, connect to databases anew."""
    os.register_at_fork(after_in_child=_put_aside)


def _put_aside() -> None:
    for connection in connections.all(initialized_only=True):
        _inherited.append(connection)
        del connections[connection.alias]
