"""Whatever lies on a queue, the executor answers: it runs, or it is a dead letter."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caraway.core.claim_check import Store
from caraway.core.context import Context
from caraway.core.disposition import Delete, Leave
from caraway.core.record import DONE, FAILED, RETRY
from caraway.core.routing import Queue
from caraway.core.signing import Signing
from caraway.exceptions import EncodeError, Ignore, Reject, Retry
from caraway.requests.dynamodb import ITEM_LIMIT_BYTES, UpdateItem
from tests.depth import examples
from tests.fuzz.answers import Answers, Function, phases_of
from tests.fuzz.inputs import FULL, KINDS, Kind, make
from tests.support import FakeTask, World

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.usefixtures("unmeasured", "loggers_as_they_were")

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
ENVELOPE: dict[str, Any] = {
    **{name: value for name, value in FULL.items() if name != "digest"},
    "payload": {"s3": "s3://bucket/k", "sha256": "0" * 64, "bytes": 5},
}
INNER = {"caraway": 1, "id": "i", "task": "ok", "args": ["x" * 600], "compression": "zlib"}
COMPRESSED = base64.b64encode(gzip.compress(json.dumps(INNER).encode())).decode()
SERIALIZED = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
TASKS = ("ok", "fails", "retries", "rejects", "ignores", "unknown")
PLAUSIBLE: tuple[Any, ...] = (
    *(0, 1, -1, 10**40, 1e308, "", "x", "\ud800", "\x00", [], {}, [None], [[]], "x" * 3_000, None),
    *("2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *({"task": "ok"}, [{"task": "ok"}], [{"task": "ok", "args": [1], "later": 2}]),
    [{"task": "ok", "options": {"queue": "nowhere"}}],
    [{"task": "ok", "options": {"eta": 5, "link": 5}}],
    [{"task": "ok", "options": {"serializer": "nothing", "compression": "nothing"}}],
    [{"task": "ok", "args": ["x" * 600], "options": {"serializer": 5, "compression": "gzip"}}],
    *({"compression": "gzip", "data": data} for data in (COMPRESSED, COMPRESSED[:-8], "", None)),
    {"compression": "zstd", "s3": "s3://bucket/k", "sha256": "0" * 64},
    [{"__type__": "serialized", "__value__": {**SERIALIZED, "data": "gAWVCQAAAAAAAAA="}}],
)
plausible = st.sampled_from(PLAUSIBLE)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An envelope some of whose fields are missing, or hold something else."""
    envelope = {**ENVELOPE, "task": draw(st.sampled_from(TASKS))}
    if draw(st.booleans()):
        del envelope["payload"]
    for name in draw(st.lists(st.sampled_from([*ENVELOPE, "later"]), max_size=4)):
        if draw(st.booleans()):
            envelope.pop(name, None)
        else:
            envelope[name] = draw(plausible | anything)
    return json.dumps(envelope)


def world(*, fifo: bool, store: Store) -> World:
    def retries(request: Context) -> None:
        if request.retries < 2:
            raise Retry(when=1, args=[*request.args, "again"])

    def raises(error: BaseException) -> Any:
        def function(_request: Context) -> None:
            raise error

        return function

    return World(
        FakeTask("ok", lambda request: list(request.args)),
        FakeTask("fails", raises(ValueError("no"))),
        FakeTask("retries", retries),
        FakeTask("rejects", raises(Reject("no"))),
        FakeTask("ignores", raises(Ignore())),
        queues=[Queue("default", fifo=fifo)],
        store=store,
    )


BUCKET = Store("bucket", message_limit_bytes=500, result_limit_bytes=50)
SQUEEZING = replace(BUCKET, result_compression="zlib", compression_threshold_bytes=100)
stores = st.sampled_from([Store(), BUCKET, SQUEEZING])


