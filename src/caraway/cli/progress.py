"""How far a task is, as its ``meta`` tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from caraway.core.codec import decode
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.results import Seen

_DONE: Final = ("current", "done", "processed", "completed")
_TOTAL: Final = ("total", "of")
_PERCENT: Final = ("percent", "percentage", "progress")
_TEXT: Final = ("description", "message", "status", "stage", "step")
"""The names that tasks written for Celery use, the most frequent first."""
_TEXT_SHOWN: Final = 200


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    Attributes
    ----------
    done, total
        So many of so many; ``done`` may be above ``total`` where the task says so.
    text
        What it does at the moment, "" when it does not say.
    in_percent
        The task told a percentage, not a count.
    """

    done: float
    total: float
    text: str = ""
    in_percent: bool = False

    @property
    def fraction(self) -> float:
        """Return how much is done, 0 to 1."""
        return min(1.0, max(0.0, self.done / self.total))

    def __str__(self) -> str:
        percent = f"{self.fraction:.0%}"
        told = percent if self.in_percent else f"{self.done:g}/{self.total:g} ({percent})"
        return f"{told} {_one_line(self.text)}".rstrip()


def progress_of(meta: Any) -> Progress | None:
    """Return the progress that a ``meta`` tells, None when it tells none.

    ``{"current": 3, "total": 10}`` does, and so do ``done`` and ``of``, ``percent`` and the like;
    a ``description``, ``message`` or ``status`` says what the task does.
    """
    if not isinstance(meta, Mapping):
        return None
    text = next((meta[name] for name in _TEXT if isinstance(meta.get(name), str)), "")
    done, total = _number(meta, _DONE), _number(meta, _TOTAL)
    if done is not None and total is not None and total > 0:
        return Progress(done, total, text)
    percent = _number(meta, _PERCENT)
    return None if percent is None else Progress(percent, 100.0, text, in_percent=True)


def _number(meta: Mapping[str, Any], names: Sequence[str]) -> float | None:
    for name in names:
        value = meta.get(name)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return float(value) if isfinite(value) else None
    return None


def state_text(seen: Seen) -> str:
    """Return a task's state in one line, with what it shows of itself: ``PROGRESS 3/10 (30%)``."""
    if seen.ready or seen.record.meta is None:
        return seen.state
    meta = decode(seen.result)
    progress = progress_of(meta)
    return f"{seen.state} {_one_line(_plain(meta)) if progress is None else progress}"


def _plain(meta: Any) -> str:
    if isinstance(meta, str):
        return meta
    try:
        return json.dumps(meta, ensure_ascii=False)
    except TypeError:
        return repr(meta)


def _one_line(text: str) -> str:
    """Return text that leaves a terminal as it is: short, printable, without breaks."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text[: _TEXT_SHOWN + 1])
    return plain if len(plain) <= _TEXT_SHOWN else f"{plain[:_TEXT_SHOWN]}..."
