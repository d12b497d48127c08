"""What is sent to a door: all kinds of workflows, a large group, a large chord.

Each function sends, and returns what to assert when all has run. A task takes effect by a line in
``script.runs``.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway import chord, group
from tests.integration.conftest import PATIENCE_S
from tests.unit.canvas.canvases import Names, tasks_of
from tests.unit.canvas.oracle import foretold
from tests.unit.canvas.places import PLACES, PRIMITIVES
from tests.unit.canvas.stage import Script, Seen, assert_as_foretold, got

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway import Signature
    from tests.unit.canvas.canvases import Canvas

Check: TypeAlias = "Callable[[], None]"

COMMON: Final = ("a task", "a chain", "a group", "a chord")


def compositions() -> list[Canvas]:
    """Return some of each kind in each place; no two tasks have one name."""
    names = Names()
    return [
        PLACES[place](PRIMITIVES[primitive](names), names)
        for place, primitive in product(PLACES, COMMON)
    ]


def send_all_kinds(script: Script, every: int = 1) -> Check:
    """Send every composition, or every second, third, ... of them."""
    canvases = compositions()[::every]
    results = [script.built(canvas).delay() for canvas in canvases]

    def check() -> None:
        for canvas, result in zip(canvases, results, strict=True):
            names = {task.name for task in tasks_of(canvas)}
            ran = Counter(each for each in script.runs if each[0] in names)
            assert_as_foretold(Seen(*got(result), ran, {}), foretold(canvas))

    return check


def send_group(script: Script, size: int) -> Check:
    """Send a group."""
    result = group(_members(script, size)).delay()

    def check() -> None:
        assert result.get(timeout=PATIENCE_S) == _names(size)
        assert _ran_once(script, _names(size))

    return check


def send_chord(script: Script, size: int) -> Check:
    """Send a chord."""
    body = script.say.s(name="body", does="returns")
    result: Any = chord(_members(script, size), body).delay()

    def check() -> None:
        assert result.get(timeout=PATIENCE_S) == f"body([{', '.join(_names(size))}])"
        assert _ran_once(script, [*_names(size), "body"])

    return check


def _names(size: int) -> list[str]:
    return [f"m{number}" for number in range(size)]


def _members(script: Script, size: int) -> list[Signature[Any]]:
    return [script.say.s(name=name, does="returns") for name in _names(size)]


def _ran_once(script: Script, names: list[str]) -> bool:
    """Say whether each of them has run, and once."""
    return sorted(name for name, _ in script.runs) == sorted(names)
