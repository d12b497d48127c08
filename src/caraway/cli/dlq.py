"""``caraway dlq``: dead letters, looked through, sent again, deleted."""

from __future__ import annotations

from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from caraway.cli.completing import queue_names
from caraway.cli.errors import NOT_WELL
from caraway.cli.letters import as_json, cells, in_full
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, show_fields, show_json, show_table
from caraway.cli.selecting import Counter, acting, selecting
from caraway.cli.session import Session, pass_session
from caraway.core.dead_letters import DeadLetter, Deed, Pile, Selection, Sweep, Swept, hold_s, piles
from caraway.core.port import run_now
from caraway.lean import dataclass
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.app import Caraway
    from caraway.core.routing import Queue

F = TypeVar("F", bound="Callable[..., Any]")

_HEADINGS: Final = ("ID", "TASK", "QUEUE", "AGE", "REASON")
_DONE: Final = {"redrive": "sent again", "purge": "deleted"}


def _selecting(command: F) -> F:
    """Add the options that say which dead letters are meant."""
    by_id = click.option(
        "--id", "ids", multiple=True, metavar="ID", help="Of this task; repeatable."
    )
    queues = click.argument("queues", nargs=-1, metavar="[QUEUE]...", shell_complete=queue_names)
    return queues(selecting("Dead")(by_id(command)))


@dataclass(frozen=True)
class _Asked:
    """Which dead letters of which queues a command is about."""

    app: Caraway
    piles: Sequence[Pile]
    selection: Selection
    limit: int | None = None
    to: Queue | None = None

    @classmethod
    def of(
        cls,
        app: Caraway,
        queues: Sequence[str],
        limit: int | None,
        to: str | None = None,
        *,
        ids: Sequence[str] = (),
        **selection: Any,
    ) -> _Asked:
        router, prefix = app.site.router, app.conf.queue_name_prefix
        chosen = piles(router, prefix, queues)
        home = None if to is None else router.queue(to)
        if home is not None and any(pile.fifo != home.fifo for pile in chosen):
            raise click.UsageError(
                f"queue {to!r} is not of the kind (FIFO or standard) of the queues that the "
                "letters come from: name those that are."
            )
        return cls(app, chosen, Selection(ids=frozenset(ids), **selection), limit, home)

    def sweep(
        self, deed: Deed, found: Callable[[DeadLetter], None] = lambda _letter: None
    ) -> Swept:
        """Go through all piles, and show how far it is."""
        total = Swept()
        aws, prefix = self.app.aws, self.app.conf.queue_name_prefix
        with Counter("Looking for dead letters") as counter:
            for pile in self.piles:
                left = None if self.limit is None else self.limit - total.matched
                if left == 0:
                    break
                swept = run_now(
                    Sweep(
                        aws,
                        prefix,
                        pile,
                        self.selection,
                        deed,
                        to=self.to,
                        limit=left,
                        hold_s=hold_s(self._letters_in(pile)),
                        found=found,
                        progress=partial(_count, counter, total.seen),
                    ).run()
                )
                for name, number in vars(swept).items():
                    setattr(total, name, getattr(total, name) + number)
        return total

    def _letters_in(self, pile: Pile) -> int:
        aws = self.app.aws
        url = run_now(aws.perform(GetQueueUrl(pile.sqs_name)))
        attributes = run_now(aws.perform(GetQueueAttributes(url)))
        if "RedrivePolicy" in attributes:
            click.echo(
                f"{pile.sqs_name} has a redrive policy of its own: each look at it counts as a "
                "receive, and too many move its letters on.",
                err=True,
            )
        return int(attributes.get("ApproximateNumberOfMessages", 0))


def _count(counter: Counter, earlier: int, swept: Swept) -> None:
    """Show a sweep's number, on top of those of earlier sweeps."""
    counter.show(f"{earlier + swept.seen:,} dead letters seen")


@click.group("dlq")
@app_option
@json_option
def command() -> None:
    """Look through dead letters, send them again, or delete them.

    \b
    caraway dlq list -A shop:app
    caraway dlq show 4f9b2c7e-... -A shop:app
    caraway dlq redrive orders --task 'shop.*' --reason ValueError --dry-run -A shop:app
    caraway dlq purge --older-than 7d -A shop:app

    SQS has no index: each command receives all dead letters of the queues that are named, or of all
    that the app declares, ten a request. They are hidden from others meanwhile, and each counts one
    receive more.
    """  # noqa: D301 - \b is click's


@command.command("list")
@_selecting
@app_option
@json_option
@pass_session
def list_command(
    session: Session, /, queues: Sequence[str], limit: int | None, **selection: Any
) -> None:
    """List dead letters: task, queue, age and reason.

    \b
    caraway dlq list -A shop:app
    caraway dlq list orders --task 'shop.*' --newer-than 2h --json -A shop:app

    The age is since it became a dead letter. On a FIFO queue SQS shows the first ten of a group.
    """  # noqa: D301 - \b is click's
    app = session.app()
    now_s = app.aws.now().timestamp()
    rows: list[dict[str, Any]] = []
    asked = _Asked.of(app, queues, limit, **selection)
    swept = asked.sweep("look", lambda letter: rows.append(as_json(letter, now_s)))
    if session.as_json:
        show_json(rows)
        return
    if rows:
        show_table(_HEADINGS, [cells(row) for row in rows], right=("AGE",))
    click.echo(f"{count(swept.matched, 'dead letter')} of {swept.seen} seen", err=True)


