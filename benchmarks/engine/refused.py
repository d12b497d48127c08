"""What the stub refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refused(Exception):  # noqa: N818 - it is an answer
    """A request that AWS would refuse.

    Attributes
    ----------
    code
        AWS's name of the error.
    query_code
        What the error was called before SQS spoke JSON; botocore goes by that name.
    details
        What the answer says besides.
    """

    def __init__(
        self,
        code: str,
        message: str,
        query_code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.query_code = query_code
        self.details = details or {}
