"""A task in a Django project."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db import transaction

from caraway.describing import describe_call
from caraway.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

P = ParamSpec("P")
R = TypeVar("R")


class DjangoTask(Task[P, R]):
    """A task that can be sent at a commit."""

    abstract = True

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Send the task when the transaction is committed; at once where there is none.

        Returns
        -------
        str
            The id that the task will have: it can be saved in the same transaction. After a
            rollback nothing is sent, and the id stays PENDING.

        Raises
        ------
        InvalidArguments
            Now, if the arguments do not fit the function.
        """
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        using: str | None = None,
        **options: Any,
    ) -> str:
        """Send the task with options when the transaction is committed.

        Parameters
        ----------
        using
            The alias of the database whose transaction it is; Django's default by default.
        options
            Those of :meth:`caraway.Task.apply_async`. A countdown counts from the commit.

        Raises
        ------
        InvalidArguments, UnknownOption, InvalidOption, QueueNotFound
            Now, if the call cannot work. What AWS refuses is raised by the commit, after it.
        """
        # Described now: what is wrong is raised inside the transaction, and rolls it back.
        described = describe_call(
            self.app,
            self,
            args,
            kwargs or {},
            self.options_of_call(options, args, kwargs),
            self.app.aws.now(),
        )
        id = described.message.id
        send = partial(self.apply_async, args, kwargs, **{**options, "task_id": id})
        transaction.on_commit(send, using=using)
        return id
