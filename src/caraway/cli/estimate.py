"""``caraway estimate``: what a load costs, what it needs, and which limits it meets."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final

import click

from caraway.cli.options import json_option
from caraway.cli.output import show_json, show_table
from caraway.cli.session import Session, pass_session
from caraway.exceptions import InvalidOption
from caraway.planning.estimate import estimate
from caraway.planning.prices import US_EAST_1
from caraway.planning.report import as_json, bill_rows, described, limit_rows, need_rows
from caraway.planning.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

_CHOICES: Final = {
    "architecture": click.Choice(["arm64", "x86_64"]),
    "network": click.Choice(["public", "nat", "endpoints"]),
}
_OPTIONS: Final = {
    "tasks_per_day": "Tasks sent a day, such as 50e6.",
    "mean_ms": "How long a task takes, on average.",
    "cpu_ms": "How much of that it computes; a fifth by default.",
    "payload_kb": "Its arguments, as JSON.",
    "result_kb": "Its result, as JSON.",
    "idempotent": "The tasks are declared so: no claim.",
    "ignore_result": "The tasks are declared so: no result.",
    "result_reads": "How often each result is read.",
    "retries": "Retries for each task: 0.02 is one in fifty.",
    "chord_share": "Part of the tasks that are members of a chord, 0 to 1.",
    "scheduled_per_day": "Messages a day that EventBridge Scheduler sends.",
    "log_kb": "What a task itself logs.",
    "fifo": "The queues are FIFO.",
    "queues": "Queues that share the load.",
    "sent_together": "Messages in one send: 1 for a lone delay(), 10 for groups and batches.",
    "batch_size": "Messages in one receive or invocation: 10 while messages wait.",
    "burst_factor": "A burst of so many times the average load ...",
    "burst_minutes": "... for so long.",
    "architecture": "Processor of function and workers.",
    "memory_mb": "Memory of the Lambda function.",
    "lambda_concurrency": "Tasks that one invocation runs at a time.",
    "account_concurrency": "The account's quota of invocations at a time.",
    "vcpus": "vCPUs of an ECS worker.",
    "worker_gb": "Its memory.",
    "worker_concurrency": "Tasks that it runs at a time.",
    "spot": "The workers run on Fargate Spot.",
    "network": "How the workers reach AWS.",
    "utilisation": "Part of the workers' capacity that the average load uses.",
}
"""The workload's fields in the order of the help; types and defaults are theirs."""


def _workload_options(command: Callable[..., Any]) -> Callable[..., Any]:
    defaults = {each.name: each.default for each in fields(Workload)}
    for name, text in reversed(_OPTIONS.items()):
        command = _option(name, text, defaults[name])(command)
    return command


def _option(name: str, text: str, default: Any) -> Callable[[Callable[..., Any]], Any]:
    option = f"--{name.replace('_', '-')}"
    if default is MISSING:
        return click.option(option, type=float, required=True, help=text)
    if isinstance(default, bool):
        return click.option(option, is_flag=True, help=text)
    kind = _CHOICES.get(name, int if isinstance(default, int) else float)
    shown = default is not None
    return click.option(option, type=kind, default=default, show_default=shown, help=text)


@click.command("estimate")
@_workload_options
@json_option
@pass_session
def command(session: Session, /, **options: Any) -> None:
    """Estimate what a load costs on Lambda and on ECS, and which limits of AWS it meets.

    \b
    caraway estimate --tasks-per-day 50e6 --mean-ms 200 --payload-kb 2
    caraway estimate --tasks-per-day 1e9 --idempotent --ignore-result --sent-together 10
    caraway estimate --tasks-per-day 5e6 --chord-share 0.5 --burst-factor 10 --json

    It asks AWS for nothing and needs no app. Dollars are list prices of us-east-1 without the free
    tier; requests are those that Caraway's tests count. docs/scaling.md explains the model.
    """  # noqa: D301 - \b is click's
    try:
        work = Workload(**options)
    except InvalidOption as error:
        raise click.UsageError(str(error)) from error
    doors = estimate(work)
    if session.as_json:
        show_json(as_json(work, doors, US_EAST_1))
        return
    click.echo(f"{described(work)}\n")
    right = ("LAMBDA $", "ECS $", "LAMBDA", "ECS", "USED", "OF")
    show_table(("SERVICE", "FOR", "LAMBDA $", "ECS $"), bill_rows(work, doors), right)
    click.echo()
    show_table(("NEEDS", "LAMBDA", "ECS"), need_rows(work, doors), right)
    click.echo()
    if rows := limit_rows(doors):
        show_table(("DOOR", "LIMIT THAT IS NEAR OR MET", "USED", "OF", "WHAT TO DO"), rows, right)
    else:
        click.echo("No limit is near.")
    click.echo(f"\nList prices of {US_EAST_1.region}, {US_EAST_1.as_of}, without the free tier.")
