"""Arguments that nobody is shown: what stands in their place."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import ImproperlyConfigured, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

FILTERED: Final = "[filtered]"


def filtered(
    sensitive: bool | Collection[str],
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments as they may be shown.

    Parameters
    ----------
    sensitive
        True for all of them, or the names of the function's parameters that are.
    """
    if not sensitive:
        return list(args), dict(kwargs)
    if sensitive is True:
        return [FILTERED] * len(args), dict.fromkeys(kwargs, FILTERED)
    names = _positions(function, len(args))
    return (
        [FILTERED if n in sensitive else each for n, each in zip(names, args, strict=True)],
        {n: FILTERED if n in sensitive else each for n, each in kwargs.items()},
    )


def _positions(function: Callable[..., Any], count: int) -> list[str]:
    """Return the name of the parameter that takes each of so many positional arguments."""
    names: list[str] = []
    rest = ""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = parameter.name
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return [*names, *[rest] * (count - len(names))][:count]


def check_sensitive(task: str, sensitive: object, function: Callable[..., Any]) -> None:
    """Refuse a declaration that would hide nothing.

    Raises
    ------
    ImproperlyConfigured
        If it is neither True nor False, nor names parameters of the function.
    """
    if isinstance(sensitive, bool):
        return
    if not isinstance(sensitive, tuple | list | set | frozenset):
        raise ImproperlyConfigured(
            f"{task}: sensitive={sensitive!r}: expected True, False or a tuple of names of "
            "parameters, as in ('password',)"
        )
    parameters = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for name in sensitive:
        if name not in parameters:
            raise ImproperlyConfigured(
                f"{task}: sensitive: no parameter is named {name!r}{nearest(str(name), parameters)}"
            )
