"""What the executor tells its observer: the source of logs and signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from caraway.lean import dataclass

if TYPE_CHECKING:
    from caraway.core.disposition import Delivery
    from caraway.core.message import Message
    from caraway.core.settle import Ending


@dataclass(frozen=True)
class Received:
    """A message was read."""

    message: Message
    delivery: Delivery


@dataclass(frozen=True)
class Undeliverable:
    """A message goes to the dead-letter queue without a look at its record."""

    delivery: Delivery
    reason: str


@dataclass(frozen=True)
class Ended:
    """An attempt ended and its ending is durable."""

    message: Message
    ending: Ending
    runtime_s: float


@dataclass(frozen=True)
class Fenced:
    """An attempt ended after somebody else had taken the task over: its outcome is dropped."""

    message: Message


@dataclass(frozen=True)
class ProcessLost:
    """The process that ran an attempt has died; the message comes back."""

    message: Message
    why: str


@dataclass(frozen=True)
class HookFailed:
    """A hook such as ``on_success`` raised; the ending stands."""

    message: Message
    error: BaseException


Event: TypeAlias = "Received | Undeliverable | Ended | Fenced | ProcessLost | HookFailed"
