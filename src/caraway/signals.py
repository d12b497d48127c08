"""Signals: a list of callables that are told when something has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class Signal:
    """Receivers of one event, called as ``receiver(sender=..., **arguments)``.

    Unlike Celery's, receivers are kept alive, so a local function may be one, and an exception of a
    receiver is not swallowed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._receivers: list[tuple[Callable[..., Any], Any]] = []

    @overload
    def connect(self, receiver: F, *, sender: Any = None) -> F: ...

    @overload
    def connect(self, receiver: None = None, *, sender: Any = None) -> Callable[[F], F]: ...

    def connect(self, receiver: Any = None, *, sender: Any = None) -> Any:
        """Add a receiver, of one sender's events or of all; also a decorator."""
        if receiver is None:
            return lambda function: self.connect(function, sender=sender)
        if (receiver, sender) not in self._receivers:
            self._receivers.append((receiver, sender))
        return receiver

    def disconnect(self, receiver: Callable[..., Any], sender: Any = None) -> bool:
        """Remove a receiver; says whether it was there."""
        if (receiver, sender) not in self._receivers:
            return False
        self._receivers.remove((receiver, sender))
        return True

    def send(self, sender: Any, **arguments: Any) -> list[Any]:
        """Call the receivers in the order in which they were connected; return what they return."""
        return [
            receiver(sender=sender, signal=self, **arguments)
            for receiver, wanted in list(self._receivers)
            if wanted is None or wanted is sender
        ]

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


heartbeat_sent = Signal("heartbeat_sent")
"""An ECS worker has written its heartbeat; ``sender.hostname`` is the worker's name."""
