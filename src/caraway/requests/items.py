"""DynamoDB items: their wire form, and expressions that can be read, sent and evaluated.

A condition or an assignment is a small tree of values. ``render`` gives DynamoDB's text for it,
``holds`` and ``value`` give its meaning over a plain dictionary, so that the same tree is sent to
AWS and reasoned about in memory. The contract suite checks that the engines agree with the
meaning given here.
"""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

Item: TypeAlias = "dict[str, Any]"
"""An item as plain Python values: str, bool, int, float, bytes, None, set[str], list, dict."""


_AS_THEY_ARE: Final = frozenset({str, int, bool, float, bytes, type(None)})
"""Types of values that come back as they went."""


def to_attribute(value: Any) -> dict[str, Any]:
    """Return the wire form of one value, such as ``{"S": "text"}``.

    Raises
    ------
    TypeError
        If DynamoDB has no such type.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | float() | Decimal():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case bytes():
            return {"B": value}
        case set() | frozenset():
            return {"SS": sorted(value)}
        case list() | tuple():
            return {"L": [to_attribute(each) for each in value]}
        case dict():
            return {"M": to_item(value)}
        case _:
            raise TypeError(f"DynamoDB has no type for {type(value).__qualname__}")


def from_attribute(attribute: Mapping[str, Any]) -> Any:
    """Return the plain value of one wire form; numbers come back as int where they are whole."""
    ((kind, value),) = attribute.items()
    if kind == "S":  # most are
        return value
    match kind:
        case "N":
            return int(value) if value.lstrip("-").isdigit() else float(value)
        case "NULL":
            return None
        case "SS":
            return set(value)
        case "L":
            return [from_attribute(each) for each in value]
        case "M":
            return from_item(value)
        case _:
            return value


def as_read(plain: Mapping[str, Any]) -> Item:
    """Return an item as it comes back from DynamoDB: a tuple is a list then, for example."""
    return {
        name: value if type(value) in _AS_THEY_ARE else from_attribute(to_attribute(value))
        for name, value in plain.items()
    }


def to_attributes(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the wire forms of several values."""
    # Most are text, and need no call.
    return [{"S": each} if type(each) is str else to_attribute(each) for each in values]


