"""Stamping: a visitor goes through a canvas and gives each of its calls stamps, as in Celery.

What a visitor answers is called headers, as Celery calls it. Those that its ``stamped_headers``
names are stamps; without that, all are. The others are options of the call, or headers of its own.
"""

# ruff: noqa: ARG002, B027 - a visitor's methods say nothing until they are overridden
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from caraway.core.options import NO_MEANING, OPTIONS, check_options
from caraway.core.stamps import STAMPS
from caraway.exceptions import InvalidOption

STAMPED: Final = "stamped_headers"


class StampingVisitor(ABC):
    """What gives the calls of a canvas their stamps; :meth:`on_signature` is to be written.

    A method takes the headers that come from the canvas around, and returns more of them for what
    is inside: ``{"name": value}`` is a stamp. With ``"stamped_headers": ["name"]`` beside it only
    what that names is one; the others are options or headers of the calls. What a method is told of
    (a signature, a group, a chain or a chord) is as it was made, and may be looked at or changed.
    """

    @abstractmethod
    def on_signature(self, sig: Any, **headers: Any) -> Mapping[str, Any] | None:
        """Return the headers of a call: of a task by itself, in a canvas, or in a link."""

    def on_group_start(self, group: Any, **headers: Any) -> Mapping[str, Any] | None:
        """Return headers for all that is in a group."""
        return {}

    def on_group_end(self, group: Any, **headers: Any) -> None:
        """Be told that a group is stamped."""

    def on_chain_start(self, chain: Any, **headers: Any) -> Mapping[str, Any] | None:
        """Return headers for all that is in a chain."""
        return {}

    def on_chain_end(self, chain: Any, **headers: Any) -> None:
        """Be told that a chain is stamped."""

    def on_chord_header_start(self, sig: Any, **header: Any) -> Mapping[str, Any] | None:
        """Return headers for all that is in a chord, which is a group if nothing else is said."""
        return self.on_group_start(sig.header, **header)

    def on_chord_header_end(self, sig: Any, **header: Any) -> None:
        """Be told that the header of a chord is stamped."""
        self.on_group_end(sig.header, **header)

    def on_chord_body(self, sig: Any, **header: Any) -> Mapping[str, Any] | None:
        """Return headers for the body of a chord alone."""
        return {}

    def on_callback(self, callback: Any, **header: Any) -> Mapping[str, Any] | None:
        """Return headers for a callback; :meth:`on_signature` is asked after this."""
        return {}

    def on_errback(self, errback: Any, **header: Any) -> Mapping[str, Any] | None:
        """Return headers for an errback; :meth:`on_signature` is asked after this."""
        return {}


def with_answer(
    headers: Mapping[str, Any], answer: Mapping[str, Any] | None, *, append: bool
) -> dict[str, Any]:
    """Return the headers from around with those that a visitor has answered.

    Of two stamps with one name the visitor's stays, or with ``append`` a list of both.

    Raises
    ------
    InvalidOption
        If the answer is no dict, or names a stamp that it does not give.
    """
    above = _complete(headers)
    if not answer:
        return above
    if not isinstance(answer, Mapping):
        raise InvalidOption(f"a StampingVisitor has answered {answer!r:.80}: expected a dict")
    own = _complete(answer)
    merged = {**above, **own}
    if append:
        for name in set(above[STAMPED]) & set(own[STAMPED]) & above.keys() & own.keys():
            merged[name] = _joined(above[name], own[name])
    merged[STAMPED] = list(dict.fromkeys([*above[STAMPED], *own[STAMPED]]))
    if missing := [name for name in merged[STAMPED] if name not in merged]:
        raise InvalidOption(f"stamped_headers names {missing[0]!r}, and there is no such stamp")
    return merged


def stamp_call(options: dict[str, Any], headers: Mapping[str, Any], *, append: bool) -> None:
    """Put headers into the options of a call, of which they may say others, too."""
    named = headers[STAMPED]
    for name in headers.keys() - {STAMPED, *named}:
        if name in OPTIONS or name in NO_MEANING:
            check_options({name: headers[name]})
            options[name] = headers[name]
        else:
            options["headers"] = {**(options.get("headers") or {}), name: headers[name]}
    if named:
        stamps = dict(options.get(STAMPS) or {})
        for name in named:
            both = append and name in stamps
            stamps[name] = _joined(stamps[name], headers[name]) if both else headers[name]
        options[STAMPS] = stamps


def _complete(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers that say which of them are stamps."""
    return {STAMPED: list(headers), **headers}


def _joined(before: Any, after: Any) -> list[Any]:
    """Return two stamps as one list, without repeating what is in both."""
    joined = list(before) if isinstance(before, list | tuple) else [before]
    for each in after if isinstance(after, list | tuple) else [after]:
        if each not in joined:
            joined.append(each)
    return joined