@command.command("show")
@click.argument("id")
@app_option
@json_option
@pass_session
def show_command(session: Session, id: str) -> None:
    """Show all that is known of a task's dead letters, with their arguments.

    \b
    caraway dlq show 4f9b2c7e-... -A shop:app

    Exit code 1 says that there is none of this id.
    """  # noqa: D301 - \b is click's
    app = session.app()
    letters: list[DeadLetter] = []
    _Asked.of(app, (), None, ids=(id,)).sweep("look", letters.append)
    shown = [in_full(app, letter) for letter in letters]
    if session.as_json:
        show_json(shown)
    for letter in shown if not session.as_json else ():
        show_fields([(name, str(value)) for name, value in letter.items() if value is not None])
    if not shown:
        click.echo(f"No dead letter of task {id} is to be had.", err=True)
        click.get_current_context().exit(NOT_WELL)


@command.command("redrive")
@_selecting
@click.option(
    "--to",
    metavar="QUEUE",
    shell_complete=queue_names,
    help="Send them here; by default where each came from.",
)
@acting
@app_option
@json_option
@pass_session
def redrive_command(
    session: Session,
    /,
    queues: Sequence[str],
    limit: int | None,
    to: str | None,
    dry_run: bool,
    force: bool,
    **selection: Any,
) -> None:
    """Send dead letters to their queues again, then delete them.

    \b
    caraway dlq redrive --dry-run -A shop:app
    caraway dlq redrive orders --task 'shop.*' --reason ValueError -A shop:app
    caraway dlq redrive --id 4f9b2c7e-... -f -A shop:app

    Ids and bodies stay: a task that has succeeded meanwhile is not run again, and an interrupted
    redrive may be run again. On FIFO queues a letter keeps its group, at the end of it. Exit code 1
    says that letters stayed because nobody knows their queue: --to names it.
    """  # noqa: D301 - \b is click's
    asked = _Asked.of(session.app(), queues, limit, to, **selection)
    _act(session, asked, "redrive", dry_run=dry_run, force=force)


@command.command("purge")
@_selecting
@acting
@app_option
@json_option
@pass_session
def purge_command(
    session: Session,
    /,
    queues: Sequence[str],
    limit: int | None,
    dry_run: bool,
    force: bool,
    **selection: Any,
) -> None:
    """Delete dead letters for ever.

    \b
    caraway dlq purge --older-than 7d --dry-run -A shop:app
    caraway dlq purge reports --reason 'no such customer' -A shop:app

    What is deleted cannot be brought back. The tasks' records stay as they are.
    """  # noqa: D301 - \b is click's
    asked = _Asked.of(session.app(), queues, limit, **selection)
    _act(session, asked, "purge", dry_run=dry_run, force=force)


def _act(session: Session, asked: _Asked, deed: Deed, *, dry_run: bool, force: bool) -> None:
    """Look first and ask, unless told not to; then do it, and say what was done."""
    tally = _Tally()
    if dry_run or not force:
        looked = asked.sweep("look", tally.add)
        if dry_run or not looked.matched:
            _say(session, deed, looked, dry_run=dry_run, tally=tally)
            return
        what = f"{count(looked.matched, 'dead letter')} of {looked.seen}:\n{tally.lines()}"
        click.echo(what, err=True)
        question = "Delete them for ever?" if deed == "purge" else "Send them to run again?"
        click.confirm(question, abort=True, err=True)
    tally = _Tally()
    swept = asked.sweep(deed, tally.add)
    _say(session, deed, swept, dry_run=False, tally=tally)
    if swept.homeless:
        click.echo(
            f"{count(swept.homeless, 'dead letter')} stayed: nobody says which queue they came "
            "from. Name it with --to.",
            err=True,
        )
        click.get_current_context().exit(NOT_WELL)


@dataclass
class _Tally:
    """How many letters of each task and queue are meant."""

    numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, letter: DeadLetter) -> None:
        key = (letter.queue.name if letter.queue else "?", letter.task or "?")
        self.numbers[key] = self.numbers.get(key, 0) + 1

    def lines(self) -> str:
        return "\n".join(f"  {queue}: {n} of {task}" for (queue, task), n in self.numbers.items())


def _say(session: Session, deed: Deed, swept: Swept, *, dry_run: bool, tally: _Tally) -> None:
    if session.as_json:
        show_json({"dry_run": dry_run, "deed": deed, **vars(swept)})
        return
    if tally.numbers:
        click.echo(tally.lines())
    if dry_run:
        click.echo(
            f"Nothing was changed; {count(swept.matched, 'dead letter')} of {swept.seen} would be "
            f"{_DONE[deed]}."
        )
    else:
        click.echo(f"{count(swept.done, 'dead letter')} of {swept.seen} seen: {_DONE[deed]}.")
