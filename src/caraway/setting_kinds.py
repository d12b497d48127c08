"""What a setting may hold: one :class:`Kind` for each sort of value.

A kind reads what code assigns (``30``, ``timedelta(seconds=30)``) and the text of an environment
variable (``"30"``), and says in a few words what it expects: the same words in the error and in the
documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from caraway.exceptions import ImproperlyConfigured
from caraway.schedules.zones import zone_named

if TYPE_CHECKING:
    from caraway.core.routing import Queue
    from caraway.middleware import Middleware

T = TypeVar("T")

_LONGEST_SHOWN: Final = 120
_LEVELS: Final = {50: "CRITICAL", 40: "ERROR", 30: "WARNING", 20: "INFO", 10: "DEBUG"}


class Kind(Generic[T]):
    """A sort of value: how it is read, and what to call it.

    Parameters
    ----------
    expected
        Completes the sentence "expected ...".
    read
        Turns what code assigned into the value; raises TypeError or ValueError, whose text, if
        any, is added to the message.
    parse
        Turns the text of an environment variable into what ``read`` takes.
    secret
        What is given is shown in no error.
    """

    __slots__ = ("expected", "parse", "read", "secret")

    def __init__(
        self,
        expected: str,
        read: Callable[[Any], T],
        parse: Callable[[str], object],
        *,
        secret: bool = False,
    ) -> None:
        self.expected = expected
        self.read = read
        self.parse = parse
        self.secret = secret

    def value(self, name: str, given: object) -> T:
        """Return ``given`` as a value of this kind.

        Raises
        ------
        ImproperlyConfigured
            If it is none; the message gives ``name``, what was given and what is expected.
        """
        return self._checked(name, given, lambda: self.read(given))

    def value_of_text(self, name: str, text: str) -> T:
        """Return the text of the environment variable ``name`` as a value of this kind.

        Raises
        ------
        ImproperlyConfigured
            If it is none; the message gives ``name``, what was given and what is expected.
        """
        return self._checked(name, text, lambda: self.read(self.parse(text)))

    def _checked(self, name: str, given: object, read: Callable[[], T]) -> T:
        try:
            return read()
        except (TypeError, ValueError) as error:
            detail = f" ({error})" if str(error) else ""
            shown = "..." if self.secret else _shown(given)
            raise ImproperlyConfigured(
                f"{name} = {shown}: expected {self.expected}{detail}"
            ) from None


def _shown(given: object) -> str:
    """``repr``, shortened, and without what a URL may hold of passwords."""
    if isinstance(given, str) and "://" in given:
        return repr(given.partition("://")[0] + "://...")
    text = repr(given)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _plain(text: str) -> str:
    return text


def _json(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("not JSON") from None


def _json_or_names(text: str) -> object:
    if text.lstrip().startswith(("[", "{")):
        return _json(text)
    return [name.strip() for name in text.split(",") if name.strip()]


def _bool_of_text(text: str) -> object:
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    return words.get(text.strip().lower())


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Return the same kind, or None (as text: empty, ``none`` or ``null``)."""

    def parse(text: str) -> object:
        return None if text.strip().lower() in {"", "none", "null"} else kind.parse(text)

    def read(given: Any) -> T | None:
        return None if given is None else kind.read(given)

    return Kind(f"{kind.expected}, or None", read, parse, secret=kind.secret)


def text(expected: str = "a text", alphabet: str = "", shortest: int = 1) -> Kind[str]:
    """Return the kind of texts of at least ``shortest`` characters.

    Only characters of ``alphabet`` are allowed, where that is given.
    """
    allowed = frozenset(alphabet)

    def read(given: object) -> str:
        if not isinstance(given, str) or len(given) < shortest:
            raise ValueError
        if allowed and not allowed.issuperset(given):
            raise ValueError
        return given

    return Kind(expected, read, _plain)


def choice(*names: str) -> Kind[str]:
    """Return the kind that is one of several words."""

    def read(given: object) -> str:
        if isinstance(given, str) and given in names:
            return given
        raise ValueError

    return Kind(", ".join(map(repr, names[:-1])) + f" or {names[-1]!r}", read, _plain)


def whole_number(lowest: int, highest: int) -> Kind[int]:
    """Return the kind of ints from ``lowest`` to ``highest``, both included."""

    def read(given: object) -> int:
        if isinstance(given, int) and not isinstance(given, bool) and lowest <= given <= highest:
            return given
        raise ValueError

    return Kind(f"a whole number from {lowest} to {highest}", read, _json)


def seconds(*, zero: bool = False, least: float = 0) -> Kind[float]:
    """Return the kind of durations of ``least`` or more, read as float.

    ``zero`` says whether 0 is one.
    """

    def read(given: object) -> float:
        number = given.total_seconds() if isinstance(given, timedelta) else given
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError
        if least <= number < float("inf") and (zero or number > 0):
            return float(number)
        raise ValueError

    bound = f"{least:g} or more" if zero or least else "above 0"
    return Kind(f"seconds {bound} (a number or a timedelta)", read, _json)


def _read_bool(given: object) -> bool:
    if isinstance(given, bool):
        return given
    raise ValueError


def _read_expiry(given: object) -> float | None:
    return None if given is None else seconds(zero=True).read(given) or None


def _read_backend(given: object) -> str:
    if given in (None, "disabled", "disabled://"):
        return "disabled"
    if given in ("dynamodb", "s3"):
        return str(given)
    raise ValueError("records are kept in the DynamoDB table that task_table names")


