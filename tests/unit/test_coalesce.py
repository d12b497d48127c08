"""Requests that travel together end as if each had travelled alone."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from math import ceil
from typing import Any, TypeAlias, TypeVar
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.blocking_aws import BlockingAws
from caraway.aws.coalesce import DELETES, SENDS, Batch
from caraway.aws.gathering import PATIENCE_S
from caraway.aws.lanes import FLIGHTS, batches, lane_of
from caraway.core.port import run_now
from caraway.exceptions import EndpointUnreachable, RequestFailed, Throttled
from caraway.requests.sqs import (
    BATCH_LIMIT,
    BILLED_BYTES,
    MESSAGE_LIMIT_BYTES,
    ChangeMessageVisibility,
    DeleteMessage,
    GetQueueUrl,
    SendMessage,
)

T = TypeVar("T")
ToQueue: TypeAlias = "SendMessage | DeleteMessage | ChangeMessageVisibility"

URLS = ("http://sqs/1/a", "http://sqs/1/b", "http://sqs/1/c.fifo")


class _NeverWaits(selectors.DefaultSelector):
    """Lets time pass at once, and finds out when nothing would ever happen any more."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "every caller waits, and nothing is under way"
        self.passed_s += timeout
        return super().select(0)


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when there is nothing else to do."""

    def __init__(self) -> None:
        self._never_waits = _NeverWaits()
        super().__init__(self._never_waits)

    def time(self) -> float:
        return self._never_waits.passed_s


def run(decision: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own."""
    loop = StillLoop()
    try:
        return loop.run_until_complete(decision)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def turns(number: int) -> None:
    """Let the loop turn so often."""
    for _ in range(number):
        await asyncio.sleep(0)


