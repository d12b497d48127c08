"""What every AWS request has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

R_co = TypeVar("R_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)

Json: TypeAlias = Any
"""What ``json.loads`` can return."""


@dataclass(frozen=True)
class Listed(Generic[T_co]):
    """Some of what a list has, and the token that asks for those after them, None at the end."""

    items: tuple[T_co, ...]
    next_token: str | None


class Request(ABC, Generic[R_co]):
    """A request to AWS as a value; ``R_co`` is the type of its answer.

    A request knows how it is put to an SDK (``service``, ``operation``, ``params``) and how the
    SDK's dictionary becomes an answer. boto3 and aiobotocore take the same arguments and return
    the same dictionaries, so neither appears here.
    """

    service: ClassVar[str]
    """The SDK's name of the service, such as ``"sqs"``."""
    operation: ClassVar[str]
    """The SDK's name of the operation, such as ``"send_message"``."""
    memoised: ClassVar[bool] = False
    """Whether a port may remember the answer for as long as it lives."""
    concurrent: ClassVar[bool] = False
    """Whether a port that blocks may perform several at a time, in threads: those that come in
    numbers, and that AWS takes in no batch."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the operation's keyword arguments."""

    @abstractmethod
    def answer(self, response: Mapping[str, Any]) -> R_co:
        """Return what the response means."""

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        """Return the exception that an error code means here, None for the usual one."""
        return None

    def subject(self) -> str:
        """Name what the request is about, for error messages: a queue, a table, a rule."""
        return ""
