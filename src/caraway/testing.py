"""For the tests of your app: a clock for its schedules, which only moves when a test moves it.

The app's AWS is moto in this process, or a :class:`caraway.local.engine.LocalEngine` that does not
fire by itself (``fires=False``). With pytest, in ``conftest.py``::

    import pytest
    from datetime import datetime, timezone
    from moto import mock_aws
    from caraway.testing import Clock, create_resources
    from shop import app

    @pytest.fixture
    def clock():
        with mock_aws():
            create_resources(app)
            with Clock(app, datetime(2026, 3, 1, tzinfo=timezone.utc)) as clock:
                yield clock

and in a test::

    def test_the_report_is_made_each_hour(clock):
        clock.sync()
        fired = clock.advance(hours=24, run=True)
        assert [each.name for each in fired] == ["hourly report"] * 24
        assert {each.state for each in clock.ran} == {"SUCCESS"}
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from caraway.aws.blocking_aws import Botocore
from caraway.beat import schedules_of, stores_of
from caraway.core.beat_sync import sync
from caraway.core.port import run_now
from caraway.exceptions import LocalError
from caraway.local.clock import real_now
from caraway.local.clock_port import ClockPort
from caraway.local.firing import Fired, Firing
from caraway.local.in_process import InProcessWorker, Ran
from caraway.local.virtual import Virtual
from caraway.schedules.base import UTC, aware

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from caraway.app import Caraway

__all__ = ["Clock", "Fired", "Ran", "create_resources"]


class Clock:
    """A clock for an app's schedules that moves only when it is told to, as a context manager.

    Within the block it is the app's clock, too: synchronous code of the app takes the time from it
    (``eta``, ``expires``, records), and what has a countdown of up to 15 minutes, which SQS would
    hold, waits for it as well. Threads and asynchronous code of the app do not follow it.

    Parameters
    ----------
    app
        Its settings say where AWS is.
    start
        Where the clock begins; one without a zone is in UTC. Default: the time now.
    seed
        Decides where in a flexible window something is fired.
    workers
        ``"here"`` (default): :meth:`run_all` runs what was sent, in this process. ``"elsewhere"``:
        others do, in processes whose clock is the real one; then only schedules, far countdowns
        among them, follow this clock.

    Attributes
    ----------
    ran
        Everything that :meth:`run_all` and :meth:`advance` have run, in order.
    """

    def __init__(
        self,
        app: Caraway,
        start: datetime | None = None,
        *,
        seed: int = 0,
        workers: Literal["here", "elsewhere"] = "here",
    ) -> None:
        if workers not in ("here", "elsewhere"):
            raise LocalError(f"workers={workers!r}: say 'here' or 'elsewhere'")
        self.ran: list[Ran] = []
        self._app = app.finalize()
        self._time = real_now() if start is None else aware(start).astimezone(UTC)
        self._moves = [(datetime.min.replace(tzinfo=UTC), self._time)]
        self._call = Botocore(app.client_settings)
        is_here = workers == "here"
        self._port = ClockPort(app.client_settings, self.now) if is_here else None
        virtual = Virtual(None if is_here else self._at, lambda: app.site.signing)
        self._firing = Firing(self._call, self._time, virtual=virtual, seed=seed)
        self._worker = InProcessWorker(app, self._port) if self._port else None

    def __enter__(self) -> Self:
        """Put the app on this clock."""
        if self._port is not None:
            self._before = self._app.swap(self._port)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the app back on the real one."""
        if self._port is not None:
            self._app.swap(self._before)
            self._port.close()
        self._call.close()

    def now(self) -> datetime:
        """Return where the clock stands, in UTC."""
        return self._time

    def sync(self) -> None:
        """Bring the app's ``beat_schedule`` to EventBridge, as ``caraway beat sync`` does.

        Raises
        ------
        ImproperlyConfigured
            If an entry cannot be had.
        """
        app = self._app
        run_now(sync(app.aws, stores_of(app), schedules_of(app, self._time)))

    def advance(
        self,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        run: bool = False,
    ) -> list[Fired]:
        """Move the clock on; see :meth:`advance_to`."""
        step = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self.advance_to(self._time + step, run=run)

    def advance_to(self, moment: datetime, *, run: bool = False) -> list[Fired]:
        """Move the clock on to a moment, and fire what is due until then, that moment included.

        What is fired does not depend on the steps in which the clock is moved.

        Parameters
        ----------
        moment
            One without a zone is in UTC.
        run
            Run what is sent, each at the time at which it is due: as :meth:`run_all`, again and
            again. False (the default) leaves it on the queues.

        Returns
        -------
        list[Fired]
            What was fired, in order of time: the occurrences of entries, schedules, rules, and
            tasks with a far countdown or eta.

        Raises
        ------
        LocalError
            If the moment is past, or what was stored cannot be fired.
        """
        moment = aware(moment).astimezone(UTC)
        if moment < self._time:
            raise LocalError(f"the clock stands at {self._time}, and does not go back to {moment}")
        fired: list[Fired] = []
        if run:
            self.run_all()
        while True:
            held_until = self._port.next_due if self._port else None
            edge = max(min(moment, held_until or moment), self._time)
            found = self._firing.fire_next(edge) if run else self._firing.fire(edge)
            self._move(self._firing.since)
            released = self._port.release() if self._port else False
            fired += found
            if run and (found or released):
                self.run_all()
            elif self._time >= moment and not found and not released:
                return fired

    def run_all(self) -> list[Ran]:
        """Run what lies on the app's queues, and what that leads to, until they are empty.

        The clock does not move: what has a countdown waits for it.

        Returns
        -------
        list[Ran]
            Each attempt, in order.

        Raises
        ------
        LocalError
            If workers elsewhere run it, or there is no end of it.
        ResourceMissing
            If a queue does not exist; :func:`create_resources` makes those of the app.
        """
        if self._worker is None:
            raise LocalError("the clock was made with workers='elsewhere': they run the tasks")
        ran = self._worker.run_all()
        self.ran += ran
        return ran

    def _move(self, moment: datetime) -> None:
        if moment > self._time:
            self._time = moment
            self._moves.append((real_now(), moment))

    def _at(self, real: datetime) -> datetime:
        """Return where the clock stood at a moment of real time."""
        return self._moves[bisect_right(self._moves, real, key=lambda move: move[0]) - 1][1]


def create_resources(app: Caraway) -> None:
    """Create an app's queues, their dead-letter queues, its table and its bucket, for a test.

    What is there already stays as it is.

    Raises
    ------
    botocore.exceptions.ClientError
        If AWS refused.
    """
    call, conf = Botocore(app.client_settings), app.conf
    for queue in app.finalize().site.router.queues.values():
        prefix = conf.queue_name_prefix
        for name in (queue.sqs_name(prefix), queue.dead_letter_sqs_name(prefix)):
            fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
            attributes = fifo if queue.fifo else {}
            _create(call, "sqs", "create_queue", QueueName=name, Attributes=attributes)
    _create(
        call,
        "dynamodb",
        "create_table",
        TableName=conf.task_table,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    if conf.payload_bucket:
        _create(call, "s3", "create_bucket", Bucket=conf.payload_bucket)
    call.close()


_THERE = ("QueueAlreadyExists", "QueueNameExists", "ResourceInUseException")
_OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def _create(call: Botocore, service: str, operation: str, **params: Any) -> None:
    try:
        call(service, operation, params)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _THERE + _OURS:
            raise
