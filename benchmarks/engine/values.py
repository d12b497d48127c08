"""DynamoDB's values in their wire form, such as ``{"N": "1"}``: compared, added, united."""

from __future__ import annotations

from base64 import b64decode
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.engine.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

Value: TypeAlias = "dict[str, Any]"
Item: TypeAlias = "dict[str, Value]"


def split(value: Value) -> tuple[str, Any]:
    """Return a value's type and what is in it."""
    ((kind, content),) = value.items()
    return kind, content


def same(left: Value | None, right: Value | None) -> bool:
    """Say whether two values are equal; what is not there equals nothing."""
    if left is None or right is None:
        return False
    if left == right:
        return True
    kind, one = split(left)
    other_kind, other = split(right)
    if kind != other_kind:
        return False
    match kind:
        case "N":
            return Decimal(one) == Decimal(other)
        case "SS" | "BS":
            return set(one) == set(other)
        case "NS":
            return set(map(Decimal, one)) == set(map(Decimal, other))
        case "L":
            return len(one) == len(other) and all(map(same, one, other))
        case "M":
            return one.keys() == other.keys() and all(same(one[each], other[each]) for each in one)
        case _:
            return False


_READ: dict[str, Callable[[Any], Any]] = {"N": Decimal, "S": str.encode, "B": b64decode}


def compared(left: Value | None, right: Value | None, holds: Callable[[Any, Any], bool]) -> bool:
    """Say whether an order holds between two values; never between those of two types."""
    if left is None or right is None:
        return False
    kind, one = split(left)
    other_kind, other = split(right)
    if kind != other_kind or kind not in _READ:
        return False
    read = _READ[kind]
    return holds(read(one), read(other))


def begins(value: Value | None, prefix: Value) -> bool:
    """Say whether a text begins with another."""
    return value is not None and "S" in value and bool(value["S"].startswith(prefix["S"]))


def contains(value: Value | None, part: Value) -> bool:
    """Say whether a text has a part, a set an element, or a list a member."""
    if value is None:
        return False
    kind, content = split(value)
    match kind:
        case "S":
            return "S" in part and part["S"] in content
        case "SS" | "NS" | "BS":
            return any(same({kind[0]: each}, part) for each in content)
        case "L":
            return any(same(each, part) for each in content)
        case _:
            return False


def added(left: Value | None, right: Value | None, sign: int = 1) -> Value:
    """Return a sum, or a difference."""
    if left is None or right is None:
        raise Refused(
            "ValidationException",
            "The provided expression refers to an attribute that does not exist in the item",
        )
    if "N" not in left or "N" not in right:
        raise Refused("ValidationException", "An operand in the update expression is no number")
    return {"N": number(Decimal(left["N"]) + sign * Decimal(right["N"]))}


def number(value: Decimal) -> str:
    """Return a number as DynamoDB writes it."""
    return format(value.normalize(), "f")


def united(value: Value | None, more: Value) -> Value:
    """Return what ADD makes of a set, or of a number."""
    if "N" in more:
        return added(value or {"N": "0"}, more)
    kind, elements = split(more)
    if value is None:
        return more
    return {kind: list(dict.fromkeys([*value[kind], *elements]))}


def parted(value: Value | None, less: Value) -> Value | None:
    """Return what DELETE leaves of a set; None if it is nothing."""
    if value is None:
        return None
    kind, elements = split(less)
    rest = [each for each in value[kind] if each not in elements]
    return {kind: rest} if rest else None
