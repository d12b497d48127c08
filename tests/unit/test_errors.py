"""Exceptions as JSON and back."""

from __future__ import annotations

import json
import sys
from datetime import date
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.codec import dumps, encode
from caraway.core.errors import (
    ERROR_LIMIT,
    error_argument,
    error_from_json,
    error_to_json,
    text_of,
)
from caraway.exceptions import CarawayError, RemoteError


class OrderError(Exception):
    class Inner(Exception):
        pass


class Picky(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(code)


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def there_and_back(error: BaseException) -> BaseException:
    return error_from_json(json.loads(dumps(error_to_json(error))))


def recorded(name: str, module: str, *arguments: Any) -> dict[str, Any]:
    return {"exc_type": name, "exc_module": module, "exc_message": list(arguments)}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no", 3),
        KeyError(),
        OrderError("x"),
        OrderError.Inner(date(2026, 1, 1)),
        OSError(2, "no such file"),
        SystemExit(3),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ],
)
def test_an_exception_comes_back_as_its_own_type_with_its_arguments(error: BaseException) -> None:
    back = there_and_back(error)
    assert (type(back), back.args) == (type(error), error.args)


def test_an_argument_that_cannot_be_serialised_is_replaced_by_its_text() -> None:
    error = ValueError("seen", object)
    assert error_to_json(error)["exc_message"] == ["seen", "<class 'object'>"]


def test_no_argument_can_keep_an_error_from_being_recorded() -> None:
    assert error_to_json(ValueError(Unprintable()))["exc_message"] == ["<Unprintable>"]
    assert error_to_json(ValueError(10**5_000))["exc_message"] == ["<int>"]
    assert text_of(Unprintable()) == "<Unprintable>"


def test_long_arguments_are_cut_short() -> None:
    data = error_to_json(ValueError("x" * 10**6, list(range(10**5)), *["y"] * 100))
    assert len(dumps(data)) <= ERROR_LIMIT
    assert data["exc_message"][0].startswith("xxx")
    assert data["exc_message"][0].endswith(" ...")
    assert isinstance(there_and_back(ValueError("x" * 10**6)), ValueError)


def test_a_type_that_is_not_loaded_here_has_a_stand_in() -> None:
    error = error_from_json(recorded("ShopError", "shop.errors", "no"))
    assert isinstance(error, RemoteError)
    assert (error.exc_type, error.exc_module, error.args) == ("ShopError", "shop.errors", ("no",))
    assert str(error) == "ShopError('no')"


def test_a_type_that_refuses_its_recorded_arguments_has_a_stand_in() -> None:
    assert isinstance(there_and_back(Picky(code=3)), RemoteError)


@pytest.mark.parametrize(
    ("name", "module"),
    [("getcwd", "os"), ("Popen", "subprocess"), ("eval", "builtins"), ("path.join", "os")],
)
def test_only_exception_types_are_ever_called(name: str, module: str) -> None:
    assert isinstance(error_from_json(recorded(name, module, "x")), RemoteError)


def test_a_module_is_not_asked_for_what_it_would_import(monkeypatch: Any) -> None:
    lazy = ModuleType("lazy")

    def imports(name: str) -> Any:
        raise AssertionError(f"{name} was imported")

    lazy.__dict__["__getattr__"] = imports
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    assert isinstance(error_from_json(recorded("SomeError", "lazy")), RemoteError)


@pytest.mark.parametrize("data", [None, "text", [], {}, {"exc_type": 5}])
def test_what_is_no_recorded_error_is_an_error_that_shows_it(data: Any) -> None:
    error = error_from_json(data)
    assert isinstance(error, CarawayError)
    assert repr(data) in str(error)


def test_an_error_that_another_writer_recorded_with_a_text_can_be_read() -> None:
    data = {"exc_type": "ValueError", "exc_module": "builtins", "exc_message": "no"}
    assert error_from_json(data).args == ("no",)


def test_an_argument_of_an_unknown_tag_is_shown_as_it_was_recorded() -> None:
    argument = {"__type__": "unknown", "__value__": 5}
    error = error_from_json(recorded("ValueError", "builtins", argument))
    assert error.args == ([argument],)


def test_an_exception_travels_as_an_argument() -> None:
    error = ValueError("no", 3)
    assert encode(error) == error_argument(error_to_json(error))


@given(st.recursive(st.none() | st.text() | st.binary() | st.integers(), st.lists, max_leaves=5))
def test_whatever_was_raised_can_be_recorded_and_read(argument: Any) -> None:
    assert there_and_back(ValueError(argument)).args == (argument,)
