"""``caraway workflow``: chains, groups and chords as they stand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from caraway.cli.errors import Failure
from caraway.cli.options import app_option, json_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session

if TYPE_CHECKING:
    from caraway.app import Caraway
    from caraway.core.record import Record
    from caraway.core.workflow_tree import Tree

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 10.0
_GROWTH: Final = 1.3
_CLEAR_SCREEN: Final = "\x1b[H\x1b[2J"


@click.group("workflow")
@app_option
@json_option
def command() -> None:
    """Show chains, groups and chords as they stand.

    \b
    caraway workflow show -A shop:app 4f9b2c7e-...
    """  # noqa: D301 - \b is click's


@command.command("show")
@click.argument("id")
@app_option
@click.option("--all", "every", is_flag=True, help="Draw each member of large groups, too.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "mermaid", "dot", "json"]),
    default="tree",
    show_default=True,
    help="As a drawing for people, or for another program.",
)
@click.option(
    "-f", "--follow", "follows", is_flag=True, help="Draw it anew as it changes, until it is over."
)
@json_option
@pass_session
def show(session: Session, id: str, every: bool, form: str, follows: bool) -> None:
    """Draw a workflow: each task with its state, times, attempts and error.

    \b
    caraway workflow show -A shop:app 4f9b2c7e-...
    caraway workflow show -A shop:app 4f9b2c7e-... --follow
    caraway workflow show -A shop:app 4f9b2c7e-... --format mermaid > nightly.mmd

    ID is that of any task or group in it, or of the end of it, which is what delay() returns. It is
    drawn from its first task on. Steps that have not begun say what they wait for.

    A group of more than ten is summed up: how many are in which state, and those that did not go
    well. --all draws each. The records are read a hundred a request, 20,000 at most.
    """  # noqa: D301 - \b is click's
    form = "json" if session.as_json else form
    if follows and form != "tree":
        raise click.UsageError(f"--follow draws a tree: leave out --format {form}")
    app = session.app()
    if follows:
        _follow(app, id, every=every)
    else:
        _print(_tree(app, id), form, every=every)


def _tree(app: Caraway, id: str, over: dict[str, Record] | None = None) -> Tree:
    """Read a workflow.

    Raises
    ------
    Failure
        If nothing is known of the id.
    """
    from caraway.core.port import run_now
    from caraway.core.workflow_tree import read_tree

    tree = run_now(read_tree(app.aws, app.site, id, over=over))
    if not tree.top:
        raise Failure(
            f"no task of a workflow {id!r} has begun: if the id is right, a worker has yet to take "
            "its first message (caraway queues), or its tasks keep no record (idempotent=True with "
            "ignore_result=True). Of a step in the middle give the id of the end, which delay() "
            "has returned, or of a task that has begun"
        )
    return tree


def _print(tree: Tree, form: str, *, every: bool) -> None:
    from caraway.cli import workflow_graph

    if form == "tree":
        click.echo(_drawn(tree, every=every))
    elif form == "json":
        show_json(workflow_graph.as_json(tree))
    else:
        write = workflow_graph.as_mermaid if form == "mermaid" else workflow_graph.as_dot
        click.echo(write(workflow_graph.graph_of(tree, every=every)))


def _drawn(tree: Tree, *, every: bool) -> str:
    from caraway.cli.drawing import ASCII, UNICODE, drawn

    try:
        UNICODE.branch.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return drawn(tree, every=every, strokes=ASCII)
    return drawn(tree, every=every)


def _follow(app: Caraway, id: str, *, every: bool) -> None:
    """Draw a workflow again and again, until it goes no further."""
    from caraway.cli.outcome import task_goes_on
    from caraway.cli.workflow_text import is_settled
    from caraway.core.port import run_now

    over: dict[str, Record] = {}
    before, wait_s = "", _FIRST_WAIT_S
    while True:
        tree = _tree(app, id, over)
        now = _drawn(tree, every=every)
        if now != before:
            click.echo((_CLEAR_SCREEN if sys.stdout.isatty() else "") + now)
            before, wait_s = now, _FIRST_WAIT_S
        if is_settled(tree.top) and is_settled(tree.aside):
            return
        with task_goes_on(id):
            run_now(app.aws.sleep(wait_s))
        wait_s = min(wait_s * _GROWTH, _LONGEST_WAIT_S)
