"""Waiting for results inside a task: refused, unless somebody knows better."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from caraway.core.context import current

if TYPE_CHECKING:
    from collections.abc import Iterator

_join_allowed: ContextVar[bool] = ContextVar("caraway_join_allowed", default=False)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow waiting for results inside a task: for those who know that it cannot deadlock."""
    token = _join_allowed.set(True)
    try:
        yield
    finally:
        _join_allowed.reset(token)


def refuse_inside_a_task() -> None:
    """Refuse to wait for a result inside a task.

    Raises
    ------
    RuntimeError
        Unless :func:`allow_join_result` allows it.
    """
    context = current.get()
    running = context.running() if context is not None else None
    if running is not None and not running.is_eager and not _join_allowed.get():
        raise RuntimeError(
            f"never call result.get() within a task ({running.task}): it can wait for itself; link "
            "the tasks instead, or pass disable_sync_subtasks=False if you know better"
        )
