from __future__ import annotations

import dataclasses
import enum
import functools
import ipaddress
import json
import logging
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, Union
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    computed_field,
)
from typing_extensions import TypedDict

from caraway.core.annotations import Typed
from caraway.core.arguments import Parameters
from caraway.core.codec import dumps
from caraway.exceptions import DecodeError, EncodeError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from somewhere import Unknown  # type: ignore[import-not-found]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Orbit(enum.Enum):
    EARTH = (1, 2)


class Address(BaseModel):
    street: str
    zip: int


class User(BaseModel):
    name: str
    address: Address | None = None
    born: date | None = None


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    user_name: str = Field(alias="userName")
    size: int = Field(validation_alias="in", serialization_alias="out")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        return self.user_name.upper()


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    n: int


@dataclasses.dataclass
class Item:
    sku: str
    price: Decimal
    tags: set[str] = dataclasses.field(default_factory=set)


class Point(NamedTuple):
    x: int
    y: int


class Movie(TypedDict):
    title: str
    year: int


class Socket:
    pass


UserId = NewType("UserId", int)


def parameters(function: Callable[..., Any], **options: Any) -> Parameters:
    return Parameters(function, name="shop.send", **options)


def taking(annotation: Any) -> Parameters:
    def task(value): ...  # type: ignore[no-untyped-def]

    task.__annotations__ = {"value": annotation, "return": annotation}
    return parameters(task)


def sent(params: Parameters, *args: Any, **kwargs: Any) -> Any:
    """Return the arguments as they are in the message."""
    return json.loads(dumps(list(params.to_wire(args, kwargs))))


def arrived(params: Parameters, *args: Any, **kwargs: Any) -> Any:
    """Return the arguments as the function gets them."""
    return params.from_wire(*sent(params, *args, **kwargs))


def refusal(params: Parameters, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InvalidArguments) as caught:
        params.to_wire(args, kwargs)
    assert isinstance(caught.value, TypeError)
    return str(caught.value)


# -- binding ----------------------------------------------------------------------------------


def send(to: str, subject: str, retries: int = 3) -> dict[str, Any]: ...  # type: ignore[empty-body]
def keyword_only(a: int, *, b: int, c: int = 1) -> None: ...
def positional_only(a: int, b: int = 1, /, *rest: date, c: int = 2, **more: UUID) -> None: ...


CALLS: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (send, (), {}),
    (send, ("a",), {}),
    (send, ("a", "b", 3, 4), {}),
    (send, ("a", "b"), {"unknown": 1}),
    (send, ("a", "b"), {"to": "c"}),
    (keyword_only, (1, 2), {}),
    (keyword_only, (1,), {}),
    (positional_only, (), {"a": 1}),
]


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_arguments_that_do_not_fit_are_refused_in_the_words_of_python(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError) as python:
        function(*args, **kwargs)
    message = refusal(parameters(function), *args, **kwargs)
    assert message == str(python.value).replace(f"{function.__name__}()", "shop.send()")


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_a_message_whose_arguments_do_not_fit_is_refused_when_it_runs(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArguments, match=r"shop\.send\(\) "):
        parameters(function).from_wire(args, kwargs)


def test_defaults_are_not_sent() -> None:
    assert sent(parameters(send), "a", subject="b") == [["a"], {"subject": "b"}]


def test_every_kind_of_parameter_has_its_own_annotation() -> None:
    today, some_id = date(2026, 1, 1), UUID(int=1)
    params = parameters(positional_only)
    args, kwargs = arrived(params, "1", 2, "2026-01-01", today, c="3", a=str(some_id))
    assert args == (1, 2, today, today)
    assert kwargs == {"c": 3, "a": some_id}
    assert "argument more: Input should be a valid UUID" in refusal(params, 1, a="x")
    assert "argument rest: " in refusal(params, 1, 2, "x")


def test_a_bound_task_is_not_among_its_own_arguments() -> None:
    def task(self: Any, n: int) -> None: ...

    params = parameters(task, bound=True)
    assert sent(params, 1) == [[1], {}]
    assert refusal(params) == "shop.send() missing 1 required positional argument: 'n'"


def test_a_bound_function_that_takes_anything_keeps_its_arguments() -> None:
    def task(*args: Any) -> None: ...

    assert sent(parameters(task, bound=True), 1, 2) == [[1, 2], {}]


def test_a_function_that_does_not_tell_its_parameters_takes_anything() -> None:
    assert sent(parameters(dict), {"a": 1}, b=2) == [[{"a": 1}], {"b": 2}]


