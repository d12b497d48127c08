"""The arguments of a task's function: from a call to a message, and from a message to a call.

Binding is Python's own: a stub with the function's parameters and the task's name is called, so
what does not fit is named in the words that a call of the function would use.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from typing import TYPE_CHECKING, Any, Union

from caraway.core.annotations import Typed, resolve
from caraway.core.codec import decode, encode
from caraway.exceptions import EncodeError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from caraway.core.decoding import Read
    from caraway.core.serializers import Serializer
    from caraway.requests.base import Json

_UNTYPED = Typed("args", Any)


class Parameters:
    """The parameters of a task's function, and the type that it returns.

    Building one is cheap: the function is looked at when the first call needs it.

    Parameters
    ----------
    function
        What the task runs: a function, ``async`` or not, or another callable.
    name
        The task's name, for error messages.
    bound
        The first parameter is the task itself and is not sent.
    typing
        False: as in Celery, the arguments are not checked against the function. They are not
        rebuilt either: they and the result only go through the codec.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        bound: bool = False,
        typing: bool = True,
    ) -> None:
        self.name = name
        self._function = function if typing else _takes_anything
        self._bound = bound and typing

    def to_wire(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        serializer: Serializer | None = None,
        *,
        partial: bool = False,
    ) -> tuple[list[Json], dict[str, Json]]:
        """Check the arguments of a call, and return them as they go into the message.

        Defaults are not sent. ``"5"`` for an ``int`` is sent as 5. No list or dict is shared with
        the caller's.

        Parameters
        ----------
        args, kwargs
            The arguments, without the task itself.
        serializer
            What writes each of them, where it is not json.
        partial
            They are not complete yet, as in a partial signature or a link, which get more arguments
            in front: neither their number is checked nor the types of the positional ones.

        Raises
        ------
        InvalidArguments
            If they do not fit the function, in Python's own words; or if values do not fit their
            annotations or cannot be serialised, with one line for each.
        """
        if partial:
            places: Iterable[Typed] = itertools.repeat(_UNTYPED)
        else:
            self._read.check(args, kwargs)
            if serializer is None and self._read.is_plain(args, kwargs):
                return list(args), dict(kwargs)
            places = self._read.places()
        return self._converted(Typed.to_wire, places, args, kwargs, serializer)

    def from_wire(
        self, args: Sequence[Json], kwargs: Mapping[str, Json], read: Read | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a message as the function takes them.

        Every call builds new objects, so that a function which changes its arguments does not
        change those of the next attempt. ``read`` opens what another serializer wrote.

        Raises
        ------
        InvalidArguments
            If they do not fit the function, or values do not fit their annotations or carry an
            unknown ``__type__``, with one line for each.
        ContentDisallowed
            If ``read`` does not accept one.
        """
        self._read.check(args, kwargs)
        if self._read.is_plain(args, kwargs):
            return tuple(args), dict(kwargs)
        values, named = self._converted(Typed.from_wire, self._read.places(), args, kwargs, read)
        return tuple(values), named

    def result_to_wire(self, value: Any, serializer: Serializer | None = None) -> Json:
        """Return what the function returned as it is stored.

        A value that does not fit the return annotation is stored as it is: the work is done, and
        failing it would only have it done again.

        Raises
        ------
        EncodeError
            If it cannot be serialised; the message names the place in ``result``.
        """
        try:
            return self._read.returned.to_wire(value, serializer)
        except InvalidArguments:
            write = encode if serializer is None else serializer.encode
            return write(value, path="result")

    def result_from_wire(self, data: Json, read: Read | None = None) -> Any:
        """Return a stored result as the function returned it.

        What does not fit the return annotation comes as plain data.

        Raises
        ------
        DecodeError
            If it carries a ``__type__`` that is not known here.
        ContentDisallowed
            If another serializer wrote it, and ``read`` does not accept that.
        """
        try:
            return self._read.returned.from_wire(data, read)
        except InvalidArguments:
            return decode(data, read)

    @functools.cached_property
    def _read(self) -> _Signature:
        return _Signature(self._function, self.name, self._bound)

    def _converted(
        self,
        convert: Callable[[Typed, Any, Any], Any],
        places: Iterable[Typed],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        how: Any,
    ) -> tuple[list[Any], dict[str, Any]]:
        """Convert each argument in its place; all that do not fit are named in one exception."""
        values: list[Any] = []
        named: dict[str, Any] = {}
        problems: list[Exception] = []
        for place, value in zip(places, args, strict=False):
            try:
                values.append(convert(place, value, how))
            except (InvalidArguments, EncodeError) as problem:  # noqa: PERF203 - all are named
                problems.append(problem)
        by_name, other = self._read.by_name, self._read.other_names
        for name, value in kwargs.items():
            try:
                named[name] = convert(by_name.get(name, other), value, how)
            except (InvalidArguments, EncodeError) as problem:  # noqa: PERF203 - all are named
                problems.append(problem)
        if problems:
            lines = (f"{self.name}: {problem}" for problem in problems)
            raise InvalidArguments("\n".join(lines)) from problems[0]
        return values, named


def untyped_to_wire(
    args: Sequence[Any], kwargs: Mapping[str, Any], serializer: Serializer | None = None
) -> tuple[list[Json], dict[str, Json]]:
    """Return arguments as they go into the message of a task whose function is not at hand."""
    write = encode if serializer is None else serializer.encode
    return (
        [write(value, path=f"args[{place}]") for place, value in enumerate(args)],
        {name: write(value, path=f"kwargs[{name!r}]") for name, value in kwargs.items()},
    )


class _Signature:
    """What is read from a function once: a typed place for each parameter and for the result."""

    def __init__(self, function: Callable[..., Any], name: str, bound: bool) -> None:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # a builtin that does not tell
            function = _takes_anything
            signature = inspect.signature(function)
        known = _globals_of(function)
        parameters = list(signature.parameters.values())
        if bound and parameters and parameters[0].kind is not parameters[0].VAR_POSITIONAL:
            del parameters[0]
        self.by_position: list[Typed] = []
        self.by_name: dict[str, Typed] = {}
        self.other_positions = self.other_names = _UNTYPED
        for parameter in parameters:
            self._add(parameter, resolve(parameter.annotation, known, f"{name}: {parameter.name}"))
        returned = resolve(signature.return_annotation, known, f"{name}: its return type")
        self.returned = Typed("result", returned)
        self._plain = [place.plain for place in self.by_position]
        self._stub = _stub(name, parameters)

    def _add(self, parameter: inspect.Parameter, annotation: Any) -> None:
        if parameter.default is None:  # def f(name: str = None), as older code has it
            annotation = Union[annotation, None]  # noqa: UP007 - it may be no class
        place = Typed(f"argument {parameter.name}", annotation)
        if parameter.kind is parameter.VAR_POSITIONAL:
            self.other_positions = place
        elif parameter.kind is parameter.VAR_KEYWORD:
            self.other_names = place
        else:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                self.by_position.append(place)
            if parameter.kind is not parameter.POSITIONAL_ONLY:
                self.by_name[parameter.name] = place

    def places(self) -> Iterable[Typed]:
        """Return the places of positional arguments, without end."""
        return itertools.chain(self.by_position, itertools.repeat(self.other_positions))

    def is_plain(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Say whether arguments that fit are all the same here and on the wire, by a quick look."""
        if len(args) > len(self._plain):
            return False
        for plain, value in zip(self._plain, args, strict=False):
            if type(value) not in plain:
                return False
        for name, value in kwargs.items():
            place = self.by_name.get(name)
            if place is None or type(value) not in place.plain:
                return False
        return True

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise InvalidArguments, in Python's words, if the function cannot be called so."""
        try:
            self._stub(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(str(error)) from None


def _takes_anything(*args: Any, **kwargs: Any) -> Any:
    """Stand in for a function whose parameters are unknown, or are not to be checked."""


def _globals_of(function: Any) -> dict[str, Any]:
    """Return the global names that the annotations of a callable may use."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if not hasattr(function, "__globals__"):
        function = type(function).__call__
    return dict(getattr(function, "__globals__", {}))


def _stub(name: str, parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """Return a function with these parameters that does nothing but refuse other arguments."""
    bare = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.empty if parameter.default is parameter.empty else None,
        )
        for parameter in parameters
    ]
    names = str(inspect.Signature(bare))[1:-1]
    # Only names, stars and slashes: inspect has made sure that the names are identifiers.
    stub: Callable[..., None] = eval(f"lambda {names}: None", {})  # noqa: S307
    stub.__qualname__ = name
    return stub
