"""Exceptions as JSON and back, in the shape of Celery's results."""

from __future__ import annotations

import builtins
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from caraway.core.codec import TYPE, VALUE, decode, dumps, encode, register_type
from caraway.exceptions import CarawayError, DecodeError, RemoteError
from caraway.lean import dataclass

if TYPE_CHECKING:
    from caraway.requests.base import Json


ERROR_LIMIT: Final = 16_000
"""Longest JSON kept of an error, in characters: every write of a record bills the whole item."""


@dataclass(frozen=True)
class ExceptionInfo:
    """What hooks are told of an exception: Celery's ``einfo``."""

    exception: BaseException
    traceback: str

    @property
    def type(self) -> type[BaseException]:
        """The exception's type."""
        return type(self.exception)

    def __str__(self) -> str:
        return self.traceback


def error_to_json(error: BaseException) -> dict[str, Json]:
    """Return ``{"exc_type", "exc_module", "exc_message"}``; the message is the list of arguments.

    An argument that cannot be serialised is replaced by its ``repr``. Arguments that are too long
    are cut short, as text.
    """
    data = {
        "exc_type": type(error).__qualname__,
        "exc_module": str(type(error).__module__),
        "exc_message": [_argument(each) for each in error.args],
    }
    if len(dumps(data)) > ERROR_LIMIT:
        short = [each if isinstance(each, str) else text_of(each) for each in error.args[:8]]
        data["exc_message"] = [f"{each[: ERROR_LIMIT // 8]} ..." for each in short]
    return data


def _argument(value: Any) -> Json:
    try:
        wire = encode(value)
        dumps(wire)
        return wire
    except Exception:  # noqa: BLE001 - whatever the value's own code raises
        return text_of(value)


def text_of(value: object) -> str:
    """Return an object's ``repr``, or its type when that fails: it may be anybody's code."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__qualname__}>"


def in_short(error: BaseException) -> str:
    """Return an error as a person reads it, such as ``ValueError: no``."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def error_from_json(data: Json) -> BaseException:
    """Return the exception that was recorded.

    It is of its own type when that type's module is loaded here, else a
    :class:`~caraway.exceptions.RemoteError`. Modules are never imported and only exception types
    are ever called, so a record cannot make a reader run code.
    """
    if not isinstance(data, dict) or not isinstance(data.get("exc_type"), str):
        return CarawayError(f"the recorded error cannot be read: {data!r:.200}")
    name, module = data["exc_type"], str(data.get("exc_module"))
    recorded = data.get("exc_message")
    try:
        arguments = (
            [decode(each) for each in recorded] if isinstance(recorded, list) else [recorded]
        )
    except DecodeError:
        arguments = [recorded]
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in name.split("."):
        # Not getattr: a module may import what it is asked for.
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
    if isinstance(found, type) and issubclass(found, BaseException):
        try:
            rebuilt: BaseException = found(*arguments)
        except Exception:  # noqa: BLE001 - a type may refuse its own recorded arguments
            return RemoteError(name, module, *arguments)
        return rebuilt
    return RemoteError(name, module, *arguments)


class RemoteTraceback(Exception):  # noqa: N818 - it is shown, never raised
    """The traceback of an exception that was raised in a worker: its cause, as it is shown."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


def with_far_traceback(error: BaseException, text: str) -> BaseException:
    """Return an exception that shows where it was raised in the worker when it is raised here."""
    error.__cause__ = RemoteTraceback(text)
    return error


def error_argument(data: Json) -> Json:
    """Return a recorded error as an argument of a task: it arrives as the exception."""
    return {TYPE: "exception", VALUE: json.dumps(data)}


register_type(
    BaseException,
    "exception",
    lambda error: json.dumps(error_to_json(error)),
    lambda text: error_from_json(json.loads(text)),
)
