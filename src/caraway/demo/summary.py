"""What the demo shows at its end: who ran what, and whether all of it happened."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

from caraway.demo.app import Words, words_of
from caraway.demo.jobs import BY_RULE
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from caraway.demo.documents import Document
    from caraway.demo.jobs import Done

LAMBDA: Final = "lambda"
ECS: Final = "ecs"
TOP: Final = 10
_DOORS: Final = {LAMBDA: "Lambda", ECS: "ECS worker"}
_HEADINGS: Final = ("task", "door", "sent by", "attempts", "total", "run", "result")
_NUMBERS: Final = ("attempts", "total", "run")
_LABEL_AT_LEAST: Final = 12
_NAMES_SHOWN: Final = 4
_VALUE_SHOWN: Final = 60


@dataclass(frozen=True)
class Check:
    """One thing that was to happen, and whether it did."""

    what: str
    happened: bool


def check_tasks(
    ended: Sequence[Done], small: Sequence[Document], large: Sequence[Document]
) -> list[Check]:
    """Return what the tasks were to show, and whether they did.

    Parameters
    ----------
    ended
        The tasks that have ended, in whichever way.
    small, large
        The texts that Lambda and the ECS worker were to count.
    """
    done = {each.job.label: each for each in ended if each.succeeded}
    flaky, ticks = (
        done.get("flaky"),
        [each for each in done.values() if each.job.sent_by == BY_RULE],
    )
    total = _combined(ended).total
    expected = sum(words_of(each.text).total for each in (*small, *large))
    return [
        _ran_at(LAMBDA, "Lambda counted", small, done),
        _ran_at(ECS, "the ECS worker counted", large, done),
        Check(
            "an EventBridge rule sent "
            + (", ".join(f"{each.job.label} ({_short(each)})" for each in ticks) or "nothing")
            + ", and Lambda ran it",
            bool(ticks) and all(each.door == LAMBDA for each in ticks),
        ),
        Check(
            "a task failed, was retried and "
            + (f"succeeded at attempt {flaky.attempts}" if flaky else "never succeeded"),
            flaky is not None and flaky.attempts == 2,
        ),
        Check(
            f"together the tasks counted {total:,} words; there are {expected:,}",
            total == expected,
        ),
    ]


def show(console: Console, ended: Sequence[Done], checks: Sequence[Check]) -> None:
    """Print the tasks by door, the combined result, and the checks."""
    _show_table(console, ended)
    words = _combined(ended)
    ranked = sorted(words.counts.items(), key=lambda each: (-each[1], each[0]))[:TOP]
    top = ", ".join(f"{word} {count:,}" for word, count in ranked)
    _print(console, f"\n{words.total:,} words in all. The most frequent: {top}\n")
    for check in checks:
        mark = "[green]yes[/]" if check.happened else "[bold red]NO [/]"
        console.print(f"  {mark} ", end=" ", highlight=False)
        _print(console, check.what)


def _show_table(console: Console, ended: Sequence[Done]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    ordered = sorted(
        ended, key=lambda each: (each.door, each.job.sent_by == BY_RULE, each.job.label)
    )
    rows = [_cells(done) for done in ordered]
    widths = [max(len(row[place]) for row in (_HEADINGS, *rows)) for place in range(len(_HEADINGS))]
    # Where the terminal is narrow, the beginnings of names are cut, and nothing else.
    room = max(_LABEL_AT_LEAST, console.width - sum(widths[1:]) - 2 * len(widths) - 1)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in _HEADINGS:
        table.add_column(heading, no_wrap=True, justify="right" if heading in _NUMBERS else "left")
    for label, *others in rows:
        short = label if len(label) <= room else f"…{label[1 - room :]}"
        table.add_row(*(Text(cell) for cell in (short, *others)))  # names are not markup
    console.print(table)
    _print(console, "total: from the call to the end; run: the last attempt alone")


def _cells(done: Done) -> tuple[str, ...]:
    return (
        done.job.label,
        _DOORS.get(done.door, done.door),
        done.job.sent_by,
        str(done.attempts),
        "" if done.whole_s is None else f"{done.whole_s:.2f} s",
        f"{done.run_s:.2f} s",
        _short(done),
    )


def _ran_at(door: str, who: str, texts: Sequence[Document], done: dict[str, Done]) -> Check:
    names = [each.name for each in texts if each.name in done and done[each.name].door == door]
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    what = f"{who} {len(names)} of {len(texts)} texts" + (f": {shown}" if shown else "")
    return Check(what, len(names) == len(texts))


def _combined(ended: Iterable[Done]) -> Words:
    """Return the words of all texts together."""
    counted = [done.value for done in ended if isinstance(done.value, Words)]
    counts = Counter[str]()
    for words in counted:
        counts.update(words.counts)
    return Words(sum(words.total for words in counted), dict(counts))


def _short(done: Done) -> str:
    if isinstance(done.value, Words):
        return f"{done.value.total:,} words"
    if isinstance(done.value, datetime):
        return f"{done.value:%H:%M:%S} UTC"
    text = str(done.value) if done.succeeded else f"{done.state}: {done.value!r}"
    return text if len(text) <= _VALUE_SHOWN else f"{text[:_VALUE_SHOWN]}..."


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)