@settings(max_examples=examples(150), deadline=None)
@given(st.text() | anything.map(json.dumps) | mutated(), st.booleans(), stores)
def test_any_body_is_run_or_is_a_dead_letter(body: str, fifo: bool, store: Store) -> None:
    there = world(fifo=fifo, store=store)
    there.put(body)
    first = there.deliver()
    assert isinstance(first, Delete | Leave)
    there.drain()
    undeliverable = isinstance(first, Delete) and first.undeliverable
    phases = phases_of(there)
    assert phases <= {DONE, FAILED}, phases
    assert undeliverable or phases
    assert not undeliverable or there.dead_letters()
    assert (FAILED in phases) <= bool(there.dead_letters())
    all_can_be_sent(there)


def all_can_be_sent(there: World) -> None:
    """Memory takes any text; AWS takes what has a UTF-8 form, and items of 400 KB."""
    for request in there.aws.requests:
        text = json.dumps(request.params(), ensure_ascii=False, default=bytes.hex).encode()
        assert not isinstance(request, UpdateItem) or len(text) < ITEM_LIMIT_BYTES


@settings(max_examples=examples(80), deadline=None)
@given(mutated(), st.booleans(), stores)
def test_any_body_that_is_delivered_twice_has_the_effect_of_one(
    body: str, fifo: bool, store: Store
) -> None:
    there = world(fifo=fifo, store=store)
    there.put(body)
    there.put(body)
    there.drain()
    once = world(fifo=fifo, store=store)
    once.put(body)
    once.drain()
    assert endings(there) == endings(once)
    runs = {name: len(task.runs) for name, task in there.tasks.items()}
    assert runs == {name: len(task.runs) for name, task in once.tasks.items()}


SIGNING = Signing.of({"k": "s" * 32}, "k", required=True)


@settings(max_examples=examples(100), deadline=None)
@given(mutated(), st.sampled_from([*ENVELOPE, "later", "signature"]), plausible | anything, stores)
def test_a_signed_message_that_was_changed_anywhere_is_a_dead_letter(
    text: str, name: str, value: Any, store: Store
) -> None:
    assert SIGNING is not None
    envelope = json.loads(text)
    try:
        signed = {**envelope, "signature": SIGNING.value_of(envelope)}
    except EncodeError:  # a number that cannot be written
        return
    changed = {**signed, name: value}
    assume(json.dumps(changed, sort_keys=True) != json.dumps(signed, sort_keys=True))
    assume("id" in envelope or name != "scheduled_time")  # EventBridge fills it in
    there = World(*world(fifo=False, store=store).tasks.values(), store=store, signing=SIGNING)
    there.put(json.dumps(changed))
    first = there.deliver()
    assert isinstance(first, Delete)
    assert first.undeliverable
    assert there.dead_letters()
    assert there.aws.items == {}
    assert not any(task.runs for task in there.tasks.values())


def endings(there: World) -> dict[str, tuple[Any, ...]]:
    """Return how each task ended."""
    return {
        id: (item["phase"], item["state"], item["attempt"], item.get("digest"))
        for (_table, id), item in there.aws.items.items()
        if "phase" in item  # the places of a group have none
    }


def test_the_fuzz_reaches_every_ending() -> None:
    for name, phase in (("ok", DONE), ("retries", DONE), ("rejects", FAILED), ("unknown", FAILED)):
        there = world(fifo=False, store=Store())
        sent = there.send(name)
        there.drain()
        assert there.record(sent).phase == phase
    there = world(fifo=False, store=Store())
    sent = there.send("retries")
    there.deliver()
    assert there.record(sent).phase == RETRY


SEED = 7
INPUTS = 500


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_comes_in_is_run_or_is_a_dead_letter_with_a_reason(kind: Kind) -> None:
    """The short form of ``make fuzz``."""
    answers, function = Answers(), Function()
    for number in range(INPUTS):
        answers.ask(make(SEED, kind, number), function)
    function.close()
    assert answers.broken == []
    assert min(answers.run, answers.dead) > INPUTS / 20


def test_an_input_can_be_made_again() -> None:
    assert make(SEED, "pointer", 3) == make(SEED, "pointer", 3)
    assert make(SEED, "pointer", 3) != make(SEED + 1, "pointer", 3)