def to_item(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wire form of an item."""
    return {name: to_attribute(value) for name, value in plain.items()}


def from_item(wire: Mapping[str, Any]) -> Item:
    """Return an item as plain values."""
    return {name: from_attribute(value) for name, value in wire.items()}


class Names:
    """Collects the placeholders of one request: ``#name`` for attributes, ``:n`` for values.

    Every attribute gets a placeholder, because DynamoDB reserves words such as ``state``.
    """

    def __init__(self) -> None:
        self.attributes: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def attribute(self, name: str) -> str:
        """Return the placeholder of an attribute's name."""
        self.attributes[f"#{name}"] = name
        return f"#{name}"

    def value(self, value: Any) -> str:
        """Return the placeholder of a value; equal values share one."""
        for placeholder, known in self.values.items():
            if type(known) is type(value) and known == value:
                return placeholder
        placeholder = f":{len(self.values)}"
        self.values[placeholder] = value
        return placeholder


class Condition:
    """What must hold of an item for a write to happen; combine with ``&`` and ``|``."""

    def render(self, names: Names) -> str:
        """Return DynamoDB's text for it."""
        raise NotImplementedError

    def holds(self, item: Mapping[str, Any]) -> bool:
        """Say whether it holds of an item; an absent item is the empty one."""
        raise NotImplementedError

    def equalities(self) -> Item | None:
        """Return the attributes whose values are all that it asks for, None if it is not all."""
        return None

    def __and__(self, other: Condition) -> Condition:
        return _Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return _Either(self, other)


@dataclass(frozen=True)
class _Both(Condition):
    left: Condition
    right: Condition

    def render(self, names: Names) -> str:
        return f"({self.left.render(names)} AND {self.right.render(names)})"

    def holds(self, item: Mapping[str, Any]) -> bool:
        return self.left.holds(item) and self.right.holds(item)

    def equalities(self) -> Item | None:
        left, right = self.left.equalities(), self.right.equalities()
        if left is None or right is None or not left.keys().isdisjoint(right):
            return None
        return {**left, **right}


@dataclass(frozen=True)
class _Either(Condition):
    left: Condition
    right: Condition

    def render(self, names: Names) -> str:
        return f"({self.left.render(names)} OR {self.right.render(names)})"

    def holds(self, item: Mapping[str, Any]) -> bool:
        return self.left.holds(item) or self.right.holds(item)


@dataclass(frozen=True)
class Absent(Condition):
    """The item has no such attribute; ``Absent("id")`` says that there is no item."""

    name: str

    def render(self, names: Names) -> str:
        return f"attribute_not_exists({names.attribute(self.name)})"

    def holds(self, item: Mapping[str, Any]) -> bool:
        return self.name not in item


@dataclass(frozen=True)
class Present(Condition):
    """The item has the attribute."""

    name: str

    def render(self, names: Names) -> str:
        return f"attribute_exists({names.attribute(self.name)})"

    def holds(self, item: Mapping[str, Any]) -> bool:
        return self.name in item


@dataclass(frozen=True)
class Always(Condition):
    """Holds of every item, and of none: for a write that may be repeated."""

    def render(self, names: Names) -> str:
        id = names.attribute("id")
        return f"(attribute_exists({id}) OR attribute_not_exists({id}))"

    def holds(self, item: Mapping[str, Any]) -> bool:
        return True


@dataclass(frozen=True)
class Equals(Condition):
    """The attribute is there and equals the value."""

    name: str
    value: Any

    def render(self, names: Names) -> str:
        return f"{names.attribute(self.name)} = {names.value(self.value)}"

    def holds(self, item: Mapping[str, Any]) -> bool:
        return self.name in item and _equal(item[self.name], self.value)

    def equalities(self) -> Item | None:
        return {self.name: self.value}


@dataclass(frozen=True)
class AtMost(Condition):
    """The attribute is there, a number, and not above the value."""

    name: str
    value: float

    def render(self, names: Names) -> str:
        return f"{names.attribute(self.name)} <= {names.value(self.value)}"

    def holds(self, item: Mapping[str, Any]) -> bool:
        present = item.get(self.name)
        if isinstance(present, bool) or not isinstance(present, int | float):
            return False
        return present <= self.value


@dataclass(frozen=True)
class AtLeast(Condition):
    """The attribute is there, a number, and not below the value."""

    name: str
    value: float

    def render(self, names: Names) -> str:
        return f"{names.attribute(self.name)} >= {names.value(self.value)}"

    def holds(self, item: Mapping[str, Any]) -> bool:
        present = item.get(self.name)
        if isinstance(present, bool) or not isinstance(present, int | float):
            return False
        return present >= self.value


@dataclass(frozen=True)
class BeginsWith(Condition):
    """The attribute is there, a text, and begins with another."""

    name: str
    text: str

    def render(self, names: Names) -> str:
        return f"begins_with({names.attribute(self.name)}, {names.value(self.text)})"

    def holds(self, item: Mapping[str, Any]) -> bool:
        present = item.get(self.name)
        return isinstance(present, str) and present.startswith(self.text)


@dataclass(frozen=True)
class OneOf(Condition):
    """The attribute is there and equals one of the values."""

    name: str
    values: tuple[Any, ...]

    def render(self, names: Names) -> str:
        listed = ", ".join(names.value(value) for value in self.values)
        return f"{names.attribute(self.name)} IN ({listed})"

    def holds(self, item: Mapping[str, Any]) -> bool:
        return self.name in item and any(_equal(item[self.name], each) for each in self.values)


def _equal(left: Any, right: Any) -> bool:
    """Compare as DynamoDB does, where True is no number."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


class Operand:
    """The right side of an assignment, when it is more than a plain value."""

    def render(self, names: Names) -> str:
        """Return DynamoDB's text for it."""
        raise NotImplementedError

    def value(self, item: Mapping[str, Any]) -> Any:
        """Return what it comes to, given the item before the write."""
        raise NotImplementedError


@dataclass(frozen=True)
class OrElse(Operand):
    """The attribute's present value, or another one where it has none."""

    name: str
    otherwise: Any

    def render(self, names: Names) -> str:
        return f"if_not_exists({names.attribute(self.name)}, {names.value(self.otherwise)})"

    def value(self, item: Mapping[str, Any]) -> Any:
        return item.get(self.name, self.otherwise)


@dataclass(frozen=True)
class Sum(Operand):
    """Two operands added."""

    left: Operand
    right: Operand

    def render(self, names: Names) -> str:
        return f"{self.left.render(names)} + {self.right.render(names)}"

    def value(self, item: Mapping[str, Any]) -> Any:
        return self.left.value(item) + self.right.value(item)


_OPERANDS: Final = frozenset({OrElse, Sum})


@dataclass(frozen=True)
class Change:
    """What a write does to an item: attributes to set, attributes to remove, and sets to change.

    ``assign`` maps an attribute to a plain value or to an :class:`OrElse` or :class:`Sum`, which
    see the item as it was before the write, as in DynamoDB. ``add`` and ``discard`` map attributes
    to elements of sets; a set that is left empty is removed, as DynamoDB has no empty ones.
    """

    assign: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    add: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    discard: Mapping[str, AbstractSet[str]] = field(default_factory=dict)

    def render(self, names: Names) -> str:
        """Return DynamoDB's update expression; a change must change something."""
        sets = ", ".join(
            f"{names.attribute(name)} = "
            + (value.render(names) if isinstance(value, Operand) else names.value(value))
            for name, value in self.assign.items()
        )
        removes = ", ".join(names.attribute(name) for name in self.remove)
        clauses = {
            "SET": sets,
            "REMOVE": removes,
            "ADD": _elements(self.add, names),
            "DELETE": _elements(self.discard, names),
        }
        return " ".join(f"{verb} {listed}" for verb, listed in clauses.items() if listed)

    @property
    def is_plain(self) -> bool:
        """Whether what is assigned depends on nothing that was there before."""
        return _OPERANDS.isdisjoint(map(type, self.assign.values()))

    def assigned(self, item: Mapping[str, Any]) -> Item:
        """Return the attributes that the write sets, with their values."""
        return {
            name: value.value(item) if isinstance(value, Operand) else value
            for name, value in self.assign.items()
        }

    def apply(self, item: Mapping[str, Any]) -> Item:
        """Return the item after the write."""
        after = {**item, **self.assigned(item)}
        for name in self.remove:
            after.pop(name, None)
        for name, elements in self.add.items():
            after[name] = set(item.get(name, ())) | elements
        for name, elements in self.discard.items():
            after[name] = set(item.get(name, ())) - elements
            if not after[name]:
                del after[name]
        return after


def _elements(sets: Mapping[str, AbstractSet[str]], names: Names) -> str:
    return ", ".join(
        f"{names.attribute(name)} {names.value(set(elements))}" for name, elements in sets.items()
    )
