from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections import OrderedDict, defaultdict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from pydantic import BaseModel
from typing_extensions import Self

from caraway.core import json_text
from caraway.core.codec import _registered, canonical, decode, dumps, encode, register_type
from caraway.core.decoding import decoders
from caraway.core.encoding import encoders
from caraway.core.json_text import writer
from caraway.exceptions import DecodeError, EncodeError
from tests.values import plain, same, values

if TYPE_CHECKING:
    from collections.abc import Iterator

KST = timezone(timedelta(hours=9))


class Colour(enum.Enum):
    RED = "red"
    WHEN = date(2026, 1, 1)


class Level(enum.IntEnum):
    HIGH = 3


class Named(str, enum.Enum):
    """Its text is not its value."""

    ONE = "one"

    def __new__(cls, text: str) -> Self:
        member = str.__new__(cls, text.upper())
        member._value_ = text
        return member


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass(frozen=True)
class User:
    name: str
    avatar: Any = None


class Order(BaseModel):
    id: UUID
    lines: list[User] = []


class Socket:
    pass


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class Kelvin(Celsius):
    pass


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget what a test registers."""
    tables: tuple[dict[Any, Any], ...] = (encoders, decoders, _registered)
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def trip(value: Any) -> Any:
    """Send a value through the text that travels."""
    return decode(json.loads(dumps(encode(value))))


# -- what comes back exactly ------------------------------------------------------------------


@given(values)
def test_every_supported_value_comes_back_as_it_was(value: Any) -> None:
    assert same(trip(value), value)


@given(values)
def test_what_is_encoded_is_json_that_any_parser_reads(value: Any) -> None:
    data = encode(value)
    assert json.loads(dumps(data), parse_constant=pytest.fail) == data


@given(values)
def test_what_is_encoded_can_be_encoded_again(value: Any) -> None:
    data = encode(value)
    assert decode(encode(data)) == data


@given(plain.filter(lambda value: "__type__" not in str(value) and "inf" not in str(value)))
def test_plain_json_goes_untouched(value: Any) -> None:
    assert same(encode(value), value)
    assert same(decode(value), value)


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "datetime", "__value__": "2026-01-01T00:00:00"},
        {"__type__": "dict", "__value__": [["a", 1]]},
        {"__type__": 5},
        {"a": [{"__type__": {"__type__": None}}]},
    ],
)
def test_a_dict_of_the_user_that_looks_like_a_tag_survives(value: Any) -> None:
    assert trip(value) == value


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_survives_though_json_has_none(value: float) -> None:
    assert trip([value]) == [value]


def test_nan_survives_though_json_has_none() -> None:
    assert math.isnan(trip({"mean": math.nan})["mean"])


def test_integers_beyond_the_precision_of_a_float_survive() -> None:
    assert trip(2**53 + 1) == 2**53 + 1


def test_keys_that_are_no_strings_stay_what_they_are() -> None:
    assert trip({1: "a", "1": "b", (2, date(2026, 1, 1)): "c"}) == {
        1: "a",
        "1": "b",
        (2, date(2026, 1, 1)): "c",
    }


def test_a_time_zone_arrives_as_its_offset() -> None:
    seoul = datetime(2026, 1, 1, 9, tzinfo=ZoneInfo("Asia/Seoul"))
    assert trip(seoul) == seoul
    assert trip(seoul).utcoffset() == timedelta(hours=9)


# -- how it is written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (
            datetime(2026, 1, 1, tzinfo=timezone.utc),
            {"__type__": "datetime", "__value__": "2026-01-01T00:00:00+00:00"},
        ),
        (date(2026, 1, 1), {"__type__": "date", "__value__": "2026-01-01"}),
        (time(12, 30, tzinfo=KST), {"__type__": "time", "__value__": "12:30:00+09:00"}),
        (
            timedelta(days=1, milliseconds=2),
            {
                "__type__": "timedelta",
                "__value__": {"days": 1, "seconds": 0, "microseconds": 2000},
            },
        ),
        (Decimal("1.10"), {"__type__": "decimal", "__value__": "1.10"}),
        (UUID(int=1), {"__type__": "uuid", "__value__": "00000000-0000-0000-0000-000000000001"}),
        (b"\x00\xff", {"__type__": "bytes", "__value__": "AP8="}),
        (bytearray(b"a"), {"__type__": "bytes", "__value__": "YQ=="}),
        ({3, 1, 2}, {"__type__": "set", "__value__": [1, 2, 3]}),
        pytest.param(
            frozenset({"b", "a"}),
            {"__type__": "frozenset", "__value__": ["a", "b"]},
            id="frozenset",
        ),
        (math.nan, {"__type__": "float", "__value__": "nan"}),
        ({1: "a"}, {"__type__": "dict", "__value__": [[1, "a"]]}),
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Colour.RED, "red"),
        (Colour.WHEN, {"__type__": "date", "__value__": "2026-01-01"}),
        (Level.HIGH, 3),
        (Named.ONE, "one"),
        (PurePosixPath("/a/b"), "/a/b"),
        ({PurePosixPath("a"): 1, Named.ONE: 2}, {"a": 1, "one": 2}),
        (User("Ann", b""), {"name": "Ann", "avatar": {"__type__": "bytes", "__value__": ""}}),
        (
            Order(id=UUID(int=1), lines=[User("Ann")]),
            {
                "id": {"__type__": "uuid", "__value__": "00000000-0000-0000-0000-000000000001"},
                "lines": [{"name": "Ann", "avatar": None}],
            },
        ),
    ],
    ids=repr,
)
def test_a_value_is_written_as_the_message_format_says(value: Any, data: Any) -> None:
    assert same(encode(value), data)


def test_a_subclass_is_written_as_the_type_it_comes_back_as() -> None:
    class SafeText(str):
        def __str__(self) -> str:
            return "<escaped>"

    class Timestamp(datetime):
        def isoformat(self, *args: Any) -> str:
            return "with nanoseconds"

    encoded = encode([SafeText("a"), Timestamp(2026, 1, 1)])
    assert encoded == ["a", {"__type__": "datetime", "__value__": "2026-01-01T00:00:00"}]
    assert type(encoded[0]) is str


def test_equal_sets_are_written_alike_in_every_order() -> None:
    assert encode(set([0, 8, 16])) == encode(set([16, 8, 0]))  # noqa: C405 - they collide


def test_the_last_time_zone_letter_of_other_languages_is_read() -> None:
    data = {"__type__": "datetime", "__value__": "2026-01-01T00:00:00.123Z"}
    assert decode(data) == datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=timezone.utc)


def turned(value: Any) -> Any:
    """Return an equal value with every dict in the opposite order."""
    if isinstance(value, list):
        return [turned(item) for item in value]
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return value


@given(values)
def test_canonical_text_does_not_depend_on_the_order_of_dicts(value: Any) -> None:
    assert canonical(encode(turned(value))) == canonical(encode(value))


def test_canonical_text_of_different_values_differs() -> None:
    texts = [canonical(encode(v)) for v in (1, 1.0, "1", True, [1], {1: 2}, {"1": 2}, {1}, None)]
    assert len(set(texts)) == len(texts)
    assert canonical({"__type__": "dict"}) == b'{"__type__":"dict"}'
    assert canonical({"b": "서", "a": [1.5]}) == '{"a":[1.5],"b":"서"}'.encode()


@given(values)
def test_the_order_of_a_dict_survives(value: Any) -> None:
    def order(value: Any) -> Any:
        if isinstance(value, dict):
            return [(key, order(item)) for key, item in value.items()]
        return [order(item) for item in value] if isinstance(value, list) else value

    assert order(trip(value)) == order(value)


@given(plain)
def test_canonical_text_is_the_same_after_a_trip_through_json(value: Any) -> None:
    data = encode(value)
    assert canonical(json.loads(dumps(data))) == canonical(data)


WAYS: list[dict[str, Any]] = [
    {"ensure_ascii": False, "separators": (",", ":")},
    {"ensure_ascii": True, "separators": (",", ":"), "sort_keys": True},
    {},
]


@pytest.mark.parametrize("how", WAYS, ids=["readable", "sorted", "as json.dumps"])
@given(plain)
def test_a_writer_writes_what_the_standard_library_does(how: Any, value: Any) -> None:
    assert writer(**how)(value) == json.dumps(value, **how)


def test_a_writer_needs_no_encoder_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "_in_c", None)
    assert writer(separators=(",", ":"))({"a": ["é"]}) == '{"a":["\\u00e9"]}'


def test_text_stays_readable() -> None:
    assert dumps({"city": "서울", "n": [1, 2.5, None, True]}) == (
        '{"city":"서울","n":[1,2.5,null,true]}'
    )


@pytest.mark.parametrize("text", ["\ud800", "\uffff", "서울\ufffe"])
def test_characters_that_sqs_refuses_are_escaped(text: str) -> None:
    written = dumps([text])
    assert written.isascii()
    assert json.loads(written) == [text]


# -- nothing is shared ------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [encode, decode])
def test_a_change_to_the_original_does_not_reach_the_copy(convert: Any) -> None:
    original: Any = {"plain": [1], "nested": [{"a": [{}, 1.5]}], "empty": {}}
    copy = convert(original)
    kept = json.dumps(copy)
    original["plain"].append(2)
    original["nested"][0]["a"][0]["b"] = 1
    original["empty"]["c"] = 1
    assert json.dumps(copy) == kept


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Socket(), "args[0]: object of type "),
        ({"user": User("Ann", avatar=Socket())}, "args[0]['user'].avatar: object of type "),
        ([1, (2, [Socket()])], "args[0][1][1][0]: object of type "),
        ({1: {"a": Socket()}}, "args[0][1]['a']: object of type "),
        ({"a": Socket}, "args[0]['a']: object of type type cannot"),
    ],
)
def test_an_error_names_the_place_of_what_cannot_be_serialised(value: Any, place: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode(value, path="args[0]")
    assert str(caught.value).startswith(place)
    assert "cannot be serialised" in str(caught.value)
    assert "register_type" in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({User("Ann")}, "members of a set cannot have fields"),
        ({User("Ann"): 1}, "keys cannot have fields"),
        ({"a", PurePosixPath("a")}, "two members of a set would be written alike"),
        ({"a": 1, PurePosixPath("a"): 2}, "two keys would be written alike"),
        (time(12, tzinfo=ZoneInfo("Asia/Seoul")), "depends on the date: pass a datetime"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(EncodeError, match=reason):
        encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(EncodeError, match="contains itself"):
        encode(circle)


def test_only_what_was_encoded_can_be_written() -> None:
    with pytest.raises(EncodeError, match="not JSON"):
        dumps(Socket())
    with pytest.raises(EncodeError, match="not JSON"):
        canonical({"a": math.nan})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"__type__": "datetim", "__value__": ""}, "'datetim', did you mean 'datetime'?"),
        ({"__type__": ["set"], "__value__": []}, "unknown __type__"),
        ({"__type__": "os.system", "__value__": "true"}, "unknown __type__ 'os.system'"),
        ({"__type__": "date"}, "__value__"),
        ({"__type__": "date", "__value__": "2026-01-01", "x": 1}, "__value__"),
        ({"__type__": "date", "__value__": "tomorrow"}, "'tomorrow' is no date"),
        ({"__type__": "uuid", "__value__": [1]}, "is no uuid"),
        ({"__type__": "decimal", "__value__": "one"}, "is no decimal"),
        ({"__type__": "bytes", "__value__": "%"}, "is no bytes"),
        ({"__type__": "float", "__value__": "1.5"}, "is no float"),
        ({"__type__": "timedelta", "__value__": {"days": 1e300}}, "is no timedelta"),
        ({"__type__": "set", "__value__": [{}]}, "is no set"),
        ({"__type__": "set", "__value__": "abc"}, "is no set"),
        ({"__type__": "dict", "__value__": [[[{}], 1]]}, "is no dict"),
        ((1, 2), "object of type tuple is not JSON"),
    ],
)
def test_data_that_no_encoder_wrote_is_refused(data: Any, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode([{"deep": data}])
    assert message in str(caught.value)


def test_data_nested_too_deep_is_refused() -> None:
    data: Any = []
    for _ in range(100_000):
        data = [data]
    with pytest.raises(DecodeError, match="too deep"):
        decode(data)
    while data:  # freeing it in one go would overflow the stack of old interpreters
        data = data.pop()


# -- types of the user ------------------------------------------------------------------------


@pytest.mark.usefixtures("registry")
class TestRegisteredTypes:
    @pytest.fixture(autouse=True)
    def _registered(self, registry: None) -> Iterator[None]:
        register_type(Celsius, "celsius", lambda c: [c.degrees], lambda data: Celsius(data[0]))
        return iter(())

    def test_a_registered_type_comes_back(self) -> None:
        assert trip({"t": [Celsius(21.5)]})["t"][0].degrees == 21.5

    def test_it_is_written_under_its_tag(self) -> None:
        assert encode(Celsius(math.inf)) == {
            "__type__": "celsius",
            "__value__": [{"__type__": "float", "__value__": "inf"}],
        }

    def test_a_subclass_comes_back_as_the_registered_type(self) -> None:
        assert type(trip(Kelvin(1.0))) is Celsius

    def test_registering_it_again_is_allowed(self) -> None:
        register_type(Celsius, "celsius", lambda c: c.degrees, Celsius)
        assert encode(Celsius(1.5)) == {"__type__": "celsius", "__value__": 1.5}

    @pytest.mark.parametrize("name", ["celsius", "datetime"])
    def test_a_tag_has_one_owner(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"the tag '{name}' belongs to another type"):
            register_type(Socket, name, lambda _: None, lambda _: Socket())

    def test_plain_json_cannot_be_registered(self) -> None:
        with pytest.raises(ValueError, match="list is plain JSON"):
            register_type(list, "list", list, list)

    def test_what_an_encoder_raises_names_the_place(self) -> None:
        register_type(Socket, "socket", lambda _: 1 / 0, lambda _: Socket())
        with pytest.raises(EncodeError, match=r"value\[0\]: .*Socket cannot .*division by zero"):
            encode([Socket()])

    def test_what_a_decoder_raises_names_the_type(self) -> None:
        register_type(Socket, "socket", lambda _: 1, lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
        with pytest.raises(DecodeError, match="1 is no socket: division by zero"):
            decode({"__type__": "socket", "__value__": 1})