def _read_level(given: object) -> str:
    level = _LEVELS.get(given) if isinstance(given, int) else given
    if isinstance(level, str) and level.upper() in _LEVELS.values():
        return level.upper()
    raise ValueError


def _read_zone(given: object) -> str:
    if given is None or given == "UTC":
        return "UTC"
    if not isinstance(given, str):
        raise TypeError
    return zone_named(given).key


def _read_role(given: object) -> str:
    import re

    if isinstance(given, str) and re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+", given):
        return given
    raise ValueError


def _read_url(given: object) -> str:
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        return given
    raise ValueError


def _read_modules(given: object) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(names, Iterable):
        raise TypeError
    modules = tuple(names)
    if all(isinstance(name, str) and name for name in modules):
        return modules
    raise ValueError


def _read_middleware(given: object) -> tuple[Middleware | str, ...]:
    from caraway.middleware import layer_of

    several = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    # Classes become instances now, and are not made again when other settings change.
    return tuple(each if isinstance(each, str) else layer_of(each) for each in several)


def _read_contents(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError
    return _read_modules(given if isinstance(given, list | tuple) else sorted(given))


def _read_compression(given: object) -> str:
    from caraway.core.compression import compression

    if not isinstance(given, str):
        raise TypeError
    return compression(given).name


def _read_queues(given: object) -> tuple[Queue, ...]:
    from caraway.core.routing import Router

    if given is None:
        return ()
    if isinstance(given, Mapping):  # Celery's {name: options}
        given = [{"name": name, **(options or {})} for name, options in given.items()]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError
    queues = tuple(map(_read_queue, given))
    Router(queues)  # raises when two of them differ and have one name
    return queues


def _read_queue(given: object) -> Queue:
    from caraway.core.routing import Queue

    match given:
        case Queue():
            return given
        case str():
            return Queue(given)
        case Mapping():
            return Queue(**given)
        case _:
            kind = f"{type(given).__module__}.{type(given).__qualname__}"
            raise TypeError(f"a {kind} is none: write caraway.Queue(name)")


def _read_routes(given: Any) -> Any:
    from caraway.core.routing import Router

    Router(routes=given)  # raises when the shape is wrong
    return given


def _read_schedule(given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        return dict(given)
    raise ValueError


class Secrets(dict[str, str]):
    """Texts by name that no repr shows."""

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, "..."))


def _read_secrets(given: object) -> Secrets:
    if not isinstance(given, Mapping):
        raise TypeError
    if all(isinstance(each, str) and each for pair in given.items() for each in pair):
        return Secrets(given)
    raise ValueError


_ALNUM: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

BOOL: Final = Kind("True or False", _read_bool, _bool_of_text)
TEXT: Final = text()
QUEUE_NAME: Final = text("a queue's name (letters, digits, '-', '_', '.')", _ALNUM + "-_.")
PREFIX: Final = text("a text of letters, digits, '-' and '_', or ''", _ALNUM + "-_", 0)
TABLE: Final = text(
    "a table's name or ARN (letters, digits, '_', '-', '.'; at least 3)", _ALNUM + "_-.:/", 3
)
BUCKET: Final = text(
    "a bucket's name (lower-case letters, digits, '-', '.'; at least 3)",
    "abcdefghijklmnopqrstuvwxyz0123456789-.",
    3,
)
ROLE: Final = Kind("a role's ARN, such as arn:aws:iam::123456789012:role/x", _read_role, _plain)
SCHEDULE_GROUP: Final = text(
    "a schedule group's name (letters, digits, '-', '_', '.')", _ALNUM + "-_."
)
URL: Final = Kind("an http:// or https:// address", _read_url, _plain)
EXPIRY: Final = Kind[float | None](
    "seconds above 0 (a number or a timedelta), or None or 0 for never",
    _read_expiry,
    optional(seconds()).parse,
)
BACKEND: Final = Kind("'dynamodb', 's3' or 'disabled'", _read_backend, _plain)
SERIALIZER: Final = text("a serializer's name")
CONTENTS: Final = Kind(
    "a list of serializers' names or content types", _read_contents, _json_or_names
)
COMPRESSION: Final = Kind(
    "a compression: gzip, zlib, bzip2, lzma or zstd", _read_compression, _plain
)
BASE_PATH: Final = text(
    "a text of letters, digits, '/', '-', '_', '.' and '=', or ''", _ALNUM + "/-_.=", 0
)
LEVEL: Final = Kind("a log level: " + ", ".join(_LEVELS.values()), _read_level, _plain)
ZONE: Final = Kind("an IANA time zone such as 'Asia/Seoul'", _read_zone, _plain)
MODULES: Final = Kind("names of modules", _read_modules, _json_or_names)
MIDDLEWARE: Final = Kind(
    "instances or subclasses of caraway.Middleware, or their dotted paths",
    _read_middleware,
    _json_or_names,
)
QUEUES: Final = Kind(
    "queues: caraway.Queue, names, or dicts of a Queue's fields", _read_queues, _json_or_names
)
ROUTES: Final = Kind[Any](
    "{pattern: queue}, a router function, or a list of these", _read_routes, _json
)
SCHEDULE: Final = Kind("{name: entry}", _read_schedule, _json)
SIGNING_KEYS: Final = Kind("{id: secret or PEM}", _read_secrets, _json, secret=True)
POLICY: Final = Kind("{name: number}", _read_schedule, _json)
