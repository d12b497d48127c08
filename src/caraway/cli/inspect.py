"""``caraway inspect``: what workers say of themselves."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import click

from caraway.cli.celery_habits import INSPECT_OPTIONS, INSPECTIONS, Elsewhere, refuses
from caraway.cli.errors import NOT_WELL, Failure
from caraway.cli.options import app_option, comma_separated, json_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session
from caraway.cli.workers import present_workers
from caraway.core.port import run_now
from caraway.core.presence import Presences, about

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from caraway.core.presence import About, Presence

    Report: TypeAlias = Callable[[Presence, About], Any]


@click.group("inspect", cls=Elsewhere, elsewhere=INSPECTIONS)
@app_option
@json_option
@refuses(INSPECT_OPTIONS)
def command() -> None:
    """Show what workers say of themselves.

    \b
    caraway inspect active -A shop:app
    caraway inspect registered -d reports@box -A shop:app --json

    They say it with their heartbeat, so it is up to 30 seconds old. Workers that have no heartbeat
    (--without-heartbeat, Lambda functions) are not shown. Exit code 1 says that none is there.
    """  # noqa: D301 - \b is click's


def _verb(name: str, report: Report, summary: str) -> None:
    """Add a verb to the group."""
    example = f"caraway inspect {name} -A shop:app"

    @command.command(name, help=f"{summary}\n\n\b\n{example}", short_help=summary)
    @app_option
    @click.option(
        "-d",
        "--destination",
        multiple=True,
        callback=comma_separated,
        metavar="NAME,NAME",
        help="These workers only.",
    )
    @json_option
    @refuses(INSPECT_OPTIONS)
    @pass_session
    def verb(session: Session, destination: Sequence[str]) -> None:
        app = session.app()
        workers = _chosen(present_workers(app), destination)
        presences = Presences(app.site.records.table)
        known = run_now(about(app.aws, presences, [each.about for each in workers]))
        told = {label: report(worker, known[worker.about]) for label, worker in _labelled(workers)}
        if session.as_json:
            show_json(told)
        else:
            _show(told)
        if not told:
            click.echo("no worker is there: start 'caraway worker'", err=True)
            click.get_current_context().exit(NOT_WELL)


def _chosen(workers: Sequence[Presence], names: Sequence[str]) -> Sequence[Presence]:
    present = {worker.hostname for worker in workers}
    absent = [name for name in names if name not in present]
    if absent:
        there = ", ".join(sorted(present)) or "none"
        raise Failure(f"no worker named {absent[0]!r} is there (there are: {there})")
    return [worker for worker in workers if not names or worker.hostname in names]


def _labelled(workers: Sequence[Presence]) -> list[tuple[str, Presence]]:
    """Return each worker with its name; those that share one with their process beside it."""
    names = [worker.hostname for worker in workers]
    return [
        (name if names.count(name) == 1 else worker.session.replace("\t", "/"), worker)
        for name, worker in zip(names, workers, strict=True)
    ]


def _show(told: Mapping[str, Any]) -> None:
    for name, answer in told.items():
        click.echo(f"-> {click.style(name, bold=True)}")
        if isinstance(answer, dict):
            lines = [f"{key}: {value}" for key, value in answer.items()]
        else:
            lines = [_line(each) for each in answer] or ["- empty -"]
        for line in lines:
            click.echo(f"   {line}")


def _line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return "  ".join(str(value) for value in entry.values())


def _ping(_worker: Presence, _about: About) -> Any:
    return {"ok": "pong"}


def _active(worker: Presence, _about: About) -> Any:
    listed: list[dict[str, Any]] = [
        {"id": task.id, "name": task.name, "started": _time(task.started_at)}
        for task in worker.tasks
    ]
    return listed


def _active_queues(worker: Presence, _about: About) -> Any:
    return list(worker.queues)


def _registered(_worker: Presence, about: About) -> Any:
    return list(about.registered)


def _conf(_worker: Presence, about: About) -> Any:
    return dict(about.conf)


def _stats(worker: Presence, _about: About) -> Any:
    return {
        "pid": worker.pid,
        "version": worker.version,
        "started": _time(worker.started_at),
        "uptime_s": round(worker.beat_at - worker.started_at),
        "heartbeat": _time(worker.beat_at),
        "pool": worker.pool,
        "concurrency": worker.concurrency,
        "running": worker.running,
        "processed": worker.processed,
    }


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


_VERBS: Final[Sequence[tuple[str, Report, str]]] = (
    ("ping", _ping, "Show which workers are there."),
    ("active", _active, "Show the tasks that run: the five oldest of each worker."),
    ("active_queues", _active_queues, "Show which queues each worker consumes."),
    ("registered", _registered, "Show the tasks that each worker knows."),
    ("conf", _conf, "Show the settings that differ from their defaults, without secrets."),
    ("stats", _stats, "Show process, pool, and how many tasks each worker has run."),
)
for _name, _report, _summary in _VERBS:
    _verb(_name, _report, _summary)
