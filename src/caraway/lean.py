"""Frozen dataclasses whose methods are made when they are first called, not when they are defined.

:func:`dataclasses.dataclass` writes and compiles six methods for each frozen class, which was half
of what it took to import Caraway. Here ``__init__`` is compiled when the first instance is made,
and the methods that are the same for all are shared. In all else they are what they were.

A class of many fields, of which most instances set a few, can say ``sparse: ClassVar[bool] = True``
in its body: an instance then does not hold what is the default itself, and finds it at its class.
:func:`made` makes one of its fields, for the few places where very many are made.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, **options: bool) -> Any:
        """Return what :func:`dataclasses.dataclass` does; of a frozen class at less cost."""
        if cls is None:
            return lambda cls: dataclass(cls, frozen=frozen, **options)
        if not frozen or options:
            return dataclasses.dataclass(cls, frozen=frozen, **options)
        return _lean(cls)


__all__ = ["dataclass", "made"]

C = TypeVar("C", bound="type[Any]")
T = TypeVar("T")


def made(cls: type[T], fields: dict[str, Any]) -> T:
    """Return an instance of a sparse class that holds these fields, and is theirs from now on.

    A call of the class hands so many arguments on three times, and takes three times as long.
    Nothing is checked, no ``__post_init__`` is called, and what has a default factory has to be
    given.
    """
    instance = object.__new__(cls)
    object.__setattr__(instance, "__dict__", fields)
    return instance


def _lean(cls: C) -> C:
    own = dict(vars(cls))
    if cls.__doc__ is None:  # for which the standard library would work out the signature
        cls.__doc__ = cls.__name__
    # A dataclass is frozen where its bases are: then the standard library has to say so itself.
    is_derived = dataclasses.is_dataclass(cls)
    define = dataclasses.dataclass(init=False, repr=False, eq=False, frozen=is_derived)
    lean: Any = define(cls)
    shared = _SHARED
    if not is_derived:
        lean.__dataclass_params__.frozen = True
        shared = {**_SHARED, **_FROZEN}
    for name, method in shared.items():
        if own.get(name) is None:  # Python itself sets __hash__ to None beside an __eq__
            setattr(lean, name, method)
    return cls


def _init(self: Any, /, *args: Any, **named: Any) -> None:
    """Initialise the first instance of a class, by the method that the others find there."""
    cls = next(each for each in type(self).__mro__ if vars(each).get("__init__") is _init)
    init = _compiled(cls)
    cls.__init__ = init  # type: ignore[misc]
    init(self, *args, **named)


def _compiled(cls: type[Any]) -> Callable[..., None]:
    """Return the ``__init__`` of a class, as the standard library would write it."""
    known: dict[str, Any] = {"__name__": cls.__module__}
    parameters, body = ["self"], []
    is_sparse = getattr(cls, "sparse", False)
    for each in dataclasses.fields(cls):
        name, value, unless = each.name, each.name, ""
        if each.default is not dataclasses.MISSING:
            known[f"_{name}"] = each.default
            parameter = f"{name}=_{name}"
            unless = f"if {name} is not _{name}: " if is_sparse else ""
        elif each.default_factory is not dataclasses.MISSING:
            known[f"_{name}"] = each.default_factory
            parameter, value = f"{name}=_{name}", f"_{name}() if {name} is _{name} else {name}"
        else:
            parameter = name
        if each.init:
            parameters.append(parameter)
            body.append(f"{unless}self_dict[{name!r}] = {value}")
        elif each.default_factory is not dataclasses.MISSING:
            body.append(f"self_dict[{name!r}] = _{name}()")
    if body:  # by object.__setattr__, as the standard library does it, it takes three times as long
        body.insert(0, "self_dict = self.__dict__")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    source = f"def __init__({', '.join(parameters)}):\n    " + "\n    ".join(body or ["pass"])
    # Compiled first: Python ends by the signal, whatever exit code was asked for, if a Ctrl-C meets
    # text that is executed.
    code = compile(source, f"<{cls.__qualname__}.__init__>", "exec")
    exec(code, known)  # noqa: S102 - of our own making, as in the standard library
    method: Callable[..., None] = known["__init__"]
    method.__qualname__ = f"{cls.__qualname__}.__init__"
    return method


_keys: dict[type[Any], Callable[[Any], Any]] = {}


def _key_of(cls: type[Any]) -> Callable[[Any], Any]:
    """Return what gives the values by which instances of a class are compared."""
    key = _keys.get(cls)
    if key is None:
        names = [each.name for each in dataclasses.fields(cls) if each.compare]
        key = _keys[cls] = _values_of(names)
    return key


def _values_of(names: list[str]) -> Callable[[Any], Any]:
    if names:  # the value itself, of one name
        return attrgetter(*names)
    return lambda _instance: ()


def _eq(self: Any, other: object) -> Any:
    cls = self.__class__
    if other.__class__ is not cls:
        return NotImplemented
    key = _key_of(cls)
    return key(self) == key(other)


def _hash(self: Any) -> int:
    return hash(_key_of(self.__class__)(self))


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (each.name for each in dataclasses.fields(self) if each.repr)
    inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{self.__class__.__qualname__}({inside})"


def _set(self: Any, name: str, value: object) -> None:
    if _is_fixed(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _delete(self: Any, name: str) -> None:
    if _is_fixed(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _is_fixed(instance: Any, name: str) -> bool:
    """Say whether an attribute is none that a class derived from a frozen one has for itself."""
    return name in instance.__dataclass_fields__ or "__dataclass_fields__" in vars(type(instance))


_SHARED: Final = {"__init__": _init, "__eq__": _eq, "__hash__": _hash, "__repr__": _repr}
_FROZEN: Final = {"__setattr__": _set, "__delattr__": _delete}