@dataclass
class Sqs:
    """A wire to an SQS that refuses what names itself ``refused``, in batches and alone.

    What names itself ``slow1`` or ``slow2`` has no room in a batch so often.

    Attributes
    ----------
    lags
        How many turns of the loop each request takes, over and over.
    down
        Numbers of the requests, from 0, that nobody answers.
    """

    lags: tuple[int, ...] = (0,)
    down: frozenset[int] = frozenset()
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arrived: list[tuple[str, str]] = field(default_factory=list)
    under_way: Counter[tuple[str, str]] = field(default_factory=Counter)
    most_under_way: int = 0
    slowed: Counter[str] = field(default_factory=Counter)
    closed: int = 0

    def __call__(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer at once, as the blocking port's wire."""
        self.calls.append((operation, params))
        return self._answer(operation, params)

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer after a while, as a wire of the asynchronous port."""
        number, url = len(self.calls), params.get("QueueUrl", "")
        self.calls.append((operation, params))
        lane = url, operation.removesuffix("_batch")
        self.under_way[lane] += 1
        assert not url.endswith(".fifo") or self.under_way[lane] == 1
        self.most_under_way = max(self.most_under_way, self.under_way[lane])
        try:
            await turns(self.lags[number % len(self.lags)])
            if number in self.down:
                raise EndpointConnectionError(endpoint_url="http://sqs")
            return self._answer(operation, params)
        finally:
            self.under_way[lane] -= 1

    async def renew(self) -> None:
        """Have no credentials."""

    async def close(self) -> None:
        """Count."""
        self.closed += 1

    @property
    def operations(self) -> list[str]:
        """What was asked, in order."""
        return [operation for operation, _ in self.calls]

    def _answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        if operation == "get_queue_url":
            return {"QueueUrl": params["QueueName"]}
        if operation.endswith("_batch"):
            return self._answer_batch(params)
        name = self._arrive(params["QueueUrl"], params)
        if "refused" in name:
            error = {"Code": "Refused", "Message": name}
            raise ClientError({"Error": error}, operation)  # type: ignore[typeddict-item]
        return {"MessageId": f"id of {name}"}

    def _answer_batch(self, params: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
        for entry in params["Entries"]:
            if self._has_no_room(entry):
                failed = {"Id": entry["Id"], "Code": "ThrottlingException", "Message": "slow"}
                answer["Failed"].append(failed)
                continue
            name = self._arrive(params["QueueUrl"], entry)
            if "refused" in name:
                answer["Failed"].append({"Id": entry["Id"], "Code": "Refused", "Message": name})
            else:
                answer["Successful"].append({"Id": entry["Id"], "MessageId": f"id of {name}"})
        return {kind: entries[::-1] for kind, entries in answer.items()}

    def _has_no_room(self, entry: dict[str, Any]) -> bool:
        name = _name(entry)
        self.slowed[name] += 1
        return "slow" in name and self.slowed[name] <= int(name[-1])

    def _arrive(self, url: str, params: dict[str, Any]) -> str:
        name = _name(params)
        self.arrived.append((url, name))
        return name


def _name(params: dict[str, Any]) -> str:
    text: str = params.get("MessageBody") or params["ReceiptHandle"]
    return text.partition("/")[0]


def name_of(request: ToQueue) -> str:
    """Return what tells a request apart here."""
    text = request.body if isinstance(request, SendMessage) else request.receipt_handle
    return text.partition("/")[0]


def alone(request: ToQueue) -> str | None:
    """Return how a request ends that travels alone."""
    if "refused" in name_of(request):
        return f"Refused: {request.subject()}: {name_of(request)}"
    return f"id of {name_of(request)}" if isinstance(request, SendMessage) else None


def told(request: ToQueue, outcome: Any) -> str | None:
    """Return an outcome as :func:`alone` tells it."""
    if isinstance(outcome, Exception):
        assert isinstance(outcome, RequestFailed)
        assert request.subject() in str(outcome)
        return f"{outcome.code}: {request.subject()}: {str(outcome).rpartition(' ')[2]}"
    assert outcome is None or isinstance(outcome, str)
    return outcome


def entries_of(sqs: Sqs) -> list[list[dict[str, Any]]]:
    """Return the entries of each batch request."""
    return [params["Entries"] for operation, params in sqs.calls if operation.endswith("_batch")]


def bytes_of(entries: list[dict[str, Any]]) -> int:
    """Return what SQS counts of a batch."""
    return sum(len(entry.get("MessageBody", "").encode()) for entry in entries)


# -- any interleaving -----------------------------------------------------------------------------

PADDING = ("", "x" * 400_000, "é" * 300_000, "x" * (MESSAGE_LIMIT_BYTES - 20))


@dataclass(frozen=True)
class Plan:
    """One request, the turn of the loop in which it is made, and when it is cancelled."""

    request: ToQueue
    turn: int
    cancelled_after: int | None = None


def _request(what: str, url: str, name: str, padding: str) -> ToQueue:
    if what == "send":
        return SendMessage(url, f"{name}/{padding}")
    if what == "delete":
        return DeleteMessage(url, f"{name}/")
    return ChangeMessageVisibility(url, f"{name}/", 7)


@st.composite
def plans(draw: st.DrawFn) -> list[Plan]:
    made = []
    for number in range(draw(st.integers(1, 40))):
        how = draw(st.sampled_from(["", "", "", "-refused", "-slow1", "-slow2"]))
        request = _request(
            draw(st.sampled_from(["send", "send", "delete", "visibility"])),
            draw(st.sampled_from(URLS)),
            f"{number}{how}",
            draw(st.sampled_from((*[""] * 5, *PADDING))),
        )
        cancelled_after = draw(st.sampled_from([*[None] * 6, 0, 1, 2, 4]))
        made.append(Plan(request, draw(st.integers(0, 6)), cancelled_after))
    return made


@given(plans(), st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple))
def test_any_interleaving_ends_as_if_each_had_travelled_alone(
    planned: list[Plan], lags: tuple[int, ...]
) -> None:
    sqs = Sqs(lags)
    joined: list[tuple[str, str]] = []

    async def caller(aws: AsyncioAws, plan: Plan) -> Any:
        await turns(plan.turn)
        joined.append((plan.request.queue_url, name_of(plan.request)))
        return await aws.perform(plan.request)

    async def canceller(caller: asyncio.Task[Any], plan: Plan) -> None:
        if plan.cancelled_after is not None:
            await turns(plan.turn + plan.cancelled_after)
            caller.cancel()

    async def all_together() -> list[Any]:
        aws = AsyncioAws(sqs)
        callers = [asyncio.ensure_future(caller(aws, plan)) for plan in planned]
        cancellers = [canceller(*pair) for pair in zip(callers, planned, strict=True)]
        await asyncio.gather(*cancellers)
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        await aws.close()
        return outcomes

    outcomes = run(all_together())

    throttled = set()
    for plan, outcome in zip(planned, outcomes, strict=True):
        if isinstance(outcome, asyncio.CancelledError):
            assert plan.cancelled_after is not None
        elif isinstance(outcome, Throttled):  # sent again, it would come after those behind it
            assert plan.request.queue_url.endswith(".fifo")
            throttled.add(name_of(plan.request))
        else:
            assert told(plan.request, outcome) == alone(plan.request)
    for entries in entries_of(sqs):
        assert 1 <= len(entries) <= BATCH_LIMIT
        assert bytes_of(entries) <= MESSAGE_LIMIT_BYTES
    assert max(Counter(sqs.arrived).values(), default=1) == 1
    uncancelled = {name_of(plan.request) for plan in planned if plan.cancelled_after is None}
    assert uncancelled - throttled <= {name for _, name in sqs.arrived}
    assert throttled.isdisjoint(name for _, name in sqs.arrived)
    for what in (SendMessage, DeleteMessage, ChangeMessageVisibility):
        of_kind = {name_of(plan.request) for plan in planned if isinstance(plan.request, what)}
        in_order = [each for each in joined if each[0].endswith(".fifo") and each[1] in of_kind]
        came = [each for each in sqs.arrived if each[0].endswith(".fifo") and each[1] in of_kind]
        assert came == [each for each in in_order if each in came]


@given(plans())
def test_the_blocking_port_answers_each_as_if_it_had_travelled_alone(planned: list[Plan]) -> None:
    sqs, aws = Sqs(), BlockingAws()
    aws._send = sqs  # type: ignore[assignment]
    requests: list[Any] = [plan.request for plan in planned]
    with patch("time.sleep"):
        outcomes = run_now(aws.perform_all(requests))
    for request, outcome in zip(requests, outcomes, strict=True):
        if isinstance(outcome, Throttled):
            assert request.queue_url.endswith(".fifo")
            assert (request.queue_url, name_of(request)) not in sqs.arrived
        else:
            assert told(request, outcome) == alone(request)
    assert max(Counter(sqs.arrived).values(), default=1) == 1
    sent = [each.request for each in planned if isinstance(each.request, SendMessage)]
    in_order = [(each.queue_url, name_of(each)) for each in sent if each.queue_url == URLS[2]]
    came = [each for each in sqs.arrived if each in in_order]
    assert came == [each for each in in_order if each in came]
    for entries in entries_of(sqs):
        assert 1 <= len(entries) <= BATCH_LIMIT
        assert bytes_of(entries) <= MESSAGE_LIMIT_BYTES


@given(st.lists(st.sampled_from(PADDING), max_size=40))
def test_chunks_keep_the_order_and_the_limits(bodies: list[str]) -> None:
    requests = [SendMessage(URLS[0], body) for body in bodies]
    found = [range(len(requests))[some] for some in batches(SENDS, requests)]
    assert [place for places in found for place in places] == list(range(len(requests)))
    for places in found:
        assert 1 <= len(places) <= BATCH_LIMIT
        total = sum(SENDS.size_bytes(requests[place]) for place in places)
        assert total <= MESSAGE_LIMIT_BYTES or len(places) == 1


# -- when a batch leaves --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "operation"),
    [
        (lambda n: SendMessage(URLS[0], f"{n}"), "send_message_batch"),
        (lambda n: SendMessage(URLS[2], f"{n}"), "send_message_batch"),
        (lambda n: DeleteMessage(URLS[0], f"{n}"), "delete_message_batch"),
        (
            lambda n: ChangeMessageVisibility(URLS[0], f"{n}", 1),
            "change_message_visibility_batch",
        ),
    ],
    ids=["sends", "fifo", "deletes", "visibilities"],
)
def test_a_thousand_at_once_are_a_hundred_requests(make: Any, operation: str) -> None:
    sqs = Sqs()

    async def many() -> None:
        aws = AsyncioAws(sqs)
        await asyncio.gather(*(aws.perform(make(number)) for number in range(1_000)))

    run(many())
    assert sqs.operations == [operation] * 100


def test_no_more_batches_are_under_way_than_there_is_room_for() -> None:
    sqs = Sqs(lags=(7, 3))

    async def many() -> list[Any]:
        aws = AsyncioAws(sqs)
        sends = (aws.perform(SendMessage(URLS[0], f"{number}")) for number in range(3_000))
        answers = await asyncio.gather(*sends)
        assert not aws._gathering._lines
        return answers

    assert run(many()) == [f"id of {number}" for number in range(3_000)]
    assert sqs.operations == ["send_message_batch"] * 300
    assert sqs.most_under_way == FLIGHTS


def test_what_comes_while_there_is_no_room_leaves_together() -> None:
    sqs = Sqs(lags=(50,))

    async def one_by_one() -> None:
        aws = AsyncioAws(sqs)

        async def send(number: int) -> None:
            await turns(3 * number)
            await aws.perform(SendMessage(URLS[2], f"{number}"))

        await asyncio.gather(*map(send, range(12)))

    run(one_by_one())
    assert list(map(len, entries_of(sqs))) == [10]
    assert [name for _, name in sqs.arrived] == [str(number) for number in range(12)]


def test_the_oldest_does_not_wait_for_ever_while_each_turn_brings_another() -> None:
    sqs = Sqs()

    async def trickle() -> None:
        aws, loop = AsyncioAws(sqs), asyncio.get_running_loop()
        waiting = []
        for number in range(8):
            waiting.append(asyncio.ensure_future(aws.perform(SendMessage(URLS[0], f"{number}"))))
            await asyncio.sleep(0)
            loop._never_waits.passed_s += PATIENCE_S / 4  # type: ignore[attr-defined]
        await asyncio.gather(*waiting)

    run(trickle())
    assert len(sqs.calls) > 1


def test_a_loop_that_closes_while_batches_wait_for_room_sends_them() -> None:
    sqs = Sqs(lags=(5,))

    async def leave_behind() -> list[asyncio.Task[str]]:
        aws = AsyncioAws(sqs)
        sends = [SendMessage(URLS[0], f"{number}") for number in range(500)]
        left = [asyncio.ensure_future(aws.perform(each)) for each in sends]
        await turns(4)
        return left

    run(leave_behind())
    assert len({name for _, name in sqs.arrived}) == 500


def test_a_lone_request_travels_alone_and_at_once() -> None:
    sqs = Sqs()

    async def lone() -> float:
        await AsyncioAws(sqs).perform(SendMessage(URLS[0], "lone"))
        return asyncio.get_running_loop().time()

    assert run(lone()) == 0
    assert sqs.operations == ["send_message"]


def test_sends_one_turn_apart_travel_together() -> None:
    sqs = Sqs()

    async def later(aws: AsyncioAws, number: int) -> None:
        await turns(number)
        await aws.perform(SendMessage(URLS[0], f"{number}"))

    async def staggered() -> None:
        aws = AsyncioAws(sqs)
        await asyncio.gather(*(later(aws, number) for number in range(5)))

    run(staggered())
    assert sqs.operations == ["send_message_batch"]


def test_a_delete_waits_a_little_for_company() -> None:
    sqs = Sqs()

    async def later(aws: AsyncioAws, number: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await aws.perform(DeleteMessage(URLS[0], f"{number}"))

    async def staggered() -> None:
        aws, linger_s = AsyncioAws(sqs), DELETES.linger_s
        starts = (0, linger_s / 2, linger_s * 2)
        await asyncio.gather(*(later(aws, *each) for each in enumerate(starts)))

    run(staggered())
    assert sqs.operations == ["delete_message_batch", "delete_message"]


def test_a_full_batch_of_deletes_does_not_wait() -> None:
    sqs = Sqs()

    async def full() -> float:
        aws = AsyncioAws(sqs)
        deletes = [DeleteMessage(URLS[0], f"{number}") for number in range(BATCH_LIMIT)]
        await aws.perform_all(deletes)
        return asyncio.get_running_loop().time()

    assert run(full()) == 0


def test_requests_of_two_queues_or_two_kinds_do_not_travel_together() -> None:
    a, b = SendMessage(URLS[0], "1"), SendMessage(URLS[1], "1")
    assert lane_of(a) == lane_of(SendMessage(URLS[0], "2"))
    assert len({lane_of(a), lane_of(b), lane_of(DeleteMessage(URLS[0], "1"))}) == 3
    assert lane_of(GetQueueUrl("q")) is None


# -- failures and cancellations -------------------------------------------------------------------


def test_failures_one_after_the_other_go_to_each_caller() -> None:
    sqs = Sqs(down=frozenset({0, 1}))

    async def thrice() -> list[list[str | Exception]]:
        aws = AsyncioAws(sqs)
        return [
            await aws.perform_all([SendMessage(URLS[0], f"{each}/{n}") for n in range(3)])
            for each in range(3)
        ]

    first, second, third = run(thrice())
    failures = [*first, *second]
    assert all(isinstance(each, EndpointUnreachable) for each in failures)
    assert len({id(each) for each in failures}) == len(failures)
    assert third == ["id of 2"] * 3


def test_a_failed_fifo_batch_does_not_stop_the_one_behind_it() -> None:
    sqs = Sqs(lags=(3,), down=frozenset({0}))

    async def two_batches() -> list[str | Exception]:
        sends = [SendMessage(URLS[2], f"{number}") for number in range(12)]
        return await AsyncioAws(sqs).perform_all(sends)

    answers = run(two_batches())
    assert [isinstance(each, EndpointUnreachable) for each in answers] == [True] * 10 + [False] * 2
    assert [name for _, name in sqs.arrived] == ["10", "11"]


@pytest.mark.parametrize("lag", [0, 5])
def test_cancelling_one_caller_does_not_disturb_the_others(lag: int) -> None:
    sqs = Sqs(lags=(lag,))

    async def cancel_in_flight() -> list[Any]:
        aws = AsyncioAws(sqs)
        callers = [
            asyncio.ensure_future(aws.perform(SendMessage(URLS[0], f"{number}")))
            for number in range(3)
        ]
        while not sqs.calls:
            await asyncio.sleep(0)
        callers[1].cancel()
        return await asyncio.gather(*callers, return_exceptions=True)

    first, cancelled, last = run(cancel_in_flight())
    assert (first, last) == ("id of 0", "id of 2")
    assert isinstance(cancelled, asyncio.CancelledError)


def test_a_caller_that_is_cancelled_before_its_batch_leaves_does_not_travel() -> None:
    sqs = Sqs()

    async def cancel_at_once() -> None:
        aws = AsyncioAws(sqs)
        callers = [
            asyncio.ensure_future(aws.perform(DeleteMessage(URLS[0], f"{number}")))
            for number in range(3)
        ]
        await asyncio.sleep(0)
        for caller in callers[:2]:
            caller.cancel()
        await asyncio.wait(callers)
        only = asyncio.ensure_future(aws.perform(DeleteMessage(URLS[1], "only")))
        await asyncio.sleep(0)
        only.cancel()
        await asyncio.sleep(1)

    run(cancel_at_once())
    assert sqs.arrived == [(URLS[0], "2")]


def test_closing_sends_what_waits_for_company() -> None:
    sqs = Sqs(lags=(5,))

    async def close_early() -> list[str]:
        aws = AsyncioAws(sqs)
        waiting = asyncio.ensure_future(aws.perform(DeleteMessage(URLS[0], "1")))
        await asyncio.sleep(0)
        await aws.close()
        sent_before = list(sqs.operations)
        await waiting
        return sent_before

    assert run(close_early()) == ["delete_message"]
    assert sqs.closed == 1


@pytest.mark.parametrize(("url", "arrived"), [(URLS[0], "01230"), (URLS[2], "0123")])
def test_an_entry_that_has_no_room_is_sent_again_unless_it_would_lose_its_place(
    url: str, arrived: str
) -> None:
    sqs = Sqs()
    answer = sqs._answer_batch

    def without_the_first(params: dict[str, Any]) -> dict[str, Any]:
        answered = answer(params)
        if len(params["Entries"]) > 1:
            failed = {"Id": "0", "Code": "ThrottlingException", "Message": "slow"}
            kept = [each for each in answered["Successful"] if each["Id"] != "0"]
            return {"Successful": kept, "Failed": [failed]}
        return answered

    sqs._answer_batch = without_the_first  # type: ignore[method-assign]
    sends = [SendMessage(url, f"{number}") for number in range(4)]
    first, *others = run(AsyncioAws(sqs).perform_all(sends))
    assert others == ["id of 1", "id of 2", "id of 3"]
    assert isinstance(first, Throttled) == url.endswith(".fifo")
    assert "".join(name for _, name in sqs.arrived) == arrived


# -- what a batch is to AWS -----------------------------------------------------------------------


def test_an_entry_is_put_as_a_lone_request_is() -> None:
    send = SendMessage(URLS[2], "b", 0, {"reason": "r"}, group_id="g", deduplication_id="d")
    alone = send.params()
    assert alone.pop("QueueUrl") == URLS[2]
    assert SENDS.params([send, send]) == {
        "QueueUrl": URLS[2],
        "Entries": [{"Id": "0", **alone}, {"Id": "1", **alone}],
    }


def test_an_entry_that_the_answer_does_not_speak_of_has_failed() -> None:
    sends = [SendMessage(URLS[0], "1"), SendMessage(URLS[0], "2")]
    first, second = SENDS.outcomes(sends, {"Successful": [{"Id": "1", "MessageId": "m"}]})
    assert isinstance(first, RequestFailed)
    assert first.code == "MissingEntry"
    assert second == "m"


def test_a_throttled_entry_says_so() -> None:
    failed = {"Id": "0", "SenderFault": False, "Code": "RequestThrottled", "Message": "slow"}
    (outcome,) = DELETES.outcomes([DeleteMessage(URLS[0], "1")], {"Failed": [failed]})
    assert isinstance(outcome, Throttled)
    assert "queue 'a'" in str(outcome)


def test_attributes_count_among_the_bytes() -> None:
    plain, marked = SendMessage(URLS[0], "é"), SendMessage(URLS[0], "é", attributes={"ab": "é"})
    assert SENDS.size_bytes(plain) == 2
    assert SENDS.size_bytes(marked) == 2 + len("ab") + len("String") + 2


# -- what SQS bills -------------------------------------------------------------------------------


def billed(sizes: list[int]) -> int:
    """Return as how many requests SQS bills a batch."""
    return max(1, ceil(sum(sizes) / BILLED_BYTES))


def may_be_a_batch(sizes: list[int]) -> bool:
    return len(sizes) <= BATCH_LIMIT and (len(sizes) == 1 or sum(sizes) <= MESSAGE_LIMIT_BYTES)


def cut_by(sizes: list[int], counts: Iterable[int]) -> list[list[int]]:
    rest = iter(sizes)
    return [list(islice(rest, count)) for count in counts]


def every_cut(sizes: list[int]) -> Iterator[list[list[int]]]:
    for marks in product([False, True], repeat=len(sizes) - 1):
        ends = [place for place, mark in enumerate(marks, 1) if mark] + [len(sizes)]
        found = cut_by(sizes, (end - begin for begin, end in zip([0, *ends], ends, strict=False)))
        if all(map(may_be_a_batch, found)):
            yield found


SIZES = st.one_of(
    st.lists(st.sampled_from([1, 700, 6_500, 7_000, 22_000, 33_000, 65_536, 300_000]), min_size=1),
    st.lists(st.integers(1, 200_000), min_size=1),
    st.builds(lambda size, count: [size] * count, st.integers(1, 100_000), st.integers(1, 60)),
)


def batches_of(sizes: list[int]) -> list[list[int]]:
    return cut_by(sizes, SENDS.cut([SendMessage(URLS[0], "x" * size) for size in sizes]))


@given(SIZES)
def test_messages_are_cut_in_their_order_and_never_dearer_than_by_tens(sizes: list[int]) -> None:
    batches = batches_of(sizes)
    assert [size for batch in batches for size in batch] == sizes
    assert all(map(may_be_a_batch, batches))
    tens = cut_by(sizes, Batch.cut(SENDS, [SendMessage(URLS[0], "x" * size) for size in sizes]))
    assert sum(map(billed, batches)) <= sum(map(billed, tens))


@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=8))
def test_no_other_cut_is_cheaper(sizes: list[int]) -> None:
    def cost(batches: list[list[int]]) -> tuple[int, int]:
        return sum(map(billed, batches)), len(batches)

    assert cost(batches_of(sizes)) == min(map(cost, every_cut(sizes)))


def by_many(requests: list[SendMessage]) -> list[int]:
    sqs = Sqs()
    run(AsyncioAws(sqs).perform_all(requests))
    return list(map(len, entries_of(sqs)))


def by_each(requests: list[SendMessage]) -> list[int]:
    sqs = Sqs()

    async def each_by_itself() -> None:
        aws = AsyncioAws(sqs)
        await asyncio.gather(*map(aws.perform, requests))

    run(each_by_itself())
    return list(map(len, entries_of(sqs)))


def by_a_thread(requests: list[SendMessage]) -> list[int]:
    sqs, aws = Sqs(), BlockingAws()
    aws._send = sqs  # type: ignore[assignment]
    run_now(aws.perform_all(requests))
    return list(map(len, entries_of(sqs)))


@pytest.mark.parametrize("send", [by_many, by_each, by_a_thread])
@pytest.mark.parametrize("size", [500, 7_000, 20_000])
def test_requests_are_cut_alike_however_they_come_together(
    send: Callable[[list[SendMessage]], list[int]], size: int
) -> None:
    requests = [SendMessage(URLS[0], "x" * size) for _ in range(36)]
    assert sorted(send(requests)) == sorted(map(len, batches_of([size] * 36)))


@pytest.mark.parametrize(
    ("size", "cut"),
    [(500, [10, 10, 10, 6]), (7_000, [9, 9, 9, 9]), (200_000, [5, 5, 5, 5, 5, 5, 5, 1])],
)
def test_messages_fill_chunks_of_sixty_four_kilobytes(size: int, cut: list[int]) -> None:
    assert sorted(map(len, batches_of([size] * 36)), reverse=True) == cut
