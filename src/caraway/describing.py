"""Descriptions of calls: from a task, arguments and options to a message that is not sent yet."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from operator import is_
from typing import TYPE_CHECKING, Any

from caraway.call_options import call_options, publish_policy, serializer_of
from caraway.core.arguments import untyped_to_wire
from caraway.core.context import current
from caraway.core.ids import new_id
from caraway.core.message import digest_of
from caraway.core.publish import describe_on
from caraway.core.terms import terms_of
from caraway.core.workflow import NOWHERE, Place
from caraway.exceptions import EncodeError, InvalidArguments, InvalidOption
from caraway.running import Runnable

_SEVERAL = (list, tuple)

if TYPE_CHECKING:
    from datetime import datetime

    from caraway.base import AppBase
    from caraway.core.publish import Outgoing
    from caraway.requests.base import Json


def describe_call(
    app: AppBase,
    task: Runnable | str,
    args: Any,
    kwargs: Any,
    options: Mapping[str, Any],
    now: datetime,
    place: Place = NOWHERE,
) -> Outgoing:
    """Decide everything about a call, and send nothing."""
    return Describing(app, task, options)(args, kwargs, now, place=place)


def describing(
    app: AppBase, task: Runnable | str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> Describing:
    """Return what describes a call with these options over the task's own.

    That of calls without options is kept while the settings and the task's own options have the
    same values, unless another serializer than JSON writes them: a new one may get its name.
    """
    if not isinstance(task, Runnable):
        return Describing(app, task, options)
    own = None if options else task.own_options
    if own is None:
        return Describing(app, task, task.options_of_call(options, args, kwargs))
    kept: tuple[Any, Describing] | None = task.plain_calls
    if kept is not None and kept[1].site is app.site and all(map(is_, kept[0], own)):
        return kept[1]
    describes = Describing(app, task, task.options_of_call({}))
    if describes.serializer is None:
        task.plain_calls = own, describes
    return describes


class Describing:
    """Describes calls of a task that have the same options, which are looked at once.

    Parameters
    ----------
    task
        The task, or its name where its code is not here.
    options
        What ``apply_async`` takes, with the task's own options.

    Attributes
    ----------
    site
        Where the app's things were when the options were looked at.
    policy
        How often a send is asked again.
    serializer
        What writes the arguments; None for JSON.

    Raises
    ------
    UnknownOption, InvalidOption, QueueNotFound
        If an option does not exist, or holds what it cannot.
    """

    def __init__(self, app: AppBase, task: Runnable | str, options: Mapping[str, Any]) -> None:
        if not isinstance(task, str | Runnable):
            raise InvalidOption(f"task={task!r:.80}: expected a task's name")
        self._name, self._to_wire = (
            (task, untyped_to_wire)
            if isinstance(task, str)
            else (task.name, task.parameters.to_wire)
        )
        self.site = app.site
        self.serializer = serializer_of(app, options)
        if self.serializer is not None:
            options = {**options, "serializer": self.serializer.name}
        self._terms = terms_of(
            self._name, call_options(app, options), self.site.router, self.site.compression
        )
        self.policy = publish_policy(app, options)

    def __call__(
        self,
        args: Any,
        kwargs: Any,
        now: datetime,
        *,
        id: str | None = None,
        place: Place = NOWHERE,
    ) -> Outgoing:
        """Decide everything about a call that is made now, and send nothing.

        Parameters
        ----------
        id
            The task's id; None: the one that the options name, or a new one.
        """
        args = () if args is None else args
        if not isinstance(args, _SEVERAL):
            raise InvalidOption(f"args={args!r}: expected a tuple or a list of arguments")
        if not isinstance(kwargs, Mapping):
            raise InvalidOption(f"kwargs={kwargs!r}: expected a dict of arguments by name")
        wire = self._to_wire(args, kwargs, self.serializer)
        context = current.get()
        running = context.running() if context is not None else None
        return describe_on(
            self.site,
            self._terms,
            *wire,
            now=now,
            id=id or self._terms.options.get("task_id"),
            new_id=context.child_id if context is not None else _any_id,
            parent=running.message if running is not None else None,
            digest=None if self.serializer is None else self._digest(args, kwargs, wire),
            place=place,
        )

    def _digest(self, args: Any, kwargs: Any, wire: tuple[Json, Json]) -> str:
        """Return the digest of arguments that another serializer has written.

        It is that of their JSON, where they have one: a pickle need not be the same when a call is
        described again, and the ids of a task's children come from this.
        """
        with suppress(EncodeError, InvalidArguments):
            wire = self._to_wire(args, kwargs)
        return digest_of(self._name, *wire)


def _any_id(_digest: str) -> str:
    return new_id()