def test_other_callables_have_parameters_too() -> None:
    def add(x: int, day: date) -> None: ...

    class Adder:
        def __call__(self, x: int, day: date) -> None: ...

    @functools.wraps(add)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    async def coroutine(x: int, day: date) -> None: ...

    for function in (Adder(), Adder().__call__, wrapper, coroutine):
        assert arrived(parameters(function), "1", "2026-01-01") == ((1, date(2026, 1, 1)), {})
    partial = functools.partial(add, 1)
    assert arrived(parameters(partial), "2026-01-01") == ((date(2026, 1, 1),), {})


def test_without_typing_nothing_is_checked_or_rebuilt() -> None:
    params = parameters(send, typing=False, bound=True)
    assert arrived(params, 1, wrong=b"x") == ((1,), {"wrong": b"x"})
    assert params.result_from_wire(params.result_to_wire(User(name="a"))) == {
        "name": "a",
        "address": None,
        "born": None,
    }


def test_an_incomplete_call_is_not_bound_and_only_its_named_values_are_checked() -> None:
    params = parameters(send)
    assert params.to_wire((date(2026, 1, 1),), {"retries": "5"}, partial=True) == (
        [{"__type__": "date", "__value__": "2026-01-01"}],
        {"retries": 5},
    )
    assert params.to_wire((), {}, partial=True) == ([], {})
    with pytest.raises(InvalidArguments, match="argument retries"):
        params.to_wire((), {"retries": "many"}, partial=True)
    with pytest.raises(InvalidArguments, match=r"args\.a|args\['a'\]"):
        params.to_wire(({"a": Socket()},), {}, partial=True)


# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (User, User(name="a", address=Address(street="s", zip=1), born=date(2000, 1, 1))),
        (list[User], [User(name="a")]),
        (dict[str, User], {"a": User(name="a")}),
        (dict[int, Decimal], {1: Decimal("1.10")}),
        (dict[date, int], {date(2026, 1, 1): 1}),
        (User | int, User(name="a")),
        (Aliased, Aliased.model_validate({"userName": "a", "in": 1})),
        (set[Frozen], {Frozen(n=1), Frozen(n=2)}),
        pytest.param(Item, Item("a", Decimal("1.10"), {"x", "y"}), id="Item"),
        (Movie, {"title": "a", "year": 1999}),
        (Point, Point(1, 2)),
        (tuple[int, ...], (1, 2)),
        (tuple[str, date], ("a", date(2026, 1, 1))),
        (Colour, Colour.RED),
        (list[Colour], [Colour.RED]),
        (date, date(2026, 1, 1)),
        (datetime, datetime(2026, 1, 1, 12, tzinfo=timezone.utc)),
        (timedelta, timedelta(days=1, microseconds=1)),
        (Decimal, Decimal("0.10")),
        (UUID, UUID(int=7)),
        (bytes, b"\x00\xff"),
        (Path, Path("/a/b")),
        (frozenset[int], frozenset({1, 2})),
        (date | None, date(2026, 1, 1)),
        (date | None, None),
        (str | date, date(2026, 1, 1)),
        (str | date, "2026-01-01"),
        (HttpUrl, HttpUrl("https://example.com/")),
        (ipaddress.IPv4Address, ipaddress.IPv4Address("127.0.0.1")),
        (Annotated[int, Field(gt=0)], 1),
        (Any, {"a": [date(2026, 1, 1), b"x"]}),
        (object, [1]),
        (float, float("inf")),
        (Socket, {"plain": 1}),
    ],
    ids=repr,
)
def test_a_value_arrives_as_its_annotation_says(annotation: Any, value: Any) -> None:
    params = taking(annotation)
    (one,), _ = arrived(params, value)
    assert one == value
    assert type(one) is type(value)
    result = params.result_from_wire(json.loads(dumps(params.result_to_wire(value))))
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "data"),
    [
        (int, "5", 5),
        (int, 5.0, 5),
        (float, "1.5", 1.5),
        (float, 1, 1),
        (bool, "yes", True),
        (str, Colour.RED, "red"),
        (date, "2026-01-01", {"__type__": "date", "__value__": "2026-01-01"}),
        (User, {"name": "a"}, {"name": "a", "address": None, "born": None}),
        (Aliased, {"userName": "a", "in": "1"}, {"user_name": "a", "size": 1}),
        (list[int], (1, "2"), [1, 2]),
        (UserId, "7", 7),
        (Annotated[list[str], BeforeValidator(lambda v: v)], ["a"], ["a"]),
    ],
)
def test_a_value_is_coerced_when_it_is_sent(annotation: Any, value: Any, data: Any) -> None:
    assert sent(taking(annotation), value) == [[data], {}]


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (date, "2026-01-01", date(2026, 1, 1)),
        (timedelta, "P1DT2S", timedelta(days=1, seconds=2)),
        (timedelta, 90, timedelta(seconds=90)),
        (Decimal, "1.10", Decimal("1.10")),
        (Aliased, {"userName": "a", "in": 1}, Aliased.model_validate({"userName": "a", "in": 1})),
        (int, 5.0, 5),
        (set[int], [1, 2], {1, 2}),
    ],
)
def test_the_plain_json_of_other_languages_will_do(annotation: Any, data: Any, value: Any) -> None:
    assert taking(annotation).from_wire([data], {}) == ((value,), {})


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (int, "x", "argument value: Input should be a valid integer, unable to parse"),
        (int, None, "argument value: Input should be a valid integer (got None)"),
        (Annotated[int, Field(gt=0)], 0, "argument value: Input should be greater than 0 (got 0)"),
        (Literal["a", "b"], "c", "argument value: Input should be 'a' or 'b' (got 'c')"),
        (User, {"address": {"street": "s"}}, "argument value.name: Field required; "),
        (User, {"address": {"street": "s"}}, "argument value.address.zip: Field required"),
        (list[int], [1, 2, "x"], "argument value[2]: Input should be a valid integer"),
        (list[int], ["x"] * 9, "; and 6 more"),
        (Any, {"a": [Socket()]}, "argument value['a'][0]: object of type "),
        (Socket, Socket(), "argument value: object of type "),
        (SecretStr, "pass", "argument value: object of type pydantic.types.SecretStr cannot be"),
        (Literal[Colour.RED, 1], Colour.RED, "; it would arrive as 'red', which does not fit"),
        (Orbit, Orbit.EARTH, "; it would arrive as [1, 2], which does not fit"),
        (Iterable[int], (1, 2), "cannot be serialised"),
        (
            Annotated[list[str], BeforeValidator(lambda text: text.split(","))],
            "a,b",
            "'list' object has no attribute 'split'",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_when_it_is_sent(
    annotation: Any, value: Any, reason: str
) -> None:
    message = refusal(taking(annotation), value)
    assert message.startswith("shop.send: argument value")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (str | Path, Path("/a"), "/a"),
        (dict[str, Any] | Address, Address(street="s", zip=1), {"street": "s", "zip": 1}),
    ],
)
def test_a_value_of_a_union_may_arrive_as_another_of_its_members(
    annotation: Any, value: Any, arrives: Any
) -> None:
    assert arrived(taking(annotation), value) == ((arrives,), {})


