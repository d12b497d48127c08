"""Requests to IAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from caraway.exceptions import ResourceMissing
from caraway.lean import dataclass
from caraway.requests.base import Json, Request

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class GetTrustPolicy(Request[Json]):
    """Ask who may assume a role; answers the policy that says it, as JSON.

    Attributes
    ----------
    role
        The role's name, without its path.
    """

    service: ClassVar[str] = "iam"
    operation: ClassVar[str] = "get_role"

    role: str

    def params(self) -> dict[str, Any]:
        return {"RoleName": self.role}

    def answer(self, response: Mapping[str, Any]) -> Json:
        return response["Role"]["AssumeRolePolicyDocument"]

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        if code == "NoSuchEntity":
            return ResourceMissing(f"role {self.role!r} does not exist in this account")
        return None

    def subject(self) -> str:
        return f"role {self.role!r}"
