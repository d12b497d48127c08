"""``caraway beat``: the schedule, from the code to AWS, and at run time."""

from __future__ import annotations

import click

from caraway.cli.beat import changing, listing, making, syncing, templating
from caraway.cli.celery_habits import BEAT_OPTIONS, refuses
from caraway.cli.options import app_option, json_option

__all__ = ["command"]


@click.group("beat", invoke_without_command=True)
@app_option
@json_option
@refuses(BEAT_OPTIONS)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Bring the app's beat_schedule to AWS, see what is there, and change it at run time.

    \b
    caraway beat sync -A shop:app
    caraway beat template -A shop:app
    caraway beat list -A shop:app
    caraway beat history clean -A shop:app
    caraway beat pause clean -A shop:app
    caraway beat run-now clean --wait -A shop:app
    caraway beat edit clean --schedule 'every 10m' -A shop:app
    caraway beat add tidy shop.clean --schedule '0 9 * * mon-fri' -A shop:app

    There is no beat process to run: EventBridge puts the task messages on their queues.
    """  # noqa: D301 - \b is click's
    if ctx.invoked_subcommand is None:
        ctx.fail(
            "there is no beat process to run, EventBridge keeps the time: say 'caraway beat sync' "
            "when you deploy, or 'caraway beat list'."
        )


for _each in (
    syncing.sync_command,
    templating.template_command,
    listing.list_command,
    listing.history_command,
    changing.pause_command,
    changing.resume_command,
    changing.run_now_command,
    making.edit_command,
    making.add_command,
    making.delete_command,
):
    command.add_command(_each)
