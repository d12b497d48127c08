"""The options of a canvas: whose they are of what it is made of, as in Celery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from caraway.core.stamps import STAMPS, with_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.base import Json

T = TypeVar("T")

_OF_ITS_END: Final = ("link", "task_id")


def options_of(wire: Json) -> Mapping[str, Json]:
    """Return the options of a signature as JSON."""
    return wire.get("options") or {}


def given(wire: Json, options: Mapping[str, Json]) -> Json:
    """Return a signature with options from outside: links come after its own, others before."""
    if not options:
        return wire
    own = options_of(wire)
    merged = with_options(own, options)
    for name in ("link", "link_error"):
        if own.get(name) and options.get(name):
            before, after = _several(own[name]), _several(options[name])
            merged[name] = [*before, *(each for each in after if each not in before)]
    return {**wire, "options": merged}


def _several(links: Json) -> list[Json]:
    """Return links, of which one may stand alone, as a list."""
    return links if isinstance(links, list) else [links]


def options_of_chain(options: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T], dict[str, T]]:
    """Return which options of a chain are every task's, which the last one's, the first one's.

    Its errbacks are not among them: whose those are, says :func:`~caraway.core.workflow.told`.
    """
    everywhere = {name: options[name] for name in (STAMPS,) if name in options}
    at_the_end = {name: value for name, value in options.items() if name in _OF_ITS_END}
    others = options.keys() - everywhere.keys() - at_the_end.keys() - {"link_error"}
    return everywhere, at_the_end, {name: options[name] for name in others}


def options_of_group(options: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Return which options of a group are its first task's, and which those of each.

    As in Celery, a callback of a group is its first task's.
    """
    each = {name: value for name, value in options.items() if name not in _OF_ITS_END}
    if not each.get("link_error"):
        each.pop("link_error", None)
    return ({"link": options["link"]} if options.get("link") else {}), each


def options_of_chord(options: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Return which options of a chord are the body's, and which the header's."""
    of_body = (*_OF_ITS_END, "link_error", STAMPS)
    of_header = options.keys() - {*_OF_ITS_END, "link_error"}
    return (
        {name: value for name, value in options.items() if name in of_body},
        {name: value for name, value in options.items() if name in of_header},
    )
