"""However threads' requests meet, and whatever fails, each ends as if it had travelled alone."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, patch

from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from caraway.aws import sharing
from caraway.aws.blocking_aws import BlockingAws
from caraway.core.port import run_now
from caraway.exceptions import EndpointUnreachable, Throttled
from caraway.requests.sqs import BATCH_LIMIT, MESSAGE_LIMIT_BYTES
from tests.depth import examples
from tests.integration.conftest import wait_until
from tests.unit.test_coalesce import (
    PADDING,
    URLS,
    Sqs,
    ToQueue,
    _name,
    _request,
    alone,
    bytes_of,
    entries_of,
    name_of,
    told,
)

if TYPE_CHECKING:
    from concurrent.futures import Future


class Interrupted(BaseException):
    """What a signal handler raises in the thread that sends for the others."""


@dataclass
class HeldSqs(Sqs):
    """An SQS whose every answer waits to be let go, with what fails then, if anything does.

    Attributes
    ----------
    held
        The requests that wait, in their order: what they are about, and what lets them go.
    """

    failures: dict[int, type[BaseException]] = field(default_factory=dict)
    held: list[tuple[list[str], threading.Event]] = field(default_factory=list)
    met: dict[str, type[BaseException]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_open: bool = False

    def __call__(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        url = params["QueueUrl"]
        lane = url, operation.removesuffix("_batch")
        names = [_name(each) for each in params.get("Entries", [params])]
        let_go = threading.Event()
        with self.lock:
            number = len(self.calls)
            self.calls.append((operation, params))
            self.under_way[lane] += 1
            assert not url.endswith(".fifo") or self.under_way[lane] == 1
            if not self.is_open:
                self.held.append((names, let_go))
            else:
                let_go.set()
        let_go.wait()
        with self.lock:
            self.under_way[lane] -= 1
            failure = self.failures.get(number)
            if failure is None:
                return self._answer(operation, params)
            self.met.update(dict.fromkeys(names, failure))
        if failure is EndpointConnectionError:
            raise EndpointConnectionError(endpoint_url="http://sqs")
        raise failure

    def let_go(self, place: int) -> None:
        """Answer one of the requests that wait."""
        with self.lock:
            if self.held:
                self.held.pop(place % len(self.held))[1].set()

    def open(self) -> None:
        """Answer those that wait, and all that come."""
        with self.lock:
            self.is_open = True
            for _, let_go in self.held:
                let_go.set()
            self.held.clear()


PLANS = st.tuples(
    st.sampled_from(["send", "send", "send", "delete"]),
    st.sampled_from([0, 0, 2]),
    st.sampled_from(["", "", "", "-refused", "-slow1"]),
    st.sampled_from([*[0] * 6, *range(len(PADDING))]),
)
"""Requests of two kinds to few queues, so that they meet, and some too large to."""


def request_of(number: int, what: str, queue: int, how: str, padding: int) -> ToQueue:
    """Return a request as planned; what is not small stays out of the plan, as that is shown."""
    return _request(what, URLS[queue], f"{number}{how}", PADDING[padding])


@settings(max_examples=examples(40))
@given(
    st.lists(PLANS, min_size=2, max_size=14),
    st.lists(st.none() | st.integers(0, 5), max_size=30),
    st.dictionaries(
        st.integers(0, 8), st.sampled_from([EndpointConnectionError, Interrupted]), max_size=3
    ),
    st.sampled_from([0.0, 600.0]),
)
def test_however_threads_meet_each_ends_as_if_its_request_had_travelled_alone(
    plans: list[tuple[str, int, str, int]],
    steps: list[int | None],
    failures: dict[int, type[BaseException]],
    patience_s: float,
) -> None:
    """A step begins the next thread, or answers one of the requests that are under way."""
    made = [request_of(number, *plan) for number, plan in enumerate(plans)]
    sqs, aws = HeldSqs(failures=failures), BlockingAws()
    aws._send = sqs  # type: ignore[assignment]
    begun: list[Future[Any]] = []

    def one(request: ToQueue) -> Any:
        try:
            return run_now(aws.perform(request))
        except Exception as error:
            return error

    joined: list[ToQueue] = []
    join = aws._sharing._join

    def joining(lane: Any, request: Any) -> Any:
        place = join(lane, request)
        joined.append(request)
        return place

    with (
        patch.object(sharing, "PATIENCE_S", patience_s),
        patch.object(aws._sharing, "_join", joining),
        patch.object(aws, "sleep", AsyncMock()),
        ThreadPoolExecutor(len(made)) as threads,
    ):
        try:
            for step in [*steps, *[None] * len(made)]:
                if step is not None:
                    wait_until(lambda: sqs.held or all(each.done() for each in begun))
                    sqs.let_go(step)
                elif len(begun) < len(made):
                    begun.append(threads.submit(one, made[len(begun)]))
                    wait_until(lambda: len(joined) == len(begun))
        finally:
            sqs.open()

    for request, ended in zip(made, begun, strict=True):
        judge(sqs, request, ended)
    assert max(Counter(sqs.arrived).values(), default=1) == 1
    for entries in entries_of(sqs):
        assert 1 <= len(entries) <= BATCH_LIMIT
        assert bytes_of(entries) <= MESSAGE_LIMIT_BYTES
    assert not aws._sharing._gathering
    assert not any(aws._sharing._under_way.values())


def judge(sqs: HeldSqs, request: ToQueue, ended: Future[Any]) -> None:
    """See that a request ended as what became of it in SQS says."""
    error = ended.exception()
    outcome = error or ended.result()
    failure = sqs.met.get(name_of(request))
    has_arrived = (request.queue_url, name_of(request)) in sqs.arrived
    if isinstance(outcome, Interrupted) or "interrupted" in str(outcome):
        # Of what left with it nobody knows how far it came, also where that was several batches.
        assert Interrupted in sqs.met.values()
    elif isinstance(outcome, EndpointUnreachable):
        assert failure is EndpointConnectionError
    elif isinstance(outcome, Throttled):  # sent again, it would come after those behind it
        assert request.queue_url.endswith(".fifo")
        assert not has_arrived
    else:
        assert told(request, outcome) == alone(request)
        assert has_arrived
