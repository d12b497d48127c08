"""PartiQL's INSERT and UPDATE of one item, compiled once for each text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from benchmarks.engine.expressions import Parser, Update

if TYPE_CHECKING:
    from benchmarks.engine.expressions import Action, Condition, Operand


@dataclass(frozen=True)
class Insert:
    """Makes an item where there is none."""

    table: str
    values: tuple[tuple[str, Operand], ...]


@dataclass(frozen=True)
class Change:
    """Changes an item that is there, if a condition holds.

    Attributes
    ----------
    equal
        What attributes are to be equal to; the key's name the item.
    returning
        ``ALL_NEW``, ``ALL_OLD`` or ``NONE``.
    """

    table: str
    update: Update
    condition: Condition
    equal: dict[str, Operand]
    returning: str


@lru_cache(maxsize=4096)
def statement(text: str) -> Insert | Change:
    """Compile a statement."""
    parser = Parser(text)
    compiled = _insert(parser) if parser.skip("INSERT", "INTO") else _update(parser)
    parser.end()
    return compiled


def _insert(parser: Parser) -> Insert:
    table = parser.name()
    parser.expect("VALUE", "{")
    pairs = parser.listed(lambda: _pair(parser))
    parser.expect("}")
    return Insert(table, tuple(pairs))


def _pair(parser: Parser) -> tuple[str, Operand]:
    name = parser.name()
    parser.expect(":")
    return name, parser.operand()


def _update(parser: Parser) -> Change:
    parser.expect("UPDATE")
    table = parser.name()
    actions: list[Action] = []
    while parser.peek() in {"SET", "REMOVE"}:
        read = parser.assignment if parser.next().upper() == "SET" else parser.removal
        actions += parser.listed(read)
    parser.expect("WHERE")
    condition = parser.condition()
    returning = "NONE"
    if parser.skip("RETURNING", "ALL"):
        returning = f"ALL_{parser.next().upper()}"
        parser.expect("*")
    return Change(table, Update(tuple(actions)), condition, parser.equal, returning)
