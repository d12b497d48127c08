"""``python -m tests.fuzz [--inputs N] [--seed N] [KIND/NUMBER ...]``: feed workers with nonsense.

The inputs are divided among the kinds of :mod:`tests.fuzz.inputs`. What breaks is named, and the
name repeats it. The figures go to ``docs/reliability.md``, unless ``--inputs`` makes fewer of them.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from tests.fuzz.answers import Answers, Function, consumed
from tests.fuzz.inputs import KINDS, TITLES, Input, Kind, make

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN: Final = "<!-- written by make fuzz -->"
END: Final = "<!-- end of make fuzz -->"
INPUTS: Final = 100_000
SPOKEN: Final = 5_000
BROKEN_SHOWN: Final = 20


def say(line: str) -> None:
    """Tell the person who waits."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def main() -> int:
    """Run the inputs; return 1 if one broke a worker."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="KIND/NUMBER", help="inputs to repeat")
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    function = Function()
    for name in given.names:
        repeat(_named(name, given.seed), function)
    if given.names:
        return 0
    answers = {kind: Answers() for kind in KINDS}
    for count in range(given.inputs):
        kind = KINDS[count % len(KINDS)]
        answers[kind].ask(make(given.seed, kind, count // len(KINDS)), function)
        if (count + 1) % SPOKEN == 0:
            say(f"{count + 1:,} of {given.inputs:,} inputs")
    function.close()
    lines = table(answers)
    for line in lines:
        say(line)
    broken = [each for of_kind in answers.values() for each in of_kind.broken]
    for line in broken[:BROKEN_SHOWN]:
        say(f"  {line[:400]}")
    if given.inputs == INPUTS:
        PAGE.write_text(with_table(PAGE.read_text(), lines))
    return int(bool(broken))


def table(answers: Mapping[Kind, Answers]) -> list[str]:
    """Return what became of the inputs."""
    return [
        "| input | inputs | run | dead letters | lost, stuck, or an exception |",
        "|---|---|---|---|---|",
        *(
            f"| {TITLES[kind]} | {each.inputs:,} | {each.run:,} | {each.dead:,} "
            f"| {len(each.broken):,} |"
            for kind, each in answers.items()
        ),
    ]


def with_table(page: str, lines: list[str]) -> str:
    """Return the documentation's page with these lines as its table."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return "\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"])


def _named(name: str, seed: int) -> Input:
    kind, _, number = name.partition("/")
    return make(seed, cast("Kind", kind), int(number))


def repeat(given: Input, function: Function) -> None:
    """Show an input, and let what it breaks be seen."""
    say(f"{given}: {given.bodies!r} {given.objects!r}")
    say("a dead letter" if consumed(given, function) else "run")


if __name__ == "__main__":
    sys.exit(main())
