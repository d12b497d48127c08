"""Requests to STS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from caraway.lean import dataclass
from caraway.requests.base import Request

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Identity:
    """Whose credentials are used: the account's number and the ARN of the user or role."""

    account: str
    arn: str


@dataclass(frozen=True)
class GetCallerIdentity(Request[Identity]):
    """Ask whose credentials these are. Nobody needs a permission for it."""

    service: ClassVar[str] = "sts"
    operation: ClassVar[str] = "get_caller_identity"

    def params(self) -> dict[str, Any]:
        return {}

    def answer(self, response: Mapping[str, Any]) -> Identity:
        return Identity(response["Account"], response["Arn"])
