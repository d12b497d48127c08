"""``caraway beat template``: the schedule as a template of CloudFormation."""

from __future__ import annotations

import click

from caraway.beat import schedules_of, stores_of
from caraway.cli.options import app_option, json_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session
from caraway.core.beat_template import template, to_yaml


@click.command("template")
@app_option
@json_option
@pass_session
def template_command(session: Session) -> None:
    """Print a CloudFormation template of the app's beat_schedule, to deploy it with a stack.

    Its schedules have the names and contents that 'caraway beat sync' would give them, so
    'caraway beat list' shows them. The queues are those of the stack's account and region, and must
    be there. It is YAML, or JSON with --json.

    \b
    caraway beat template -A shop:app > schedules.yaml
    aws cloudformation deploy --stack-name shop-schedules --template-file schedules.yaml
    """  # noqa: D301 - \b is click's
    app = session.app()
    made = template(stores_of(app).current, schedules_of(app, app.aws.now()))
    if session.as_json:
        show_json(made)
    else:
        click.echo(to_yaml(made), nl=False)
