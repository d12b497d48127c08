"""DynamoDB's conditions and updates, and their words in PartiQL, compiled once for each text.

What is compiled is a function of a :class:`Scope`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from benchmarks.engine import values
from benchmarks.engine.refused import Refused
from benchmarks.engine.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.engine.values import Item, Value

Names: TypeAlias = "Mapping[str, str]"
Given: TypeAlias = "Mapping[str, Value] | Sequence[Value]"
Condition: TypeAlias = "Callable[[Scope], bool]"
Operand: TypeAlias = "Callable[[Scope], Value | None]"
Action: TypeAlias = "Callable[[Scope, Item], str]"

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Scope:
    """What a text is about.

    Parameters
    ----------
    item
        The item before the write, empty if there is none.
    names
        What the placeholders ``#name`` stand for.
    given
        What the parameters stand for: ``:value`` by name, ``?`` by position.
    """

    __slots__ = ("given", "item", "names")

    def __init__(self, item: Item, names: Names, given: Given) -> None:
        self.item = item
        self.names = names
        self.given: Any = given

    def called(self, name: str) -> str:
        """Return an attribute's name, of which a text may have a placeholder."""
        return self.names[name] if name[0] == "#" else name


@dataclass(frozen=True)
class Update:
    """What an update expression does; each action says which attribute it is about."""

    actions: tuple[Action, ...]

    def apply(self, scope: Scope) -> tuple[Item, list[str]]:
        """Return the item after it, and the names of the attributes that it is about."""
        after = dict(scope.item)
        return after, [act(scope, after) for act in self.actions]


@lru_cache(maxsize=4096)
def condition(text: str) -> Condition:
    """Compile a condition."""
    parser = Parser(text)
    compiled = parser.condition()
    parser.end()
    return compiled


@lru_cache(maxsize=4096)
def update(text: str) -> Update:
    """Compile an update expression."""
    parser = Parser(text)
    actions: list[Action] = []
    clauses = {
        "SET": parser.assignment,
        "REMOVE": parser.removal,
        "ADD": parser.addition,
        "DELETE": parser.deletion,
    }
    while not parser.is_over:
        clause = clauses.get(parser.next().upper())
        if clause is None:
            raise parser.wrong()
        actions += parser.listed(clause)
    return Update(tuple(actions))


