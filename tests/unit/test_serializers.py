"""Serializers: what each writes comes back, and nothing is opened that is not accepted."""

from __future__ import annotations

import base64
import json
import pickle
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel

from caraway import Task, serialization
from caraway.cli.outcome import as_json, seen_now, value_text
from caraway.core import serializers
from caraway.core.codec import decode, encode
from caraway.core.decoding import decoders
from caraway.core.disposition import Delete
from caraway.core.serializers import Accepted, Contents, serializer_named
from caraway.exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    ImproperlyConfigured,
    InvalidArguments,
    InvalidOption,
    UnknownOption,
)
from caraway.signatures import Signature
from tests.stage import Stage
from tests.values import same, values

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILT_IN = ("json", "pickle", "msgpack", "yaml")
ALL = ("pickle", "msgpack", "yaml")
fired: list[str] = []
"""What pickles have run in this process."""


def fire(what: str) -> str:
    fired.append(what)
    return what


class Bomb:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> Any:
        return fire, ("bang",)


class Point:
    """What no codec knows."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return self.x


class Colour(Enum):
    RED = "red"


class Order(BaseModel):
    id: int
    due: date
    picture: bytes = b""


@dataclass
class Parcel:
    weight: Decimal


@pytest.fixture(autouse=True)
def nothing_fires() -> Iterator[None]:
    fired.clear()
    yield
    assert fired == []


@pytest.fixture
def custom() -> Iterator[list[Any]]:
    """Register a serializer that only its reader can read; give what it was handed."""
    handed: list[Any] = []

    def write(value: Any) -> bytes:
        handed.append(value)
        return b"sealed:" + pickle.dumps(value)

    def read(payload: bytes) -> Any:
        return pickle.loads(payload.removeprefix(b"sealed:"))

    serialization.register("sealed", write, read, "application/x-sealed", "binary")
    yield handed
    with suppress(ImproperlyConfigured):
        serialization.unregister("sealed")


def stage(serializer: str = "json", **conf: Any) -> Stage:
    """Return an app that writes with a serializer, and reads all."""
    given = {
        "task_serializer": serializer,
        "result_serializer": serializer,
        "accept_content": list(ALL),
    }
    return Stage(**{**given, **conf})


def first_argument(there: Stage) -> Any:
    """Return the first argument of the message on the queue, as it travels."""
    return there.sent()[0].args[0]


# -- any value --------------------------------------------------------------------------------


@cache
def echo(serializer: str) -> Any:
    return stage(serializer).app.task(name="echo")(lambda value: value)


@pytest.mark.parametrize("serializer", BUILT_IN)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(value=values)
@example(value=["\x85", "a\n b", "\u2029 ", "\r"])
@example(
    value=[
        "\x85\u2028\ufeff\x00\n\t",
        " a ",
        "1e3",
        "yes",
        "=",
        "2030-01-31",
        "~",
        "1_0",
        "\U0001f600",
    ]
)
@example(value={"": [[], {}, ""], "<<": {"a": 1}, "- x": "# no", "\\": '"'})
def test_any_value_that_a_serializer_takes_survives_the_whole_way(
    serializer: str, value: Any
) -> None:
    task = echo(serializer)
    with suppress(InvalidArguments):  # msgpack's integers have 64 bits
        assert same(task.apply((value,)).get(), value)


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
def test_json_msgpack_and_yaml_bring_back_the_same(serializer: str) -> None:
    sent = {
        "pair": (1, 2),
        "colour": Colour.RED,
        "parcel": Parcel(Decimal("1.50")),
        "order": Order(id=1, due=date(2030, 1, 31)),
        "at": datetime(2030, 1, 31, tzinfo=timezone.utc),
        "bytes": b"\x00\xff",
        3: {1, 2},
    }
    assert echo(serializer).apply((sent,)).get() == {
        "pair": [1, 2],
        "colour": "red",
        "parcel": {"weight": Decimal("1.50")},
        "order": {"id": 1, "due": date(2030, 1, 31), "picture": b""},
        "at": datetime(2030, 1, 31, tzinfo=timezone.utc),
        "bytes": b"\x00\xff",
        3: {1, 2},
    }


def test_a_pickle_brings_back_any_object() -> None:
    assert echo("pickle").apply((Point(3),)).get() == Point(3)
    assert echo("pickle").apply((((1, 2), Colour.RED),)).get() == ((1, 2), Colour.RED)


@pytest.mark.parametrize("serializer", BUILT_IN)
def test_annotations_decide_what_arrives(serializer: str) -> None:
    arrived: list[Any] = []
    there = stage(serializer)

    @there.app.task(name="take")
    def take(order: Order, parcels: list[Parcel], url: AnyUrl, count: int, colour: Colour) -> Order:
        arrived.extend((order, parcels, url, count, colour))
        return order

    order, url = Order(id=1, due=date(2030, 1, 31), picture=b"\xff"), AnyUrl("https://example.com/")
    parcels = [Parcel(Decimal("1.50"))]
    result = take.delay(order, parcels, url, "5", colour=Colour.RED)  # type: ignore[arg-type]
    there.work()
    assert arrived == [order, parcels, url, 5, Colour.RED]
    assert result.get() == order


@pytest.mark.parametrize("serializer", BUILT_IN)
def test_arguments_are_checked_whatever_writes_them(serializer: str) -> None:
    task: Any = stage(serializer).app.task(name="take")(take_a_number)
    with pytest.raises(InvalidArguments, match="argument number"):
        task.delay("many")
    with pytest.raises(InvalidArguments, match="missing 1 required positional argument"):
        task.delay()


def take_a_number(number: int) -> int:
    return number


# -- what travels -----------------------------------------------------------------------------


def test_the_envelope_stays_json_and_each_argument_is_one_value() -> None:
    there = stage("msgpack")
    there.app.send_task("echo", (1, "two"), {"three": [3]})
    (body,) = there.memory.bodies("default")
    envelope = json.loads(body)
    assert (envelope["caraway"], envelope["task"], envelope["serializer"]) == (1, "echo", "msgpack")
    assert envelope["args"][1] == {
        "__type__": "serialized",
        "__value__": {
            "content_type": "application/x-msgpack",
            "content_encoding": "binary",
            "data": base64.b64encode(b"\xa3two").decode(),
        },
    }
    assert list(envelope["kwargs"]) == ["three"]


def test_text_travels_as_text() -> None:
    there = stage("yaml")
    there.app.send_task("echo", ({"due": [1, 2]},))
    content = first_argument(there)["__value__"]
    assert (content["content_encoding"], content["data"]) == ("utf-8", "due:\n- 1\n- 2\n")


def test_msgpack_carries_bytes_as_bytes() -> None:
    there = stage("msgpack")
    there.app.send_task("echo", (bytes(3_000),))
    data = base64.b64decode(first_argument(there)["__value__"]["data"])
    assert len(data) < 3_010


def test_json_is_the_default_and_leaves_no_trace() -> None:
    there = Stage()
    there.app.send_task("echo", (1,))
    there.app.send_task("echo", (1,), serializer="json")
    assert [set(json.loads(body)) for body in there.memory.bodies("default")] == [
        {"caraway", "id", "task", "args", "root_id", "sent_at", "digest"}
    ] * 2


@pytest.mark.parametrize(
    ("value", "foreign"),
    [
        ([1, None, {"a": 2.5}], b"\x93\x01\xc0\x81\xa1a\xcb\x40\x04\x00\x00\x00\x00\x00\x00"),
        (b"\xff", b"\xc4\x01\xff"),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc), b"\xd6\xff\x00\x00\x00\x01"),
        ({1: 2}, b"\x81\x01\x02"),
    ],
)
def test_other_languages_write_plain_msgpack(value: Any, foreign: bytes) -> None:
    assert serializer_named("msgpack").read(content("msgpack", foreign)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2030-01-31", date(2030, 1, 31)),
        ("a: [1, x]", {"a": [1, "x"]}),
        ("!!binary /w==", b"\xff"),
        ("!!set {a, b}", {"a", "b"}),
    ],
)
def test_other_languages_write_plain_yaml(text: str, value: Any) -> None:
    assert serializer_named("yaml").read(content("yaml", text)) == value


@given(values)
@settings(deadline=None, max_examples=20)
def test_json_may_be_wrapped_as_the_others_are(value: Any) -> None:
    assert same(decode(serializer_named("json").encode(value), Accepted().read), value)


@pytest.mark.parametrize("data", [None, 5, ["x"]])
def test_text_content_without_text_is_refused(data: Any) -> None:
    with pytest.raises(DecodeError, match="is not text"):
        Accepted().read({"content_type": "application/json", "data": data})


def test_json_may_be_marked_as_such() -> None:
    assert Accepted().read(content("json", '{"a": [1]}')) == {"a": [1]}


# -- choosing one -----------------------------------------------------------------------------


def test_the_call_goes_before_the_task_and_the_task_before_the_setting() -> None:
    there = stage("yaml")
    there.app.task(name="own", serializer="pickle")(take_a_number)
    plain = there.app.task(name="plain")(take_a_number)
    there.app.tasks["own"].delay(1)
    there.app.tasks["own"].apply_async((1,), serializer="msgpack")
    plain.delay(1)
    plain.apply_async((1,), serializer="json")
    assert [message.serializer for message in there.sent()] == ["pickle", "msgpack", "yaml", None]


def test_results_are_written_by_a_setting_of_their_own() -> None:
    there = stage("json", result_serializer="yaml")
    result = there.app.task(name="own", serializer="pickle")(take_a_number).delay(1)
    there.work()
    assert json.loads(there.record(result.id).result or "")["__value__"]["data"] == "1\n...\n"
    assert result.get() == 1


def test_a_retry_with_other_arguments_keeps_the_serializer() -> None:
    there = stage("json")
    seen: list[Any] = []

    @there.app.task(name="work", bind=True, max_retries=None)
    def work(self: Any, value: Any) -> None:
        seen.append(value)
        if len(seen) == 1:
            self.retry(args=(Point(2),))
        if len(seen) == 2:
            self.retry(serializer="msgpack", args=([2],))
        if len(seen) == 3:
            self.retry()
        if len(seen) == 4:
            self.retry(serializer="json")

    work.apply_async((Point(1),), serializer="pickle")
    names = []
    while there.sent():
        names.append(there.sent()[0].serializer)
        there.work_once()
    assert seen == [Point(1), Point(2), [2], [2], [2]]
    assert names == ["pickle", "pickle", "msgpack", "msgpack", None]


def test_a_callback_takes_the_result_as_it_was_written() -> None:
    there = stage("json", result_serializer="pickle")
    seen: list[Any] = []
    make = there.app.task(name="make")(lambda: Point(7))
    take = there.app.task(name="take")(lambda point, more: seen.append((point, more)))
    make.apply_async(link=[take.s(more=1), take.s(more=Point(2)).set(serializer="pickle")])
    there.work()
    assert seen == [(Point(7), 1), (Point(7), Point(2))]


def test_an_errback_is_called_whatever_writes_arguments() -> None:
    there = stage("pickle")
    seen: list[Any] = []

    def fails(point: Point) -> None:
        raise ValueError(str(point.x))

    errback = there.app.task(name="errback")(lambda request, exc, _tb: seen.append((request, exc)))
    sent = there.app.task(name="fails")(fails).apply_async((Point(1),), link_error=errback.s())
    there.work()
    ((request, exc),) = seen
    assert (request.id, repr(exc)) == (sent.id, "ValueError('1')")


def test_an_errback_is_told_of_the_arguments_as_they_were() -> None:
    there = stage("json")
    told: list[Any] = []

    def fails(day: date, *, point: Any) -> None:
        raise ValueError

    errback = there.app.task(name="errback")(lambda request, *_: told.append(request))
    task = there.app.task(name="fails")(fails)
    day, headers = date(2030, 1, 31), {"since": date(2029, 1, 1)}
    for serializer in ("pickle", "json"):
        point: Any = Point(1) if serializer == "pickle" else 1
        task.apply_async(
            (day,), {"point": point}, serializer=serializer, headers=headers, link_error=errback.s()
        )
        there.work()
        assert (told[-1].args, told[-1].kwargs) == ([day], {"point": point})
        assert told[-1].headers == headers


def test_an_errback_is_called_though_nobody_can_open_the_arguments() -> None:
    there = Stage()
    told: list[Any] = []
    there.app.task(name="errback")(lambda request, *_: told.append(request.args))
    there.app.task(name="echo")(take_a_number)
    errback = {"task": "errback"}
    body = {"caraway": 1, "id": "i", "task": "echo", "args": [armed()], "link_error": [errback]}
    there._execute(json.dumps(body), "default", 1)
    there.work()
    assert told == [[armed()]]


def test_a_signature_survives_as_data() -> None:
    there = stage("pickle")
    take = there.app.task(name="take")(take_a_number)
    written = json.loads(json.dumps(take.s(5).to_dict()))
    assert written["options"]["serializer"] == "pickle"
    assert Signature.from_dict(written, there.app).args == (5,)
    there.app.conf.accept_content = ["json"]
    with pytest.raises(ContentDisallowed, match="accept_content"):
        Signature.from_dict(written, there.app)


def test_a_signature_of_an_unknown_task_is_written_likewise() -> None:
    there = stage("msgpack")
    written = there.app.signature("elsewhere", (b"\x00",)).to_dict()
    assert written["args"][0]["__value__"]["content_type"] == "application/x-msgpack"


def test_a_schedule_sends_what_the_serializer_writes() -> None:
    from caraway.beat import schedules_of

    there = stage("yaml")
    there.app.conf.beat_schedule = {"tell": {"task": "tell", "schedule": 60, "args": (b"\xff",)}}
    (rule,) = schedules_of(there.app, datetime(2030, 1, 1, tzinfo=timezone.utc))
    envelope = json.loads(rule.text)
    assert envelope["serializer"] == "yaml"
    assert decode(envelope["args"], there.app.site.contents.accepted.read) == [b"\xff"]


# -- the digest -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(value=values)
def test_the_same_call_has_the_same_digest_whatever_writes_it(value: Any) -> None:
    digests = set()
    for serializer in BUILT_IN:
        there = stage(serializer)
        with suppress(EncodeError):
            there.app.send_task("echo", (value,), {"again": value})
            digests.add(there.sent()[0].digest)
    assert len(digests) == 1


def test_an_object_that_json_cannot_carry_has_the_digest_of_its_bytes() -> None:
    digests = []
    for number in (1, 1, 2):
        there = stage("pickle")
        there.app.send_task("echo", (Point(number),))
        digests.append(there.sent()[0].digest)
    assert digests[0] == digests[1] != digests[2]


# -- what is not accepted ---------------------------------------------------------------------


def content(name: str, payload: str | bytes) -> Any:
    """Return what the tag of a serialized value holds."""
    serializer = serializer_named(name)
    data = payload if isinstance(payload, str) else base64.b64encode(payload).decode()
    return {
        "content_type": serializer.content_type,
        "content_encoding": "utf-8" if isinstance(payload, str) else "binary",
        "data": data,
    }


def armed() -> Any:
    """Return a pickle that runs something, as a value of the codec."""
    return {"__type__": "serialized", "__value__": content("pickle", pickle.dumps(Bomb()))}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([armed()], {}),
        ([], {"value": armed()}),
        ([[{"deep": [armed()]}]], {}),
        ([{"__type__": "dict", "__value__": [[1, armed()]]}], {}),
        ([{"__type__": "set", "__value__": [armed()]}], {}),
    ],
)
def test_a_pickle_in_a_message_executes_nothing(args: Any, kwargs: Any) -> None:
    there = Stage()
    ran: list[Any] = []
    there.app.task(name="echo", autoretry_for=(Exception,))(lambda value: ran.append(value))
    body = json.dumps({"caraway": 1, "id": "i", "task": "echo", "args": args, "kwargs": kwargs})
    there._execute(body, "default", 1)
    assert ran == []
    (letter,) = there.memory.queues["default-dlq"]
    reason = letter.request.attributes["reason"]
    assert "application/x-python-serialize is not accepted" in reason
    assert "accept_content would have to name 'pickle'" in reason
    with pytest.raises(ContentDisallowed, match="accept_content"):
        there.app.AsyncResult("i").get()


def test_a_worker_that_accepts_it_runs_the_dead_letter() -> None:
    there = Stage(task_serializer="pickle")
    result = there.app.task(name="echo")(take_a_number).delay(5)
    there.work()
    assert result.state == "FAILURE"
    (letter,) = there.memory.queues.pop("default-dlq")
    there.app.conf.accept_content = ["pickle"]
    there._execute(letter.request.body, "default", 1)
    assert result.get() == 5


@pytest.mark.parametrize(
    "envelope",
    [
        {"headers": {"h": armed()}},
        {"link": [{"task": "echo", "args": [armed()]}]},
        {"link_error": [{"task": "echo", "args": [armed()]}]},
        {"link": [{"task": "echo", "options": {"headers": {"h": armed()}}}]},
    ],
)
def test_a_pickle_beside_the_arguments_executes_nothing(envelope: Any) -> None:
    there = Stage()
    there.app.task(name="echo", bind=True)(lambda self, value=None, *_: self.request.callbacks)
    there._execute(json.dumps({"caraway": 1, "id": "i", "task": "echo", **envelope}), "default", 1)
    there.work()


def test_a_pickle_in_headers_is_not_read_though_pickles_are_accepted() -> None:
    there = stage()
    there.app.task(name="echo")(lambda: None)
    body = {"caraway": 1, "id": "i", "task": "echo", "headers": {"h": armed()}}
    there._execute(json.dumps(body), "default", 1)
    assert there.record("i").state == "FAILURE"


def recorded(there: Stage, state: str, **attributes: Any) -> None:
    there.memory.items[there.app.conf.task_table, "i"] = {
        "id": "i",
        "phase": "done",
        "state": state,
        "task": "echo",
        "attempt": 0,
        **{name: json.dumps(value) for name, value in attributes.items()},
    }


def test_a_pickle_in_a_record_executes_nothing() -> None:
    there = Stage()
    recorded(there, "SUCCESS", result=armed())
    result = there.app.AsyncResult("i")
    with pytest.raises(ContentDisallowed, match="is not accepted: accept_content would have"):
        result.get()
    with pytest.raises(ContentDisallowed):
        _ = result.result
    there.app.task(name="echo")(take_a_number)
    with pytest.raises(ContentDisallowed):
        there.app.AsyncResult("i").get()


def test_a_pickle_in_an_error_or_in_meta_executes_nothing() -> None:
    there = stage()  # though pickles are accepted
    error = {"exc_type": "ValueError", "exc_module": "builtins", "exc_message": [armed()]}
    recorded(there, "FAILURE", result=error)
    assert isinstance(there.app.AsyncResult("i").get(propagate=False), ValueError)
    recorded(there, "PROGRESS", meta={"m": armed()})
    with pytest.raises(ContentDisallowed):
        _ = there.app.AsyncResult("i").info


def test_the_command_line_shows_that_a_result_is_not_accepted() -> None:
    there = Stage()
    recorded(there, "SUCCESS", result=armed())
    seen = seen_now(there.app, "i")
    assert value_text(there.app, seen).startswith("<content of type application/x-python-serialize")
    assert as_json(seen)["result"] == armed()
    there.app.conf.accept_content = ["msgpack"]
    recorded(there, "SUCCESS", result=serializer_named("msgpack").encode([1, "two"]))
    assert value_text(there.app, seen_now(there.app, "i")) == '[1, "two"]'


def test_results_may_be_accepted_apart() -> None:
    there = stage("msgpack", result_accept_content=["json"])
    result = there.app.task(name="echo")(take_a_number).delay(5)
    there.work()
    with pytest.raises(ContentDisallowed, match="result_accept_content would have to name 'msg"):
        result.get()
    there.app.conf.result_accept_content = ["application/x-msgpack"]
    assert there.app.AsyncResult(result.id).get() == 5


contents = (
    st.dictionaries(
        st.sampled_from(["content_type", "content_encoding", "data", "later"]),
        st.sampled_from(
            ["application/x-msgpack", "application/x-yaml", "application/x-nothing", "utf-8"]
        )
        | st.sampled_from(["binary", "", "gA==", "[" * 3_000, "{a: " * 300, None, 5])
        | st.text()
        | st.binary().map(lambda data: base64.b64encode(data).decode()),
    )
    | st.none()
    | st.text()
)


@given(contents, st.booleans())
@settings(deadline=None)
def test_any_content_is_a_value_or_is_refused(given: Any, whole: bool) -> None:
    accepted = Accepted.of(["msgpack", "yaml", "application/x-nothing"], "accept_content")
    data = {"__type__": "serialized", "__value__": given} if whole else given
    with suppress(DecodeError):
        decode(data, accepted.read)


wild = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(), inner, max_size=3),
        st.fixed_dictionaries(
            {
                "__type__": st.sampled_from([*decoders, "serialized", "nothing"]) | inner,
                "__value__": inner | contents,
            }
        ),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(st.lists(wild, max_size=3), st.dictionaries(st.text(), wild, max_size=2))
@pytest.mark.parametrize("accepted", [[], ["msgpack", "yaml"]], ids=["json", "all"])
def test_any_arguments_are_run_or_are_a_recorded_failure(
    accepted: list[str], args: Any, kwargs: Any
) -> None:
    there = Stage(accept_content=accepted)
    ran: list[Any] = []
    there.app.task(name="take", typing=False)(lambda *args, **kwargs: ran.append(args))
    errback = {"task": "errback"}
    there.app.task(name="errback")(lambda request, *_: None)
    body = {"caraway": 1, "id": "i", "task": "take", "args": args, "kwargs": kwargs}
    disposition = there._execute(json.dumps({**body, "link_error": [errback]}), "default", 1)
    assert isinstance(disposition, Delete)
    assert there.record("i").state == ("SUCCESS" if ran else "FAILURE")
    there.work()


def test_yaml_builds_no_objects_and_multiplies_nothing() -> None:
    laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    for text in (laughs, "!!python/object/apply:os.getcwd []", "&a [*a]"):
        with pytest.raises(DecodeError, match="yaml cannot read it"):
            serializer_named("yaml").read(content("yaml", text))


@pytest.mark.parametrize("payload", [b"", b"\xdd\xff\xff\xff\xff", b"\x91" * 5_000, b"\xc1", b"11"])
def test_msgpack_that_promises_too_much_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError, match="msgpack cannot read it"):
        serializer_named("msgpack").read(content("msgpack", payload))


def test_what_cannot_be_unpickled_fails_the_task() -> None:
    there = stage()
    there.app.task(name="echo")(take_a_number)
    broken = {"__type__": "serialized", "__value__": content("pickle", b"cnowhere\nThing\n.")}
    body = json.dumps({"caraway": 1, "id": "i", "task": "echo", "args": [broken]})
    there._execute(body, "default", 1)
    with pytest.raises(InvalidArguments, match="pickle cannot read it: ModuleNotFoundError"):
        there.app.AsyncResult("i").get()


# -- serializers of one's own -----------------------------------------------------------------


def test_a_serializer_of_ones_own_gets_every_value_as_it_is(custom: list[Any]) -> None:
    there = stage("sealed", accept_content=["sealed"])
    order = Order(id=1, due=date(2030, 1, 31))
    seen: list[Any] = []

    @there.app.task(name="take")
    def take(order: Order, pair: Any, none: None) -> timedelta:
        seen.extend((order, pair, none))
        return timedelta(days=1)

    result = take.delay(order, (1, Point(2)), None)
    assert custom == [order, (1, Point(2)), None]
    there.work()
    assert seen == custom[:3]
    assert result.get() == custom[3] == timedelta(days=1)


def test_text_of_ones_own_travels_as_text() -> None:
    serialization.register("shout", lambda value: value.upper().encode(), str.lower, "text/x-shout")
    try:
        there = stage("shout", accept_content=["text/x-shout"])
        there.app.send_task("echo", ("hello",))
        assert first_argument(there)["__value__"]["data"] == "HELLO"
        assert decode(first_argument(there), there.app.site.contents.accepted.read) == "hello"
    finally:
        serialization.unregister("shout")


@pytest.mark.usefixtures("custom")
def test_what_only_the_producer_has_registered_is_a_dead_letter() -> None:
    there = stage("sealed", accept_content=["application/x-sealed"])
    result = there.app.task(name="echo")(take_a_number).delay(5)
    serialization.unregister("sealed")
    there.app.conf.task_serializer = there.app.conf.result_serializer = "json"
    there.work()
    (letter,) = there.memory.queues["default-dlq"]
    assert "no serializer for it is registered here" in letter.request.attributes["reason"]
    with pytest.raises(ContentDisallowed):
        result.get()


@pytest.mark.usefixtures("custom")
def test_a_content_type_has_one_owner_and_json_stays() -> None:
    with pytest.raises(ValueError, match="belongs to the serializer 'sealed'"):
        serialization.register("other", str, str, "application/x-sealed")
    with pytest.raises(ValueError, match="choose another name"):
        serialization.register("json", str, str, "application/x-mine")
    with pytest.raises(ValueError, match="it stays"):
        serialization.unregister("json")
    with pytest.raises(ImproperlyConfigured, match="no serializer named 'seeled', did you mean"):
        serialization.unregister("seeled")
    serialization.register("sealed", str, str, "application/x-sealed")  # a module loaded anew


def test_what_an_encoder_raises_names_the_argument() -> None:
    there = stage("pickle")
    with pytest.raises(EncodeError, match=r"args\[0\]: pickle cannot serialise it: .*lambda"):
        there.app.send_task("echo", (lambda: None,))
    with pytest.raises(EncodeError, match=r"args\[0\]\['a'\]: object of type .*Point cannot be"):
        there.app.send_task("echo", ({"a": Point(1)},), serializer="msgpack")
    with pytest.raises(EncodeError, match="msgpack cannot serialise it: OverflowError"):
        there.app.send_task("echo", (2**70,), serializer="msgpack")


def test_a_result_that_a_serializer_refuses_fails_the_task() -> None:
    there = stage("json", result_serializer="msgpack")
    result = there.app.task(name="give")(lambda: 2**70).delay()
    there.work()
    with pytest.raises(EncodeError, match="result: msgpack cannot serialise it"):
        result.get()


# -- names that mean nothing ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["task_serializer", "result_serializer", "accept_content"])
def test_an_unknown_serializer_in_a_setting_raises_with_the_nearest(name: str) -> None:
    there = Stage()
    there.app.conf[name] = ["pickel"] if name == "accept_content" else "pickel"
    with pytest.raises(ImproperlyConfigured, match="no serializer named 'pickel', did you mean"):
        there.app.send_task("echo")


@pytest.mark.parametrize("serializer", ["pickel", 5, ""])
def test_an_unknown_serializer_in_a_call_raises(serializer: Any) -> None:
    there = Stage()
    with pytest.raises(InvalidOption, match="serializer="):
        there.app.send_task("echo", serializer=serializer)
    assert there.sent() == []


@pytest.mark.parametrize(("name", "package"), [("msgpack", "msgpack"), ("yaml", "yaml")])
def test_a_package_that_is_missing_is_said(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(wanted: str) -> None:
        if wanted == package:
            raise ModuleNotFoundError(wanted)

    monkeypatch.setattr(serializers, "import_module", found)
    with pytest.raises(ImproperlyConfigured, match=rf"pip install 'caraway\[{name}\]'"):
        Stage(task_serializer=name).app.send_task("echo")
    with pytest.raises(ImproperlyConfigured, match=rf"pip install 'caraway\[{name}\]'"):
        _ = Stage(accept_content=[name]).app.site


def test_names_near_the_options_are_not_options() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'serializer'"):
        Stage().app.send_task("echo", serialiser="json")


def test_json_is_read_whether_it_is_named_or_not() -> None:
    there = stage("json", accept_content=["msgpack"])
    result = there.app.task(name="echo")(take_a_number).delay(5)
    there.work()
    assert result.get() == 5


def test_nothing_is_opened_where_nobody_said_what_is_accepted() -> None:
    assert Contents().accepted.content_types == frozenset()
    with pytest.raises(ContentDisallowed, match="only arguments and results"):
        decode(armed())
    mine = {"__type__": "serialized", "__value__": 5}
    assert decode(encode(mine)) == mine


def test_hooks_of_a_task_that_was_not_opened_see_what_the_message_has() -> None:
    there = Stage()
    told: list[Any] = []

    class Telling(Task[..., Any]):
        def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            told.append((type(exc), list(args)))

    there.app.task(name="echo", base=Telling)(take_a_number)
    body = json.dumps({"caraway": 1, "id": "i", "task": "echo", "args": [armed()]})
    there._execute(body, "default", 1)
    assert told == [(ContentDisallowed, [armed()])]


def test_a_hook_is_told_the_value_that_a_child_process_has_written() -> None:
    there = Stage(result_serializer="pickle")  # which this worker need not accept
    task = there.app.task(name="give")(lambda: Point(3))
    product = task._product(Point(3))
    from_a_child = replace(product, value=None, shown="Point(3)")
    assert task._value(from_a_child) == task._value(product) == Point(3)
