"""A value and its annotation: checked when it is sent, rebuilt when it arrives.

A value gets a native look first: what already is, in JSON's own types, what its annotation says
goes as it is, within a microsecond. Anything else is for pydantic to judge, which is imported at
that moment: a process that only ever sees strings and numbers never imports it.

What pydantic accepts is sent only if pydantic also accepts what will arrive, so that a value which
cannot be rebuilt fails where the caller can still mend it. Only the annotation decides what is
built, never the data.

An annotation that cannot be used is treated as absent: a name imported for type checkers only, or a
class that pydantic has no schema for. To refuse it would forbid annotations that are right for type
checkers and do no harm here; a value that JSON cannot say is still refused, by the codec.
"""

from __future__ import annotations

import functools
import inspect
import logging
import reprlib
import types
import typing
from collections import abc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Union

from caraway.core.codec import decode, encode
from caraway.core.encoding import PLAIN
from caraway.exceptions import ContentDisallowed, DecodeError, EncodeError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import TypeAdapter

    from caraway.core.decoding import Read
    from caraway.core.serializers import Serializer
    from caraway.requests.base import Json

logger = logging.getLogger(__name__)

_LISTS = {list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable}
_DICTS = {dict, abc.Mapping, abc.MutableMapping}
_SCALARS = (
    (str, frozenset({str})),
    (int, frozenset({int})),  # so True is no int
    (float, frozenset({float, int})),
    (bool, frozenset({bool})),
    (type(None), frozenset({type(None)})),
    (None, frozenset({type(None)})),
)
_LITERALS = frozenset({str, int, bool, type(None)})
_REASONS_SHOWN = 3


class Typed:
    """A place for values, such as a parameter, with its annotation.

    Parameters
    ----------
    path
        What to call the place in an error message: ``"argument user"``.
    annotation
        The annotation, resolved; ``Any`` if there is none.

    Attributes
    ----------
    plain
        Types of JSON whose values are what the annotation says, and go as they are.
    """

    def __init__(self, path: str, annotation: Any) -> None:
        self._path = path
        self._annotation = annotation
        self._fits = _native(annotation) or _nothing
        known = PLAIN if self._fits is _anything else _scalar_types(annotation) or frozenset()
        self.plain = known & PLAIN

    def to_wire(self, value: Any, serializer: Serializer | None = None) -> Json:
        """Return the value as JSON-able data, checked and coerced.

        ``serializer`` writes it, where it is not json. One that takes objects gets the value as
        the annotation has it, and no trial is made of reading it.

        Raises
        ------
        InvalidArguments
            If it does not fit the annotation, or could not be rebuilt from what would arrive.
        EncodeError
            If something in it cannot be serialised.
        """
        if serializer is None and type(value) in self.plain:
            return value
        write = encode if serializer is None else serializer.encode
        if self._fits(value) or self._adapter is None:
            return write(value, path=self._path)
        valid = self._validated(value)
        if serializer is not None and serializer.takes_objects:
            return write(valid, path=self._path)
        try:
            return self._rebuilt(valid, "python", serializer)[0]
        except (InvalidArguments, EncodeError) as refusal:
            # URLs, IP addresses, sets of models: types that pydantic writes and the codec does not.
            # But it writes a secret as asterisks, hence: equal, not only valid.
            try:
                data, rebuilt = self._rebuilt(valid, "json", serializer)
            except (InvalidArguments, EncodeError):
                raise refusal from refusal.__cause__
            if rebuilt != valid:
                raise
            return data

    def from_wire(self, data: Json, read: Read | None = None) -> Any:
        """Return the value, built as the annotation says, from what :meth:`to_wire` gave.

        Another language's plain data does as well: ``"2026-01-01"`` for a ``date``. ``read`` opens
        what another serializer wrote.

        Raises
        ------
        InvalidArguments
            If it does not fit the annotation, or carries a ``__type__`` that is not known here.
        ContentDisallowed
            If ``read`` does not accept it.
        """
        try:
            value = decode(data, read)
        except ContentDisallowed as error:
            raise ContentDisallowed(f"{self._path}: {error}") from error
        except DecodeError as error:
            raise InvalidArguments(f"{self._path}: {error}") from error
        return value if self._fits(value) or self._adapter is None else self._validated(value)

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[Any] | None:
        from pydantic import PydanticUserError, TypeAdapter

        try:
            return TypeAdapter(self._annotation)
        except (PydanticUserError, NameError, TypeError) as error:  # NameError: a forward reference
            logger.info("%s is not checked: %s", self._path, str(error).partition("\n")[0])
            return None

    def _validated(self, value: Any) -> Any:
        assert self._adapter is not None
        # By name too: the codec writes the names of fields, other languages may write the aliases.
        try:
            return self._adapter.validate_python(value, by_alias=True, by_name=True)
        except Exception as error:
            raise InvalidArguments(_reasons(self._path, error)) from error

    def _rebuilt(
        self, valid: Any, mode: Literal["python", "json"], serializer: Serializer | None
    ) -> tuple[Json, Any]:
        """Return what is sent for a valid value, and what will be made of it there."""
        assert self._adapter is not None
        try:
            dumped = self._adapter.dump_python(
                valid, mode=mode, by_alias=False, round_trip=True, warnings=False
            )
        except Exception as error:
            raise InvalidArguments(_reasons(self._path, error)) from error
        if serializer is None:
            data, read = encode(dumped, path=self._path), None
        else:
            data, read = serializer.encode(dumped, path=self._path), serializer.read
        try:
            return data, self._validated(decode(data, read))
        except InvalidArguments as error:
            arrives = f"it would arrive as {reprlib.repr(data)}, which does not fit"
            raise InvalidArguments(f"{error}; {arrives}") from error


