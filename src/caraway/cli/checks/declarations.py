"""What the app declares: its tasks and the queues that they go to. No request is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.cli.checks.findings import Finding, note, ok, problem
from caraway.cli.output import count
from caraway.exceptions import CarawayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.cli.checks.findings import Patient
    from caraway.core.routing import Queue
    from caraway.task import Task


async def check_declarations(patient: Patient) -> list[Finding]:
    """Look at tasks and queues."""
    app = patient.app
    subject = f"app {app.main or '__main__'}"
    tasks, queues = len(app.tasks), len(app.site.router.queues)
    findings = [ok(subject, f"{count(tasks, 'task')}, {count(queues, 'queue')}")]
    if not tasks:
        findings.append(
            note(
                subject,
                "it has no tasks: it can send by name, and a worker of it runs nothing",
                "import the modules that declare them: Caraway(include=[...])",
            )
        )
    return findings + [fault for task in app.tasks.values() for fault in _route(patient, task)]


def _route(patient: Patient, task: Task[..., Any]) -> Iterator[Finding]:
    try:
        queue_of(patient, task)
    except CarawayError as error:
        yield problem(f"task {task.name}", f"it has no queue: {error}")


def queue_of(patient: Patient, task: Task[..., Any]) -> Queue | None:
    """Return the queue that a task goes to; None when only a call's arguments decide it.

    Raises
    ------
    CarawayError
        If its route leads nowhere.
    """
    options = {} if task.queue is None else {"queue": task.queue}
    try:
        return patient.app.site.router.route(task.name, (), {}, options)
    except CarawayError:
        raise
    except Exception:  # noqa: BLE001 - a router function of the user's, which wants arguments
        return None
