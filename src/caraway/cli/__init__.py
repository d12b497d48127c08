"""The command line: ``caraway``, or ``python -m caraway``.

Each command is a module of its own, imported when it is called, so that ``caraway --help`` and a
worker's start wait for nothing that they do not need.
"""

from __future__ import annotations

from typing import Final

import click

from caraway._version import __version__
from caraway.cli.celery_habits import COMMANDS, GLOBAL_OPTIONS, refuses
from caraway.cli.lazy import Lazy, LazyGroup
from caraway.cli.options import app_option, color_option, json_option, traceback_option

__all__ = ["main"]

EXIT_CODES: Final = """\b
Exit codes:
  0    done
  1    it did not go well: the task failed, no worker is there, doctor found a problem, ...
  2    the command line is wrong
  3    the app, a setting or the call is wrong
  4    AWS could not be asked, or refused
  5    the result did not come in time
  130  interrupted
"""

_LAZY: Final = {
    "worker": Lazy("caraway.cli.worker", "Run tasks from queues until told to stop."),
    "call": Lazy("caraway.cli.call", "Send a task by its name."),
    "result": Lazy("caraway.cli.result", "Show what is known of a task."),
    "workflow": Lazy("caraway.cli.workflow", "Draw a workflow: its tasks and their states."),
    "revoke": Lazy("caraway.cli.revoke", "Revoke tasks: they do not run, or not on."),
    "status": Lazy("caraway.cli.status", "Show the workers that are there."),
    "health": Lazy("caraway.cli.health", "Ask the worker on this machine how it is."),
    "inspect": Lazy("caraway.cli.inspect", "Show what workers say of themselves."),
    "queues": Lazy("caraway.cli.queues", "Show how full the app's queues are."),
    "purge": Lazy("caraway.cli.purge", "Delete all messages of queues."),
    "tasks": Lazy("caraway.cli.tasks", "List tasks; run those that failed again."),
    "dlq": Lazy("caraway.cli.dlq", "List, show, redrive or purge dead letters."),
    "beat": Lazy("caraway.cli.beat", "Bring beat_schedule to AWS; list, pause, run or edit it."),
    "doctor": Lazy("caraway.cli.doctor", "Find what is missing or wrong, and say how to mend it."),
    "estimate": Lazy("caraway.cli.estimate", "Estimate what a load costs, needs and meets."),
    "completion": Lazy("caraway.cli.completion", "Print what completes commands in your shell."),
    "dev": Lazy("caraway.cli.dev", "Run the whole app on this machine, on a local AWS."),
    "demo": Lazy("caraway.demo.run", "Count words through both doors, on a local AWS."),
}


@click.group(
    cls=LazyGroup,
    lazy=_LAZY,
    elsewhere=COMMANDS,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@app_option
@json_option
@color_option
@traceback_option
@refuses(GLOBAL_OPTIONS)
@click.version_option(__version__, prog_name="caraway", message="%(prog)s %(version)s")
def main() -> None:
    """Celery's task API on SQS, Lambda, ECS, DynamoDB and EventBridge.

    \b
    caraway worker -A shop:app -Q reports -c 8
    caraway call shop.add --args '[2, 3]' --wait -A shop:app
    caraway doctor -A shop:app

    The app is given by -A, before or after the command, or by CARAWAY_APP. AWS is where the usual
    variables say: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL.
    """  # noqa: D301 - \b is click's: keep these lines as they are
