"""``caraway beat``: the schedule, from the code to EventBridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from caraway.beat import owner_of, rules_of
from caraway.cli.celery_habits import BEAT_OPTIONS, refuses
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, show_json, show_table
from caraway.cli.session import Session, pass_session
from caraway.core.beat_sync import listing, sync
from caraway.core.port import run_now

if TYPE_CHECKING:
    from caraway.core.beat import Rule
    from caraway.core.beat_sync import Plan

_HEADINGS: Final = ("ENTRY", "TASK", "RULE", "QUEUE", "STATUS")


@click.group("beat", invoke_without_command=True)
@app_option
@json_option
@refuses(BEAT_OPTIONS)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Bring the app's beat_schedule to EventBridge, or show what is there.

    \b
    caraway beat sync --dry-run -A shop:app
    caraway beat sync -A shop:app
    caraway beat list -A shop:app

    There is no beat process to run: EventBridge puts the task messages on their queues.
    """  # noqa: D301 - \b is click's
    if ctx.invoked_subcommand is None:
        ctx.fail(
            "there is no beat process to run, EventBridge keeps the time: say 'caraway beat sync' "
            "when you deploy, or 'caraway beat list'."
        )


@command.command("sync")
@app_option
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@json_option
@pass_session
def sync_command(session: Session, dry_run: bool) -> None:
    """Make the rules of EventBridge equal to the app's beat_schedule.

    Rules are created (+), changed (~) and deleted (-); those that this app did not make, in this
    environment (queue_name_prefix), are left alone.

    \b
    caraway beat sync --dry-run -A shop:app
    caraway beat sync -A shop:app
    """  # noqa: D301 - \b is click's
    app = session.app()
    owner, rules = owner_of(app), rules_of(app, app.aws.now())
    plan = run_now(sync(app.aws, owner, rules, dry_run=dry_run))
    if session.as_json:
        show_json({"dry_run": dry_run, **_plan_as_json(plan)})
        return
    for line in plan.lines():
        click.echo(click.style(line, fg=_COLORS[line[0]]))
    click.echo(_summary(plan, dry_run=dry_run))


@command.command("list")
@app_option
@json_option
@pass_session
def list_command(session: Session) -> None:
    """Show each entry of beat_schedule, its rule, and whether EventBridge has it so.

    \b
    active     EventBridge has it as the code says
    off        likewise, and it does not fire (enabled=False)
    differs    EventBridge has it otherwise   } 'caraway beat sync'
    missing    EventBridge does not have it   } mends
    left over  the code does not have it      } these

    \b
    caraway beat list -A shop:app
    caraway beat list -A shop:app --json
    """  # noqa: D301 - \b is click's
    app = session.app()
    rows = run_now(listing(app.aws, owner_of(app), rules_of(app, app.aws.now())))
    if session.as_json:
        show_json([{**_rule_as_json(row.rule), "status": row.status} for row in rows])
        return
    if not rows:
        click.echo("beat_schedule is empty, and EventBridge has no rule of this app.")
        return
    show_table(
        _HEADINGS,
        [
            [
                row.rule.entry,
                row.rule.description.partition(" ")[0],
                row.rule.expression,
                row.rule.queue,
                "off" if row.status == "active" and not row.rule.enabled else row.status,
            ]
            for row in rows
        ],
    )


_COLORS: Final = {"+": "green", "~": "yellow", "-": "red"}


def _summary(plan: Plan, *, dry_run: bool) -> str:
    if not plan:
        return (
            f"EventBridge has {count(len(plan.unchanged), 'rule')} as the code says: nothing to do."
        )
    numbers = (
        f"{len(plan.create)} created, {len(plan.update)} changed, {len(plan.delete)} deleted, "
        f"{len(plan.unchanged)} unchanged"
    )
    return f"Nothing was changed; without --dry-run: {numbers}." if dry_run else f"{numbers}."


def _plan_as_json(plan: Plan) -> dict[str, Any]:
    return {
        "created": [_rule_as_json(rule) for rule in plan.create],
        "changed": [
            {**_rule_as_json(change.after), "changes": change.lines()} for change in plan.update
        ],
        "deleted": [_rule_as_json(rule) for rule in plan.delete],
        "unchanged": [_rule_as_json(rule) for rule in plan.unchanged],
    }


def _rule_as_json(rule: Rule) -> dict[str, Any]:
    return {
        "entry": rule.entry,
        "rule": rule.name,
        "expression": rule.expression,
        "queue": rule.queue,
        "enabled": rule.enabled,
        "description": rule.description,
    }
