"""``caraway beat sync``: the schedule, from the code to AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from caraway.beat import schedules_of, stores_of
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, show_json, steps_of
from caraway.cli.session import Session, pass_session
from caraway.core.beat_sync import apply, compare, raise_failed
from caraway.core.port import iterate_now, run_now
from caraway.core.rule_store import RULE_LIMIT

if TYPE_CHECKING:
    from caraway.app import Caraway
    from caraway.core.beat_sync import Done, Plan
    from caraway.core.stored import Stored
    from caraway.core.stores import Stores


@click.command("sync")
@app_option
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option(
    "--rule-limit",
    type=click.IntRange(1),
    default=RULE_LIMIT,
    show_default=True,
    help="Rules that the event bus takes, if its quota was raised.",
)
@json_option
@pass_session
def sync_command(session: Session, dry_run: bool, rule_limit: int) -> None:
    """Make what AWS stores equal to the app's beat_schedule.

    Schedules are created (+), changed (~) and deleted (-), as rules of EventBridge or, where
    scheduler_role_arn is set, in EventBridge Scheduler; those that this app did not make, in this
    environment (queue_name_prefix), are left alone. What is paused stays paused.

    \b
    caraway beat sync --dry-run -A shop:app
    caraway beat sync -A shop:app
    """  # noqa: D301 - \b is click's
    app = session.app()
    stores = stores_of(app, rule_limit)
    plan = _compared(app, stores)
    if not session.as_json:
        _show(plan)
    if not dry_run:
        raise_failed(_applied(app, stores, plan))
    if session.as_json:
        show_json({"dry_run": dry_run, **_plan_as_json(plan)})
    else:
        click.echo(_summary(plan, stores, dry_run=dry_run))


_COLORS: Final = {"+": "green", "~": "yellow", "-": "red"}


_MANY: Final = 100
"""Changes of which the command shows how far they are."""


def _compared(app: Caraway, stores: Stores) -> Plan:
    wanted = schedules_of(app, app.aws.now())
    return run_now(compare(app.aws, stores, wanted))


def _applied(app: Caraway, stores: Stores, plan: Plan) -> list[Done]:
    """Make the changes, and show how far that is where they are many."""
    done = []
    with steps_of(len(plan.changes), "schedules", least=_MANY) as step:
        for each in iterate_now(apply(app.aws, stores, plan)):
            done.append(each)
            step()
    return done


def _show(plan: Plan) -> None:
    for line in plan.lines():
        click.echo(click.style(line, fg=_COLORS[line[0]]))
    if plan.unseen:
        click.echo(f"Note: {plan.unseen}", err=True)


def _summary(plan: Plan, stores: Stores, *, dry_run: bool) -> str:
    if not plan:
        return (
            f"EventBridge has {count(len(plan.unchanged), stores.current.kind)} as the code says: "
            "nothing to do."
        )
    numbers = (
        f"{len(plan.create):,} created, {len(plan.update):,} changed, "
        f"{len(plan.delete):,} deleted, {len(plan.unchanged):,} unchanged"
    )
    return f"Nothing was changed; without --dry-run: {numbers}." if dry_run else f"{numbers}."


def _plan_as_json(plan: Plan) -> dict[str, Any]:
    return {
        "created": [_as_json(each.stored, each.name) for each in plan.create],
        "changed": [
            {**_as_json(each.stored, each.name), "changes": each.lines()} for each in plan.update
        ],
        "deleted": [_as_json(each.stored, each.name) for each in plan.delete],
        "unchanged": [_as_json(each.stored, each.name) for each in plan.unchanged],
    }


def _as_json(stored: Stored, name: str) -> dict[str, Any]:
    return {
        "entry": stored.entry,
        "name": name,
        "expression": stored.expression,
        "queue": stored.queue,
        "enabled": stored.enabled,
        "description": stored.description,
    }
