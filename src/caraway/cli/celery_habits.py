"""What Celery's command line has and this one has not: each with what takes its place.

Nothing is dropped silently: an option that has no meaning here is refused, with one sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from typing_extensions import override

from caraway.exceptions import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

_SUPERVISED: Final = (
    "a worker runs in the foreground, as a container does; let ECS, systemd or a shell supervise it"
)
_TALK: Final = "workers do not talk to each other: SQS hands each message to one of them"
_NO_BEAT: Final = (
    "there is no beat process: EventBridge keeps the time, and 'caraway beat sync' tells it the "
    "schedule"
)

GLOBAL_OPTIONS: Final[Mapping[str, str]] = {
    "-b --broker": "SQS is the broker; AWS_ENDPOINT_URL says where AWS is",
    "--result-backend": "results are kept in the table task_table (CARAWAY_TASK_TABLE)",
    "--config": "the app reads its settings itself: app.config_from_object('module')",
    "--loader": "the app reads its settings itself: app.config_from_object('module')",
    "--workdir": "change to the folder first: it is where the app is looked for",
}
"""Options of ``celery``, by the names of each."""

WORKER_OPTIONS: Final[Mapping[str, str]] = {
    "-B --beat": _NO_BEAT,
    "-s --schedule-filename --schedule": _NO_BEAT,
    "--scheduler": _NO_BEAT,
    "--prefetch-multiplier --disable-prefetch": (
        "a worker asks SQS for as many messages as it has free slots (-c), and for at most ten "
        "more where tasks are so quick that they begin within 0.2 s"
    ),
    "-O --optimization": (
        "every worker is fair: it asks SQS for no more messages than will begin within 0.2 s (-c)"
    ),
    "-E --task-events --events": "the task records are the monitor: workers send no events",
    "--without-gossip": _TALK,
    "--without-mingle": _TALK,
    "--time-limit --soft-time-limit": (
        "a task carries its own limits: time_limit and soft_time_limit, or the settings "
        "task_time_limit and task_soft_time_limit"
    ),
    "--purge --discard": "run 'caraway purge' first",
    "-X --exclude-queues": "name the queues to consume with -Q",
    "-I --include": "name the modules in the app: Caraway(include=[...]), or the setting imports",
    "-S --statedb": "the task records remember what has run",
    "-f --logfile": "log lines go to standard error: redirect it, or let the container collect it",
    "-D --detach --pidfile --uid --gid --umask --executable": _SUPERVISED,
}
"""Options of ``celery worker``."""

BEAT_OPTIONS: Final[Mapping[str, str]] = {
    "-s --schedule -S --scheduler --max-interval -l --loglevel -f --logfile": _NO_BEAT,
    "--detach --pidfile --uid --gid --umask": _NO_BEAT,
}
"""Options of ``celery beat``."""

COMMANDS: Final[Mapping[str, str]] = {
    "amqp": "there is no AMQP; 'caraway queues' shows the queues",
    "control": (
        "SQS has no broadcast; 'caraway revoke' revokes tasks, SIGTERM stops a worker, settings "
        "are changed and deployed"
    ),
    "events": "workers send no events; see 'caraway status' and 'caraway result --follow'",
    "flower": "workers send no events; see 'caraway status' and 'caraway result --follow'",
    "graph": "'caraway workflow show ID --format dot' draws a workflow",
    "list": "there are no bindings; 'caraway queues' shows the queues",
    "logtool": "log lines are in CloudWatch Logs, or where the container sends them",
    "migrate": "messages cannot be moved from another broker: let the old workers finish theirs",
    "multi": "let ECS, systemd or a shell start several 'caraway worker'",
    "report": "'caraway doctor' looks at the settings and at AWS",
    "shell": "start Python and import the app",
    "upgrade": "settings keep Celery's names, the old ones too",
}
"""Commands of ``celery``."""

INSPECT_OPTIONS: Final[Mapping[str, str]] = {
    "-t --timeout": "nothing is waited for, workers have written what they say to the table",
}
"""Options of ``celery inspect``."""

INSPECTIONS: Final[Mapping[str, str]] = {
    "clock": "workers keep no logical clock",
    "memdump": "look into the process with a profiler",
    "memsample": "look into the process with a profiler",
    "objgraph": "look into the process with a profiler",
    "query_task": "'caraway result ID' shows what is known of a task, on whatever worker it runs",
    "report": "'caraway doctor' looks at the settings and at AWS",
    "reserved": "hardly anything is reserved: a worker receives what will begin within 0.2 s",
    "revoked": "'caraway result ID' shows it of a task, 'caraway revoke --list' of stamps",
    "scheduled": "no worker holds a task for later, SQS does: 'caraway queues' shows how many",
}
"""Verbs of ``celery inspect``."""


class Elsewhere(click.Group):
    """A group that answers some of Celery's names with what takes the place of each."""

    def __init__(
        self, *args: Any, elsewhere: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._elsewhere = elsewhere or {}

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name."""
        name = args[0]
        if not ctx.resilient_parsing:  # of a completion, which must not fail
            if name in self._elsewhere:
                ctx.fail(f"Celery's command {name!r} has no meaning here: {self._elsewhere[name]}.")
            known = self.list_commands(ctx)
            if name not in known and not name.startswith("-"):
                ctx.fail(f"no command {name!r}{nearest(name, known)}")
        return super().resolve_command(ctx, args)


def refuses(options: Mapping[str, str]) -> Callable[[F], F]:
    """Make a command refuse options, each with its sentence; they are not in its help."""

    def decorate(command: F) -> F:
        for names, instead in options.items():
            for name in names.split():
                command = _refused(name, instead)(command)
        return command

    return decorate


def _refused(name: str, instead: str) -> Callable[[F], F]:
    def callback(ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.fail(f"Celery's option {name} is not one of Caraway's: {instead}.")

    return click.option(
        name,
        f"celery_{'short' if len(name) == 2 else 'long'}_{name.strip('-').replace('-', '_')}",
        is_flag=False,  # with or without a value: it is refused in both cases
        flag_value="",
        hidden=True,
        is_eager=True,
        expose_value=False,
        callback=callback,
    )