def test_each_bad_argument_has_its_line() -> None:
    lines = refusal(parameters(send), 1, Socket(), retries="x").split("\n")
    assert [line.split(": ")[1] for line in lines] == [
        "argument to",
        "argument subject",
        "argument retries",
    ]


def test_a_message_with_an_unknown_type_names_the_argument() -> None:
    with pytest.raises(InvalidArguments, match="argument to: unknown __type__ 'socket'"):
        parameters(send).from_wire([{"__type__": "socket", "__value__": 1}, "b"], {})


def test_data_that_names_a_class_builds_nothing() -> None:
    data = {"__type__": "pathlib.Path", "__value__": "/"}
    with pytest.raises(InvalidArguments, match="unknown __type__"):
        taking(Any).from_wire([data], {})


def test_none_is_allowed_where_it_is_the_default() -> None:
    def task(day: date = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert sent(parameters(task), None) == [[None], {}]


def test_a_function_that_changes_its_arguments_does_not_change_the_message() -> None:
    params = taking(Any)
    message: list[Any] = [{"a": [1]}]
    (value,), _ = params.from_wire(message, {})
    value["a"].append(2)
    assert message == [{"a": [1]}]


# -- the native look agrees with pydantic -----------------------------------------------------

scalars = st.sampled_from([str, int, float, bool, None])
hints = st.recursive(
    scalars | st.sampled_from([Literal["a", 1], Literal[True, "b"], UserId, list, dict, date]),
    lambda inner: (
        inner.map(lambda hint: list[hint])  # type: ignore[valid-type]
        | inner.map(lambda hint: dict[str, hint])  # type: ignore[valid-type]
        | inner.map(lambda hint: Sequence[hint])  # type: ignore[valid-type]
        | inner.map(lambda hint: Mapping[str, hint])  # type: ignore[valid-type]
        | st.tuples(inner, inner).map(lambda pair: Union[pair])  # noqa: UP007
    ),
    max_leaves=4,
)
plain = st.recursive(
    st.sampled_from(["a", "", 1, 0, 2**60, True, False, None, 1.5, 1.0]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("k"), inner, max_size=1),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(hints, plain)
def test_what_fits_natively_is_what_pydantic_would_make_of_it(hint: Any, value: Any) -> None:
    from pydantic import TypeAdapter

    place = Typed("value", hint)
    if place._fits(value):
        assert place.to_wire(value) == value
        assert TypeAdapter(hint).validate_python(value) == value


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        ("str", ["a"]),
        ("Optional[str]", ["a", None]),
        ("Union[int, str]", [1, "a"]),
        ("float", [1, 1.5]),
        ("Literal['a', 1]", ["a", 1]),
        ("list[int]", [[], [1]]),
        ("Sequence[Mapping[str, list[str]]]", [[{"a": ["b"]}]]),
        ("Iterable[Optional[int]]", [[1, None]]),
        ("dict[str, Any]", [{"a": [1]}]),
        ("Union[dict[str, int], list[str]]", [{"a": 1}, ["a"]]),
        ("Optional[date]", [None]),
        ("list[Literal['a']]", [["a"]]),
        ("object", [{"a": 1}]),
        ("NewType('Id', int)", [5]),
    ],
)
def test_pydantic_is_not_imported_for_what_json_says(annotation: str, values: list[Any]) -> None:
    code = f"""
import sys
from collections.abc import *
from datetime import date
from typing import Any, Literal, NewType, Optional, Union
from caraway.core.arguments import Parameters
def task(value: {annotation}) -> {annotation}: ...
params = Parameters(task, name="t")
for value in {values!r}:
    assert params.from_wire(*params.to_wire([value], {{}})) == ((value,), {{}})
    assert params.result_from_wire(params.result_to_wire(value)) == value
assert "pydantic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# -- annotations that cannot be used ----------------------------------------------------------


@pytest.mark.parametrize(
    "annotation",
    ["Unknown", "list[Unknown]", "not an expression", "1 / 0", Socket, list[Socket], 5, [int]],
    ids=repr,
)
def test_an_annotation_that_cannot_be_used_is_as_good_as_none(
    annotation: Any, caplog: pytest.LogCaptureFixture
) -> None:
    params = taking(annotation)
    with caplog.at_level(logging.INFO):
        assert arrived(params, [date(2026, 1, 1)]) == (([date(2026, 1, 1)],), {})
    assert "value is not checked" in caplog.text


def test_the_other_annotations_of_the_function_still_count() -> None:
    def task(connection: Unknown, day: date) -> Unknown: ...

    assert arrived(parameters(task), "c", "2026-01-01") == (("c", date(2026, 1, 1)), {})


# -- results ----------------------------------------------------------------------------------


def test_a_result_that_does_not_fit_its_annotation_is_kept_as_it_is() -> None:
    params = taking(int)
    data = params.result_to_wire({"day": date(2026, 1, 1)})
    assert params.result_from_wire(data) == {"day": date(2026, 1, 1)}


def test_a_result_without_annotation_is_plain_data() -> None:
    def task(): ...  # type: ignore[no-untyped-def]

    params = parameters(task)
    assert params.result_from_wire(params.result_to_wire(Item("a", Decimal(1)))) == {
        "sku": "a",
        "price": Decimal(1),
        "tags": set(),
    }


@pytest.mark.parametrize("annotation", [Any, int, Socket])
def test_a_result_that_cannot_be_serialised_names_the_place(annotation: Any) -> None:
    with pytest.raises(EncodeError, match=r"^result\['a'\]: object of type .*Socket cannot"):
        taking(annotation).result_to_wire({"a": Socket()})


def test_a_result_with_an_unknown_type_is_refused() -> None:
    with pytest.raises(DecodeError, match="unknown __type__ 'socket'"):
        taking(int).result_from_wire({"__type__": "socket", "__value__": 1})


def test_a_function_without_annotations_needs_no_pydantic() -> None:
    code = (
        "import sys\n"
        "from caraway.core.arguments import Parameters\n"
        "def join(a, b=None, *rest, **named): return [a, b]\n"
        "parameters = Parameters(join, name='join')\n"
        "parameters.from_wire(*parameters.to_wire(('x', 2, 3), {'c': {}}))\n"
        "parameters.result_from_wire(parameters.result_to_wire(['x', 2]))\n"
        "print('pydantic' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
