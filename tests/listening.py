"""Receivers of all signals, for as long as a test runs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caraway.signals import SIGNALS, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Told:
    """A signal, as its receiver was told."""

    name: str
    sender: Any
    arguments: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


@dataclass
class Ear:
    """What was heard, in its order."""

    heard: list[Told] = field(default_factory=list)

    def hear(self, sender: Any, signal: Signal, **arguments: Any) -> None:
        assert sorted(arguments) == sorted(signal.arguments), signal
        self.heard.append(Told(signal.name, sender, arguments))

    @property
    def names(self) -> list[str]:
        """The names of the signals."""
        return [each.name for each in self.heard]

    def of(self, name: str) -> list[Told]:
        """Return what was heard of one signal."""
        return [each for each in self.heard if each.name == name]

    def one(self, name: str) -> Told:
        """Return the only one of a signal."""
        (told,) = self.of(name)
        return told


@contextmanager
def listening(*names: str) -> Iterator[Ear]:
    """Listen to the named signals, or to all but ``setup_logging``."""
    ear = Ear()
    wanted = [SIGNALS[name] for name in names or SIGNALS if name != "setup_logging" or names]
    for signal in wanted:
        signal.connect(ear.hear)
    try:
        yield ear
    finally:
        for signal in wanted:
            signal.disconnect(ear.hear)
