"""Calls: from a task, arguments and options to a message that is durable, or to an eager run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from caraway import eager
from caraway.canvas import options_to_json
from caraway.core.codec import encode
from caraway.core.context import current
from caraway.core.ids import new_id
from caraway.core.port import run_now
from caraway.core.publish import Outgoing, describe, send_patiently
from caraway.exceptions import InvalidOption
from caraway.result import AsyncResult, EagerResult
from caraway.running import Runnable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.base import AppBase
    from caraway.requests.base import Json


def send_call(
    app: AppBase, task: Runnable | str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> AsyncResult[Any]:
    """Send a call; ``apply_async`` and ``send_task`` come here."""
    if app.conf.task_always_eager and isinstance(task, Runnable):
        return run_eagerly(app, task, args, kwargs, options, None)
    outgoing = describe_call(app, task, args, kwargs, options, app.aws.now())
    run_now(send_patiently(app.aws, app.site, outgoing, _publish_policy(options)))
    return AsyncResult(outgoing.message.id, app, outgoing.message.task)


async def asend_call(
    app: AppBase, task: Runnable | str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> AsyncResult[Any]:
    """Send a call from asynchronous code."""
    if app.conf.task_always_eager and isinstance(task, Runnable):
        return run_eagerly(app, task, args, kwargs, options, None)
    aws = app.aio
    outgoing = describe_call(app, task, args, kwargs, options, aws.now())
    await send_patiently(aws, app.site, outgoing, _publish_policy(options))
    return AsyncResult(outgoing.message.id, app, outgoing.message.task)


def describe_call(
    app: AppBase,
    task: Runnable | str,
    args: Any,
    kwargs: Any,
    options: Mapping[str, Any],
    now: datetime,
) -> Outgoing:
    """Decide everything about a call, and send nothing."""
    if not isinstance(args, list | tuple):
        raise InvalidOption(f"args={args!r}: expected a tuple or a list of arguments")
    if isinstance(task, str):
        name, wire = (
            task,
            (encode(list(args), path="args"), encode(dict(kwargs), path="kwargs")),
        )
    else:
        name, wire = task.name, task.parameters.to_wire(args, kwargs)
    context = current.get()
    running = context.running() if context is not None else None
    return describe(
        app.site,
        name,
        *wire,
        call_options(app, options),
        now=now,
        new_id=context.child_id if context is not None else lambda _digest: new_id(),
        parent=running.message if running is not None else None,
    )


def call_options(app: AppBase, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call, with links as JSON and naive times in the app's zone."""
    prepared = dict(options)
    for name in ("eta", "expires"):
        moment = prepared.get(name)
        if isinstance(moment, datetime) and moment.tzinfo is None:
            prepared[name] = moment.replace(tzinfo=app.timezone)
    for name in ("link", "link_error", "headers"):
        if prepared.get(name) is not None:
            prepared[name] = options_to_json({name: prepared[name]})[name]
    return prepared


def retry_options(app: AppBase, options: Mapping[str, Any]) -> dict[str, Json]:
    """Return the options of a retry as changes of its message."""
    changes = options_to_json(call_options(app, options))
    if isinstance(changes.get("expires"), int | float):
        changes["expires"] = (app.aws.now() + timedelta(seconds=changes["expires"])).isoformat()
    return changes


def run_eagerly(
    app: AppBase,
    task: Runnable,
    args: Any,
    kwargs: Any,
    options: Mapping[str, Any],
    throw: bool | None,
) -> EagerResult[Any]:
    """Run a call in this process, through the executor."""
    now = datetime.now(timezone.utc)
    outgoing = describe_call(app, task, args, kwargs, options, now)
    memory = eager.run(app, outgoing, now)
    result: EagerResult[Any] = EagerResult(outgoing.message.id, app, task.name, memory)
    if app.conf.task_eager_propagates if throw is None else throw:
        result.maybe_throw()
    return result


def _publish_policy(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how often a send is asked again, by the options ``retry`` and ``retry_policy``."""
    if options.get("retry") is False:
        return {"max_retries": 0}
    policy: Mapping[str, Any] = options.get("retry_policy") or {}
    return policy
