"""Requests to Lambda: who consumes a queue, and for how long at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from caraway.lean import dataclass
from caraway.requests.base import Request

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class EventSource:
    """A queue's way to a function.

    Attributes
    ----------
    function
        The function's ARN.
    state
        ``"Enabled"``, ``"Disabled"``, or on the way to one of them.
    reports_failures
        Whether it answers with ``batchItemFailures``, so that one failure is not the whole batch's.
    filters
        Whether it has filters: they delete what they do not match.
    """

    function: str
    state: str
    reports_failures: bool
    filters: bool


@dataclass(frozen=True)
class ListEventSources(Request["list[EventSource]"]):
    """List the functions that consume a queue, given by its ARN (the first hundred)."""

    service: ClassVar[str] = "lambda"
    operation: ClassVar[str] = "list_event_source_mappings"

    queue_arn: str

    def params(self) -> dict[str, Any]:
        return {"EventSourceArn": self.queue_arn}

    def answer(self, response: Mapping[str, Any]) -> list[EventSource]:
        return [
            EventSource(
                function=wire["FunctionArn"],
                state=wire.get("State") or "Enabled",
                reports_failures="ReportBatchItemFailures"
                in (wire.get("FunctionResponseTypes") or ()),
                filters=bool((wire.get("FilterCriteria") or {}).get("Filters")),
            )
            for wire in response.get("EventSourceMappings", [])
        ]

    def subject(self) -> str:
        return f"queue {self.queue_arn.rpartition(':')[2]!r}"


@dataclass(frozen=True)
class Function:
    """A function: its time-out in seconds, and its environment."""

    timeout_s: int
    environment: Mapping[str, str]


@dataclass(frozen=True)
class GetFunction(Request[Function]):
    """Read a function's time-out and environment."""

    service: ClassVar[str] = "lambda"
    operation: ClassVar[str] = "get_function_configuration"

    function: str

    def params(self) -> dict[str, Any]:
        return {"FunctionName": self.function}

    def answer(self, response: Mapping[str, Any]) -> Function:
        environment = (response.get("Environment") or {}).get("Variables") or {}
        return Function(int(response["Timeout"]), environment)

    def subject(self) -> str:
        return f"function {self.function.rpartition(':')[2]!r}"
