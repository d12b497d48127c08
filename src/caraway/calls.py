"""Calls: from a task, arguments and options to a message that is durable, or to an eager run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import Context as ContextOfVariables
from contextvars import copy_context
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from caraway.announcing import after_publish, before_publish, is_publish_heard
from caraway.batches import Departure, collecting, send_departure
from caraway.call_options import publish_policy
from caraway.core.context import current
from caraway.core.port import run_now
from caraway.core.trail import of_task
from caraway.core.workflow import NOWHERE, Place
from caraway.describing import describe_call, describing
from caraway.exceptions import InvalidOption
from caraway.middleware import Publication
from caraway.result import AsyncResult, EagerResult
from caraway.running import Runnable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from caraway.base import AppBase
    from caraway.core.publish import Outgoing


def send_call(
    app: AppBase, task: Runnable | str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> AsyncResult[Any]:
    """Send a call; ``apply_async`` and ``send_task`` come here."""
    if app.conf.task_always_eager:
        if isinstance(task, Runnable):
            return run_eagerly(app, task, args, kwargs, options, None)
        _say_it_is_sent(task)
    batch = collecting(app)
    if batch is not None:
        batch.make_room()
    call = departure(app, task, args, kwargs, options, app.aws.now())
    if batch is None or not batch.put([call]):
        run_now(send_departure(app.aws, app.site, call))
    return _result(app, task, call.outgoing)


async def asend_call(
    app: AppBase, task: Runnable | str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> AsyncResult[Any]:
    """Send a call from asynchronous code."""
    if app.conf.task_always_eager:
        if isinstance(task, Runnable):
            return run_eagerly(app, task, args, kwargs, options, None)
        _say_it_is_sent(task)
    aws, batch = app.aio, collecting(app)
    if batch is not None:
        await batch.amake_room()
    call = departure(app, task, args, kwargs, options, aws.now())
    if batch is None or not batch.put([call]):
        await send_departure(aws, app.site, call)
    return _result(app, task, call.outgoing)


def _say_it_is_sent(name: str) -> None:
    logging.getLogger("caraway").warning(
        "task_always_eager: %s is sent all the same, as its code is not here", name
    )


def _result(app: AppBase, task: Runnable | str, outgoing: Outgoing) -> AsyncResult[Any]:
    """Return the result of a call that was sent; a task that sent it keeps it in mind."""
    message = outgoing.message
    context = current.get()
    running = context.running() if context is not None else None
    if running is not None:
        running.trail.add(of_task(message.id))
    ignored = message.ignore_result
    if ignored is None:
        ignored = app.conf.task_ignore_result if isinstance(task, str) else task.ignore_result
    ignored = ignored or not app.site.keeps_results
    return AsyncResult(message.id, app, message.task, ignored=ignored, sent_at=message.sent_at)


def publication(
    task: Runnable | str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> Publication:
    """Return a call as middleware sees it; the caller's own options stay as they are."""
    changed = dict(options)
    for name, held in options.items():
        if isinstance(held, Mapping):
            changed[name] = dict(held)
        elif isinstance(held, list):  # links
            changed[name] = list(held)
    name, known = (task, None) if isinstance(task, str) else (getattr(task, "name", ""), task)
    context = current.get()
    request = context.running() if context is not None else None
    return Publication(name, known, args, kwargs, changed, request)


def is_surrounded(app: AppBase) -> bool:
    """Say whether a middleware or a receiver of a signal looks at each call that is sent."""
    return app.onion.surrounds_publish or is_publish_heard()


def departure(
    app: AppBase,
    task: Runnable | str,
    args: Any,
    kwargs: Any,
    options: Mapping[str, Any],
    now: datetime,
    place: Place = NOWHERE,
) -> Departure:
    """Describe a call that is to be sent, inside the middleware around it.

    ``options`` are those of the call, over the task's own.
    """
    if not is_surrounded(app):
        describes = describing(app, task, args, kwargs, options)
        outgoing = describes(args, kwargs, now, place=place)
        return Departure(outgoing, args, kwargs, describes.policy)
    options = _whole(task, options, args, kwargs)
    call, context = publication(task, args, kwargs, options), copy_context()
    return context.run(_departure, context, app, call, options, now, place)


def _whole(
    task: Runnable | str, options: Mapping[str, Any], args: Any, kwargs: Any
) -> Mapping[str, Any]:
    return task.options_of_call(options, args, kwargs) if isinstance(task, Runnable) else options


def departures_alike(
    app: AppBase,
    task: Any,
    options: Mapping[str, Any],
    several: Iterable[tuple[Sequence[Any], Mapping[str, Any], str | None, Place]],
    now: Callable[[], datetime],
) -> Iterator[Departure]:
    """Describe calls of a task that have the same options, one after the other.

    The options are looked at once, unless somebody may make others of them for each call.

    Parameters
    ----------
    task
        Its name where its code is not here.
    several
        Of each call its arguments, those by name, its id, and where it stands in its workflow.
    now
        Tells the time at which each is made.
    """
    if is_surrounded(app) or (isinstance(task, Runnable) and task.own_options is None):
        for args, kwargs, id, place in several:
            yield departure(app, task, args, kwargs, {**options, "task_id": id}, now(), place)
        return
    describes = describing(app, task, None, None, options)
    for args, kwargs, id, place in several:
        outgoing = describes(args, kwargs, now(), id=id, place=place)
        yield Departure(outgoing, args, kwargs, describes.policy)


def _departure(
    context: ContextOfVariables,
    app: AppBase,
    call: Publication,
    given: Mapping[str, Any],
    now: datetime,
    place: Place,
) -> Departure:
    with ExitStack() as middleware:
        middleware.enter_context(app.onion.around_publish(call))
        outgoing, policy = prepared(app, call, given, now, place)
        around = middleware.pop_all(), context
        return Departure(outgoing, call.args, call.kwargs, policy, around)


def prepared(
    app: AppBase,
    call: Publication,
    given: Mapping[str, Any],
    now: datetime,
    place: Place = NOWHERE,
) -> tuple[Outgoing, Mapping[str, Any]]:
    """Describe a call that is sent at once, and announce it; return how often it is asked, too."""
    options = call.options
    if options.get("task_id") != given.get("task_id"):
        raise InvalidOption(
            f"a middleware has changed the task_id of {call.name}: ids are decided by who calls"
        )
    outgoing = describe_call(
        app,
        call.name if call.task is None else call.task,
        call.args,
        call.kwargs,
        options,
        now,
        place,
    )
    call.id = outgoing.message.id
    policy = publish_policy(app, options)
    announced = before_publish(outgoing, call.args, call.kwargs, options.get("headers"), policy)
    return announced, policy


def run_eagerly(
    app: AppBase,
    task: Runnable,
    args: Any,
    kwargs: Any,
    options: Mapping[str, Any],
    throw: bool | None,
) -> EagerResult[Any]:
    """Run a call in this process, through the executor."""
    from caraway import eager  # here: a producer needs no executor

    now = datetime.now(timezone.utc)
    options = _whole(task, options, args, kwargs)
    call = publication(task, args, kwargs, options)
    with app.onion.around_publish(call):
        outgoing, _ = prepared(app, call, options, now)
        after_publish(outgoing, args, kwargs)
    memory, errors = eager.run(app, [outgoing], now)
    error = errors.get(outgoing.message.id)
    result: EagerResult[Any] = EagerResult(outgoing.message.id, app, task.name, memory, error)
    if app.conf.task_eager_propagates if throw is None else throw:
        result.maybe_throw()
    return result
