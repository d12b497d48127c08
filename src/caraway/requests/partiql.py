"""Record writes as PartiQL statements, of which 25 travel in one request to DynamoDB.

A statement is said only where it means what the :class:`~caraway.requests.dynamodb.UpdateItem`
means: an INSERT is a write that creates its item, and says nothing of an item that is there; an
UPDATE is a write under plain equalities, and never creates one. ("PartiQL - a SQL-compatible query
language for Amazon DynamoDB", Amazon DynamoDB Developer Guide.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from caraway.requests.items import as_read, from_item, to_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.dynamodb import UpdateItem
    from caraway.requests.items import Item

STATEMENT_LIMIT: Final = 25
"""Most statements of one BatchExecuteStatement (Amazon DynamoDB API Reference)."""


def can_be_said(request: UpdateItem) -> bool:
    """Say whether there is a statement for a write."""
    change = request.change
    if change.add or change.discard:
        return False
    if request.is_first:
        return request.condition.holds({})
    return change.is_plain and request.condition.equalities() is not None


def statement(request: UpdateItem) -> dict[str, Any]:
    """Return a write, of which :func:`can_be_said` holds, as one entry of a batch."""
    if request.is_first:
        text = _insert(request.table, tuple(request.created))
        parameters = to_attributes(request.created.values())
    else:
        change = request.change
        equalities = request.condition.equalities() or {}
        text = _update(
            request.table,
            tuple(change.assign),
            change.remove,
            tuple(equalities),
        )
        values = [*change.assign.values(), request.id, *equalities.values()]
        parameters = to_attributes(values)
    return {
        "Statement": text,
        "Parameters": parameters,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def written(request: UpdateItem, response: Mapping[str, Any]) -> Item | None:
    """Return what a write answers after its statement; None if the response does not say.

    An UPDATE brings its item even where nobody reads it: a place that answers nothing to one that
    found nothing is found out by that.
    """
    if not request.is_first and "Item" not in response:
        return None
    if not request.answers_item:
        return {}
    return as_read(request.created) if request.is_first else from_item(response["Item"])


@lru_cache(maxsize=64)
def _insert(table: str, names: tuple[str, ...]) -> str:
    values = ", ".join(f"'{name}': ?" for name in names)
    return f'INSERT INTO "{table}" VALUE {{{values}}}'


@lru_cache(maxsize=64)
def _update(
    table: str, assigned: tuple[str, ...], removed: tuple[str, ...], equal: tuple[str, ...]
) -> str:
    # Quoted, because words such as "state" are reserved.
    sets = " ".join(f'SET "{name}" = ?' for name in assigned)
    removes = " ".join(f'REMOVE "{name}"' for name in removed)
    where = " AND ".join(f'"{name}" = ?' for name in ("id", *equal))
    return f'UPDATE "{table}" {sets} {removes} WHERE {where} RETURNING ALL NEW *'
