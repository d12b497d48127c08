"""``caraway health``: ask the worker on this machine how it is, for a container's health check."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException

import click

from caraway.cli.errors import NOT_WELL
from caraway.cli.options import json_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session


@click.command("health")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    envvar="CARAWAY_HEALTH_PORT",
    required=True,
    help="The worker's --health-port; CARAWAY_HEALTH_PORT by default.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the worker listens.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the worker may take to answer.",
)
@json_option
@pass_session
def command(session: Session, port: int, host: str, timeout: float) -> None:
    """Ask the worker on this machine how it is.

    \b
    caraway worker -A shop:app --health-port 8080 &
    caraway health --port 8080

    For the health check of a container: it needs no app, no AWS and no curl. Exit code 1 says that
    the worker is not well, or does not answer; the reason is printed.
    """  # noqa: D301 - \b is click's
    connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", "/health")
        report = json.loads(connection.getresponse().read())
        problems = [str(each) for each in report["problems"]]
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        problems = [f"no worker answers on {host}:{port}: {error!r}"]
        report = {"status": "failing", "problems": problems}
    finally:
        connection.close()
    if session.as_json:
        show_json(report)
    else:
        click.echo("\n".join(problems) or "ok")
    if problems:
        click.get_current_context().exit(NOT_WELL)
