"""Where the CPU of a way of sending goes: a profile, by module."""

from __future__ import annotations

import cProfile
import pstats
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOTS: Final = [
    *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")),
    Path(__file__).parents[2] / "src",
    Path(__file__).parents[2],
]
_BUILT_IN: Final = "~"
_WAITING: Final = "poll"


def profiled(function: Callable[[int], object], argument: int) -> dict[str, float]:
    """Return the seconds spent in the functions of each module, in the thread that calls.

    What is written in C counts for the module that called it, and waiting for none. A profiler
    makes many small functions look dearer than they are.
    """
    profile = cProfile.Profile()
    profile.runcall(function, argument)
    seconds: Counter[str] = Counter()
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _line, name), (_calls, _primitive, own_s, _cumulative_s, callers) in stats.items():
        if file != _BUILT_IN:
            seconds[_module(file)] += own_s
        elif _WAITING not in name:
            for caller, its in callers.items():
                seconds[_module(caller[0])] += its[2]
    return dict(seconds)


def _module(file: str) -> str:
    """Return the name of the module in a file."""
    for root in _ROOTS:
        if Path(file).is_relative_to(root):
            parts = Path(file).relative_to(root).with_suffix("").parts
            return ".".join(each for each in parts if each != "__init__")
    return "made up"  # such as the methods of dataclasses
