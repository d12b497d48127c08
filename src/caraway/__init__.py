"""Caraway: Celery's task API on SQS, Lambda, ECS, DynamoDB and EventBridge.

The names here are the public face. They are imported at their first use, because start-up time is
a feature: a worker that needs no schedules does not load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway._version import __version__

if TYPE_CHECKING:
    from caraway.app import Caraway
    from caraway.canvas import chain, chord, chunks, group, xmap, xstarmap
    from caraway.core.codec import register_type
    from caraway.core.context import Context
    from caraway.core.routing import Queue
    from caraway.current import current_app
    from caraway.middleware import Middleware, Publication
    from caraway.result import (
        AsyncResult,
        EagerResult,
        GroupResult,
        ResultSet,
        allow_join_result,
        result_from_tuple,
    )
    from caraway.schedules import crontab, schedule
    from caraway.shared import shared_task
    from caraway.signatures import Signature, maybe_signature, signature
    from caraway.stamping import StampingVisitor
    from caraway.task import Task
    from caraway.workers.aws_lambda import lambda_handler

__all__ = [
    "__version__",
    # app and tasks
    "Caraway",
    "Middleware",
    "Publication",
    "Queue",
    "Task",
    "current_app",
    "shared_task",
    # calls and results
    "AsyncResult",
    "Context",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "Signature",
    "StampingVisitor",
    "allow_join_result",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "register_type",
    "result_from_tuple",
    "signature",
    "xmap",
    "xstarmap",
    # time
    "crontab",
    "schedule",
    # doors
    "lambda_handler",
]

_WHERE = {
    "AsyncResult": "caraway.result",
    "Caraway": "caraway.app",
    "Context": "caraway.core.context",
    "EagerResult": "caraway.result",
    "GroupResult": "caraway.result",
    "Middleware": "caraway.middleware",
    "Publication": "caraway.middleware",
    "Queue": "caraway.core.routing",
    "ResultSet": "caraway.result",
    "Signature": "caraway.canvas",
    "StampingVisitor": "caraway.canvas",
    "Task": "caraway.task",
    "allow_join_result": "caraway.result",
    "chain": "caraway.canvas",
    "chord": "caraway.canvas",
    "chunks": "caraway.canvas",
    "crontab": "caraway.schedules",
    "current_app": "caraway.current",
    "group": "caraway.canvas",
    "lambda_handler": "caraway.workers.aws_lambda",
    "maybe_signature": "caraway.canvas",
    "register_type": "caraway.core.codec",
    "result_from_tuple": "caraway.result",
    "schedule": "caraway.schedules",
    "shared_task": "caraway.shared",
    "signature": "caraway.canvas",
    "xmap": "caraway.canvas",
    "xstarmap": "caraway.canvas",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'caraway' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