class Parser(Tokens):
    """Compiles what it reads.

    Attributes
    ----------
    equal
        The attributes that conditions compare with something, in PartiQL: there they name the key.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._parameters = 0
        self.equal: dict[str, Operand] = {}

    # -- operands -----------------------------------------------------------------------------

    def operand(self) -> Operand:
        """Read a value, or what stands for one."""
        match self.peek():
            case "?":
                self.next()
                self._parameters += 1
                return _given(self._parameters - 1)
            case "IF_NOT_EXISTS":
                return self._if_not_exists()
            case "LIST_APPEND":
                return self._list_append()
            case "SIZE":
                return self._size()
            case token if token.startswith(":") and len(token) > 1:
                return _given(self.next())
            case _:
                return _attribute(self.name())

    def _if_not_exists(self) -> Operand:
        self.expect("IF_NOT_EXISTS", "(")
        present = _attribute(self.name())
        self.expect(",")
        otherwise = self.sum()
        self.expect(")")

        def value(scope: Scope) -> Value | None:
            found = present(scope)
            return otherwise(scope) if found is None else found

        return value

    def _list_append(self) -> Operand:
        self.expect("LIST_APPEND", "(")
        first, second = self.listed(self.operand)
        self.expect(")")

        def value(scope: Scope) -> Value | None:
            left, right = first(scope), second(scope)
            if left is None or right is None:
                raise Refused("ValidationException", "list_append needs two lists")
            return {"L": [*left["L"], *right["L"]]}

        return value

    def _size(self) -> Operand:
        self.expect("SIZE", "(")
        measured = _attribute(self.name())
        self.expect(")")

        def value(scope: Scope) -> Value | None:
            found = measured(scope)
            return None if found is None else {"N": str(len(values.split(found)[1]))}

        return value

    def sum(self) -> Operand:
        """Read operands that are added or subtracted."""
        total = self.operand()
        while self.peek() in {"+", "-"}:
            sign = 1 if self.next() == "+" else -1
            total = _sum(total, self.operand(), sign)
        return total

    # -- conditions ---------------------------------------------------------------------------

    def condition(self) -> Condition:
        """Read a condition."""
        held = self._all()
        while self.skip("OR"):
            held = _either(held, self._all())
        return held

    def _all(self) -> Condition:
        held = self._single()
        while self.skip("AND"):
            held = _both(held, self._single())
        return held

    def _single(self) -> Condition:
        if self.skip("NOT"):
            denied = self._single()
            return lambda scope: not denied(scope)
        if self.skip("("):
            held = self.condition()
            self.expect(")")
            return held
        function = _FUNCTIONS.get(self.peek())
        if function is not None:
            self.next()
            self.expect("(")
            operands = self.listed(self.operand)
            self.expect(")")
            return function(*operands)
        return self._comparison()

    def _comparison(self) -> Condition:
        name = self.coming.strip("\"'")
        left = self.operand()
        token = self.next().upper()
        if token == "IN":
            self.expect("(")
            others = self.listed(self.operand)
            self.expect(")")
            return lambda scope: any(values.same(left(scope), each(scope)) for each in others)
        if token == "BETWEEN":
            low = self.operand()
            self.expect("AND")
            return _both(_ordered(low, left, "<="), _ordered(left, self.operand(), "<="))
        right = self.operand()
        if token == "=":
            self.equal.setdefault(name, right)
            return _equal(left, right)
        if token == "<>":
            equal = _equal(left, right)
            return lambda scope: not equal(scope)
        if token not in _ORDERS:
            raise self.wrong()
        return _ordered(left, right, token)

    # -- updates ------------------------------------------------------------------------------

    def assignment(self) -> Action:
        """Read ``name = value``."""
        name = self.name()
        self.expect("=")
        value = self.sum()

        def act(scope: Scope, after: Item) -> str:
            found = value(scope)
            if found is None:
                raise Refused(
                    "ValidationException",
                    "The provided expression refers to an attribute that does not exist in the "
                    "item",
                )
            called = scope.called(name)
            after[called] = found
            return called

        return act

    def removal(self) -> Action:
        """Read ``name``."""
        name = self.name()

        def act(scope: Scope, after: Item) -> str:
            called = scope.called(name)
            after.pop(called, None)
            return called

        return act

    def addition(self) -> Action:
        """Read ``name value``, of ADD."""
        name, more = self.name(), self.operand()

        def act(scope: Scope, after: Item) -> str:
            called, added = scope.called(name), more(scope)
            assert added is not None
            after[called] = values.united(scope.item.get(called), added)
            return called

        return act

    def deletion(self) -> Action:
        """Read ``name value``, of DELETE."""
        name, less = self.name(), self.operand()

        def act(scope: Scope, after: Item) -> str:
            called, taken = scope.called(name), less(scope)
            assert taken is not None
            rest = values.parted(scope.item.get(called), taken)
            if rest is None:
                after.pop(called, None)
            else:
                after[called] = rest
            return called

        return act


# -- what the compiled functions are made of ------------------------------------------------------


def _given(key: str | int) -> Operand:
    return lambda scope: scope.given[key]


def _attribute(name: str) -> Operand:
    if name.startswith("#"):
        return lambda scope: scope.item.get(scope.names[name])
    return lambda scope: scope.item.get(name)


def _sum(left: Operand, right: Operand, sign: int) -> Operand:
    return lambda scope: values.added(left(scope), right(scope), sign)


def _both(left: Condition, right: Condition) -> Condition:
    return lambda scope: left(scope) and right(scope)


def _either(left: Condition, right: Condition) -> Condition:
    return lambda scope: left(scope) or right(scope)


def _equal(left: Operand, right: Operand) -> Condition:
    return lambda scope: values.same(left(scope), right(scope))


def _ordered(left: Operand, right: Operand, order: str) -> Condition:
    holds = _ORDERS[order]
    return lambda scope: values.compared(left(scope), right(scope), holds)


def _exists(of: Operand) -> Condition:
    return lambda scope: of(scope) is not None


def _absent(of: Operand) -> Condition:
    return lambda scope: of(scope) is None


def _begins(of: Operand, prefix: Operand) -> Condition:
    return lambda scope: values.begins(of(scope), prefix(scope) or {})


def _contains(of: Operand, part: Operand) -> Condition:
    return lambda scope: values.contains(of(scope), part(scope) or {})


_FUNCTIONS: Final[dict[str, Callable[..., Condition]]] = {
    "ATTRIBUTE_EXISTS": _exists,
    "ATTRIBUTE_NOT_EXISTS": _absent,
    "BEGINS_WITH": _begins,
    "CONTAINS": _contains,
}
