"""IAM's policies, as far as checks read them: what stands there once need not be in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def several(value: Any) -> list[Any]:
    """Return a policy's value, or its values, as a list."""
    return value if isinstance(value, list) else [value]


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the statements of a policy."""
    return several(policy.get("Statement", []))


def allows_service(statement: Mapping[str, Any], service: str) -> bool:
    """Say whether a statement allows something, and names that service of AWS."""
    principal = statement.get("Principal")
    services = several(principal.get("Service", [])) if isinstance(principal, dict) else []
    return statement.get("Effect") == "Allow" and service in services