def resolve(annotation: Any, known: dict[str, Any], path: str) -> Any:
    """Return an annotation with its strings evaluated, ``Any`` if one cannot be.

    Parameters
    ----------
    annotation
        As the function has it: an object, or a string (PEP 563).
    known
        The global names of the function's module.
    path
        What it belongs to, for the log.
    """
    if annotation is inspect.Parameter.empty:
        return Any
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, known, include_extras=True)["it"]
    except Exception as error:  # noqa: BLE001 - an annotation may be any expression
        logger.info("%s is not checked: %s", path, error)
        return Any


def _anything(value: Any) -> bool:  # noqa: ARG001
    return True


def _nothing(value: Any) -> bool:  # noqa: ARG001
    return False


def _native(annotation: Any) -> Callable[[Any], bool] | None:
    """Return what recognises values that fit in JSON's own types, None if it takes pydantic.

    It may say no to what pydantic would accept, and never yes to what pydantic would refuse.
    """
    annotation = getattr(annotation, "__supertype__", annotation)  # a NewType
    if annotation in (Any, object):
        return _anything
    known = _scalar_types(annotation)
    if known is not None:
        return lambda value: type(value) in known
    origin, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin is Literal:
        return _one_of(inner)
    if origin in (Union, types.UnionType):
        return _any_of(inner)
    if not isinstance(origin, type):
        return None
    if origin in _LISTS:
        return _list_of(inner[0] if inner else Any)
    if origin in _DICTS and (not inner or inner[0] is str):
        return _dict_of(inner[1] if inner else Any)
    return None


def _scalar_types(annotation: Any) -> frozenset[type] | None:
    """Return the exact types that fit a scalar annotation, or a union of them."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        parts = [_scalar_types(member) for member in typing.get_args(annotation)]
        return frozenset().union(*(p for p in parts if p)) if all(parts) else None
    return next((exact for scalar, exact in _SCALARS if annotation is scalar), None)


def _one_of(literals: tuple[Any, ...]) -> Callable[[Any], bool] | None:
    allowed = {(type(literal), literal) for literal in literals}  # 1 == True
    if not _LITERALS.issuperset(map(type, literals)):
        return None
    return lambda value: type(value) in _LITERALS and (type(value), value) in allowed


def _any_of(members: tuple[Any, ...]) -> Callable[[Any], bool] | None:
    looks = [_native(member) for member in members]
    known = [look for look in looks if look is not None]
    if len(known) == len(looks):
        return lambda value: any(look(value) for look in known)
    # A dict may be meant for the model beside it; a string or a number is itself.
    scalars = [exact for exact in map(_scalar_types, members) if exact is not None]
    exact = frozenset[type]().union(*scalars)
    return lambda value: type(value) in exact


def _list_of(item: Any) -> Callable[[Any], bool] | None:
    exact, look = _scalar_types(item), _native(item)
    if exact is not None:
        return lambda value: type(value) is list and exact.issuperset(map(type, value))
    if look is _anything:
        return lambda value: type(value) is list
    return look and (lambda value: type(value) is list and all(map(look, value)))


def _dict_of(item: Any) -> Callable[[Any], bool] | None:
    look = _list_of(item)
    strings = frozenset({str})
    return look and (
        lambda value: (
            type(value) is dict
            and strings.issuperset(map(type, value))
            and look(list(value.values()))
        )
    )


def _reasons(path: str, error: Exception) -> str:
    """Return pydantic's reasons on one line: ``argument user.age: Input should be ...``."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return f"{path}: {type(error).__name__}: {error}"
    details = error.errors(include_url=False, include_context=False)
    reasons = []
    for detail in details[:_REASONS_SHOWN]:
        steps = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in detail["loc"])
        got = "" if detail["type"] == "missing" else f" (got {reprlib.repr(detail['input'])})"
        reasons.append(f"{path}{steps}: {detail['msg']}{got}")
    if len(details) > _REASONS_SHOWN:
        reasons.append(f"and {len(details) - _REASONS_SHOWN} more")
    return "; ".join(reasons).replace("\n", " ")
