"""Who consumes a queue of the Lambda door, and whether its time-outs agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway.cli.checks.declarations import queue_of
from caraway.cli.checks.findings import Finding, note, problem, refused
from caraway.exceptions import CarawayError, OperationalError
from caraway.requests.lambda_ import GetFunction, ListEventSources
from caraway.workers.function_time import ADVISED_S, shortage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from caraway.cli.checks.findings import Patient
    from caraway.core.routing import Queue
    from caraway.requests.lambda_ import EventSource, Function
    from caraway.task import Task

TIMES: Final = 6
"""A queue's visibility timeout should be that many times its function's timeout ("Using Lambda with
Amazon SQS", AWS Lambda Developer Guide)."""

_SHARED_SETTINGS: Final = ("queue_name_prefix", "task_table", "payload_bucket")


async def check_consumers(
    patient: Patient, queue: Queue, subject: str, attributes: Mapping[str, str]
) -> list[Finding]:
    """Look at the functions that consume a queue. ECS workers are for ``caraway status``."""
    try:
        sources = await patient.aws.perform(ListEventSources(attributes["QueueArn"]))
        found = [(each, await patient.aws.perform(GetFunction(each.function))) for each in sources]
    except OperationalError as error:
        return [refused(subject, error, level="note")] if queue.consumer == "lambda" else []
    if queue.consumer == "ecs":
        return [
            note(
                subject,
                f"a Lambda function consumes it too ({_name(source)})",
                f'take the event source away, or declare Queue({queue.name!r}, consumer="lambda")',
            )
            for source in sources
        ]
    if not found:
        return [
            problem(
                subject,
                "no Lambda function consumes it",
                "add it as an event of the worker function (docs/deploy.md), or declare "
                f'Queue({queue.name!r}, consumer="ecs") and start a worker',
            )
        ]
    visibility_s = int(attributes["VisibilityTimeout"])
    limits = _time_limits(patient, queue)
    return [
        finding
        for source, function in found
        for finding in (
            *_event_source(subject, source),
            *_timeouts(subject, _name(source), function, visibility_s, limits),
            *_settings(patient, subject, _name(source), function),
        )
    ]


def _name(source: EventSource) -> str:
    return source.function.rpartition(":")[2]


def _event_source(subject: str, source: EventSource) -> Iterator[Finding]:
    name = _name(source)
    if source.state.startswith("Disabl"):
        yield problem(
            subject,
            f"its event source on {name} is {source.state.lower()}: messages wait",
            "enable it in the Lambda console or the template",
        )
    if not source.reports_failures:
        yield problem(
            subject,
            f"its event source on {name} does not report batch item failures, so one message that "
            "stays brings back its whole batch",
            "set FunctionResponseTypes: [ReportBatchItemFailures] in the template",
        )
    if source.filters:
        yield problem(
            subject,
            f"its event source on {name} has a filter: what does not match is deleted",
            "remove FilterCriteria from the template",
        )


def _timeouts(
    subject: str, name: str, function: Function, visibility_s: int, limits: Mapping[str, float]
) -> Iterator[Finding]:
    if why := shortage(function.timeout_s):
        yield problem(
            subject,
            f"{name} runs no task: {why}",
            f"raise the function's Timeout to {ADVISED_S} s or more",
        )
    wanted_s = TIMES * function.timeout_s
    if visibility_s < wanted_s:
        yield problem(
            subject,
            f"its visibility timeout ({visibility_s} s) is below {TIMES} times {name}'s timeout "
            f"({function.timeout_s} s): a slow batch is handed out twice",
            f"set VisibilityTimeout: {wanted_s} in the template, or lower the function's",
        )
    for task, limit_s in limits.items():
        if limit_s >= function.timeout_s:
            yield problem(
                subject,
                f"{task} may run for {limit_s:g} s, and {name} ends after {function.timeout_s} s",
                "raise LambdaTimeout, lower the task's time_limit, or give it a queue with "
                'consumer="ecs"',
            )


def _settings(patient: Patient, subject: str, name: str, function: Function) -> Iterator[Finding]:
    """Compare what the function is told with what this process goes by."""
    for setting in _SHARED_SETTINGS:
        variable = f"CARAWAY_{setting.upper()}"
        here, there = patient.app.conf[setting] or "", function.environment.get(variable)
        if there is not None and there != here:
            yield problem(
                subject,
                f"{name} has {variable}={there}, and here it is {here!r}: they do not meet",
                f"export {variable}={there}, or set it in the app",
            )


def _time_limits(patient: Patient, queue: Queue) -> dict[str, float]:
    """Return the time limits of the tasks that go to a queue, by their names."""
    return {
        task.name: limit_s
        for task in patient.app.tasks.values()
        if (limit_s := task.time_limit or task.soft_time_limit) is not None
        and _goes_to(patient, task, queue)
    }


def _goes_to(patient: Patient, task: Task[..., Any], queue: Queue) -> bool:
    try:
        return queue_of(patient, task) == queue
    except CarawayError:  # the check of the declarations says so
        return False
