"""What a task does about its own attempt: it knows its request, asks for retries, shows states."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, overload

from caraway import states
from caraway.call_options import call_options, retry_options, serializer_of
from caraway.core.claim_check import keep_text
from caraway.core.codec import dumps, encode
from caraway.core.context import Context, current
from caraway.core.port import run_now
from caraway.core.retry import exhausted
from caraway.core.serializers import JSON
from caraway.exceptions import (
    Ignore,
    InvalidOption,
    InvalidTaskError,
    MaxRetriesExceededError,
    Retry,
    UnknownOption,
    nearest,
)
from caraway.growing import added_to
from caraway.replacements import replacement_of
from caraway.requests.dynamodb import ConditionFailed
from caraway.running import Runnable
from caraway.signatures import maybe_signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from caraway.core.port import Aws
    from caraway.requests.base import Json
    from caraway.signatures import Signature

_RETRY_CHANGES: Final = frozenset(
    {
        "compression",
        "expires",
        "headers",
        "ignore_result",
        "serializer",
        "soft_time_limit",
        "time_limit",
    }
)
_REPLACED: Final = "Replaced by new task"
_NO_CONTEXT: Final = Context(called_directly=True)


class Inside(Runnable):
    """A task as its own function sees it, with ``bind=True``."""

    MaxRetriesExceededError = MaxRetriesExceededError
    """For ``except self.MaxRetriesExceededError``, as in Celery."""

    @property
    def request(self) -> Context:
        """The request of the running task; outside of one, that of a direct call."""
        return current.get() or _NO_CONTEXT

    @overload
    def retry(
        self,
        args: Sequence[Any] | None = ...,
        kwargs: Mapping[str, Any] | None = ...,
        exc: BaseException | None = ...,
        throw: Literal[True] = ...,
        eta: datetime | None = ...,
        countdown: float | None = ...,
        max_retries: int | None = ...,
        **options: Any,
    ) -> NoReturn: ...
    @overload
    def retry(
        self,
        args: Sequence[Any] | None = ...,
        kwargs: Mapping[str, Any] | None = ...,
        exc: BaseException | None = ...,
        *,
        throw: Literal[False],
        eta: datetime | None = ...,
        countdown: float | None = ...,
        max_retries: int | None = ...,
        **options: Any,
    ) -> Retry: ...

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Try the task again later; ends this attempt by raising.

        Parameters
        ----------
        args, kwargs
            Other arguments for the next attempt.
        exc
            The cause: recorded, and raised when no retry is left.
        throw
            False returns the exception instead: the function goes on to its end, and the retry
            happens whatever it returns.
        eta, countdown
            When; ``default_retry_delay`` seconds from now by default.
        max_retries
            Overrides the task's own limit.
        options
            ``expires``, ``headers``, ``ignore_result``, ``serializer``, ``compression`` or time
            limits for the next attempt; the others stay as they are.

        Raises
        ------
        Retry
            Unless ``throw`` is False.
        MaxRetriesExceededError
            If no retry is left and no ``exc`` is given.
        """
        request = self.request
        if request.called_directly:
            raise exc if exc is not None else sys.exc_info()[1] or Retry("the task can be retried")
        limit = self.max_retries if max_retries is None else max_retries
        if exhausted(request.retries, limit):
            if exc is not None:
                raise exc
            raise MaxRetriesExceededError(
                f"{self.name}[{request.id}] has been retried {request.retries} times, its limit",
                task_args=request.args,
                task_kwargs=dict(request.kwargs),
            )
        unknown = set(options) - _RETRY_CHANGES
        if unknown:
            name = min(unknown)
            raise UnknownOption(
                f"retry() takes no option named {name!r}{nearest(name, _RETRY_CHANGES)}"
            )
        if eta is None and countdown is None:
            countdown = self.default_retry_delay
        changes = self._changes(args, kwargs, options)
        when = call_options(self.app, {"eta": eta})["eta"] if eta is not None else countdown
        retry = Retry(exc=exc, when=when, **changes)
        if throw:
            raise retry
        request.requested_retry = retry
        return retry

    def replace(self, sig: Signature[Any]) -> NoReturn:
        """Let another task, or a canvas, take this one's place; ends this attempt by raising.

        What waits for this task, its result, its chain, its chord and its callbacks, waits for what
        takes its place from now on: the last task of that has this task's id. A group is followed
        by a task that returns its values as a list. Where one of its tasks fails, so does this id.

        Raises
        ------
        Ignore
            Always, also for eager tasks; ``return self.replace(...)`` shows that the function ends
            here. What it does after it has caught this changes nothing.
        InvalidOption
            If it is no signature, or a chain without tasks.
        InvalidTaskError
            In a direct call, which has no place to give.
        """
        self.on_replace(maybe_signature(sig, self.app))
        raise Ignore(_REPLACED)

    def on_replace(self, sig: Signature[Any]) -> None:
        """Run when the task is replaced, before that is recorded; a subclass may change ``sig``.

        Must call this one, with what is to take the task's place.
        """
        request = self.request
        if request.called_directly or request.message is None:
            raise InvalidTaskError(
                f"{self.name} was called directly: only a task that was sent has a place that "
                "replace() could give to another one"
            )
        if request.added:
            raise InvalidTaskError(
                f"{self.name} has added tasks to its chord, which would not be waited for when it "
                "is replaced: let what takes its place add them"
            )
        request.replacement = replacement_of(self.app, sig, request)
        raise Ignore(_REPLACED)

    def add_to_chord(self, sig: Signature[Any], lazy: bool = False) -> Any:
        """Add a task to the chord that this one is a member of, and send it.

        The body waits for it, and its value comes after those of the members. It is waited for if
        this attempt ends well: what an attempt has added that is retried, or fails, is not.

        Parameters
        ----------
        sig
            A signature, a chain or a chord; its end has the value.
        lazy
            True returns the signature instead of its result, to be sent by its ``delay()`` before
            this task ends: the body waits for it in any case.

        Raises
        ------
        InvalidOption
            If this task is no member of a chord, or not the last one of its chain; a ValueError.
        """
        added = added_to(self.request, maybe_signature(sig, self.app))
        sent = added if lazy else added.delay()
        self.request.added.append(added.place.added or "")
        return sent

    async def aadd_to_chord(self, sig: Signature[Any], lazy: bool = False) -> Any:
        """Add a task to the chord that this one is a member of, from an ``async def`` task."""
        added = added_to(self.request, maybe_signature(sig, self.app))
        sent = added if lazy else await added.adelay()
        self.request.added.append(added.place.added or "")
        return sent

    def _changes(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> dict[str, Json]:
        """Return what the next attempt changes of the message, as JSON."""
        changes = retry_options(self.app, options)
        if args is not None or kwargs is not None or "serializer" in changes:
            request = self.request
            written = request.message.serializer if request.message else None
            serializer = serializer_of(self.app, {"serializer": written or JSON, **changes})
            changes["serializer"] = serializer.name if serializer is not None else None
            changes["args"], changes["kwargs"] = self.parameters.to_wire(
                request.args if args is None else args,
                request.kwargs if kwargs is None else kwargs,
                serializer,
            )
            changes["values"] = None  # they are among the arguments now
        return changes

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None
    ) -> None:
        """Show a state of your own, with JSON that ``result.info`` reads.

        ``task_id`` may only be the running task's. Does nothing in a direct call, or when another
        worker has taken the task over. A large ``meta`` goes to S3, as a large result does.

        Raises
        ------
        ImproperlyConfigured
            If ``meta`` is larger than 280 KB and no bucket is configured.
        """
        running = self._shown(task_id)
        if running is None:
            return
        run_now(self._show(running, running.port or self.app.aws, state, meta))

    async def aupdate_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None
    ) -> None:
        """Show a state of your own, from an ``async def`` task."""
        running = self._shown(task_id)
        if running is None:
            return
        await self._show(running, running.port or self.app.aio, state, meta)

    def _shown(self, task_id: str | None) -> Context | None:
        """Return the request of the task whose state may be shown, None in a direct call."""
        running = self.request.running()
        if running is None or running.id is None:
            return None
        if task_id not in (None, running.id):
            raise InvalidOption("update_state: a task can only show a state of its own")
        if running.token is None:
            raise InvalidTaskError(
                f"{self.name} is idempotent, so it keeps no record while it runs: update_state "
                "needs idempotent=False"
            )
        return running

    async def _show(self, running: Context, aws: Aws, state: str | None, meta: Any) -> None:
        site = self.app.site if running.port is None else self.app.eager_site
        id, token = running.id or "", running.token or ""
        text = dumps(encode(meta, path="meta"))
        kept = await keep_text(aws, site.store, id, token, text, "meta")
        shown, now = state or states.PROGRESS, aws.now().timestamp()
        with suppress(ConditionFailed):
            await aws.perform(site.records.update_state(id, token, now, shown, kept))
