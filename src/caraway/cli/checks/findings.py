"""What a check found, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from caraway.lean import dataclass

if TYPE_CHECKING:
    from caraway.app import Caraway
    from caraway.core.port import Aws
    from caraway.exceptions import OperationalError

Level: TypeAlias = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    level
        A note is worth reading and may be as it should; a problem is to be mended.
    subject
        What it is about, such as ``queue reports``.
    remedy
        What to do about it.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding("ok", subject, text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Return something worth reading."""
    return Finding("note", subject, text, remedy)


def problem(subject: str, text: str, remedy: str = "") -> Finding:
    """Return something to be mended."""
    return Finding("problem", subject, text, remedy)


def refused(subject: str, error: OperationalError, *, level: Level = "problem") -> Finding:
    """Return that AWS did not answer a question; Caraway's errors name their remedy themselves."""
    return Finding(level, subject, str(error))


@dataclass(frozen=True)
class Patient:
    """What is looked at: an app, and its way to AWS."""

    app: Caraway
    aws: Aws

    @property
    def prefix(self) -> str:
        """What goes before the name of each queue."""
        return self.app.conf.queue_name_prefix
