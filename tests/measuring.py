"""Where coverage looks away: under it, all Python of a process takes twice as long."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")


@contextmanager
def unmeasured() -> Iterator[None]:
    """Let nothing be traced in this block, nor in the threads that it starts."""
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(in_threads)
        sys.settrace(here)


def untraced(function: Callable[P, R]) -> Callable[P, R]:
    """Let nothing be traced in a function, which several threads may call at once."""

    @wraps(function)
    def quick(*args: P.args, **kwargs: P.kwargs) -> R:
        here = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(here)

    return quick
