"""The states a task shows to its users: Celery's names, plus those Caraway adds.

A task may set states of its own with :meth:`caraway.Task.update_state`; everything that is
not in :data:`READY_STATES` counts as unready.
"""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
"""Nothing is known of the task: not started yet, or no such id."""
RECEIVED: Final = "RECEIVED"
STARTED: Final = "STARTED"
"""A worker has claimed the task and runs it."""
PROGRESS: Final = "PROGRESS"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"
"""Revoked, or received after its ``expires``: Celery gives both this name."""
REJECTED: Final = "REJECTED"
IGNORED: Final = "IGNORED"
MISSED: Final = "MISSED"
"""An occurrence of a schedule that did not run: it was late, or the one before it went on."""

READY_STATES: Final = frozenset({SUCCESS, FAILURE, REVOKED, REJECTED, IGNORED, MISSED})
UNREADY_STATES: Final = frozenset({PENDING, RECEIVED, STARTED, PROGRESS, RETRY})
EXCEPTION_STATES: Final = frozenset({RETRY, FAILURE, REVOKED, MISSED})
"""States whose result is an exception."""
PROPAGATE_STATES: Final = frozenset({FAILURE, REVOKED, MISSED})
"""States in which ``result.get()`` raises."""
ALL_STATES: Final = READY_STATES | UNREADY_STATES
