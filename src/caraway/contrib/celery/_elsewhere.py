"""Names of Celery's modules that have no meaning here: importing one says what takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import ImproperlyConfigured, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NO_WARNING: Final = "nothing warns with it here: Caraway logs to the logger 'caraway'"
_ONE_TASK: Final = "self.request and current_task are what a task knows of its run"
_PLAIN: Final = "it is a helper of Celery's own: "

ELSEWHERE: Final[Mapping[str, Mapping[str, str]]] = {
    "celery": {
        "SERIES": "caraway.__version__ has the version",
        "VERSION": "caraway.__version__ has the version",
        "VERSION_BANNER": "caraway.__version__ has the version",
        "bugreport": "'caraway doctor' looks at the settings and at AWS",
        "maybe_patch_concurrency": "'caraway worker -P gevent' patches what it has to",
        "version_info": "caraway.__version__ has the version",
        "version_info_t": "caraway.__version__ has the version",
    },
    "celery.app": {
        "AppPickler": "an app is imported by its name in each process, never pickled",
        "bugreport": "'caraway doctor' looks at the settings and at AWS",
        "default_app": "current_app is the current app",
        "disable_trace": _PLAIN + "leave it out",
        "enable_trace": _PLAIN + "leave it out",
        "pop_current_task": _ONE_TASK,
        "push_current_task": _ONE_TASK,
    },
    "celery.exceptions": {
        "AlwaysEagerIgnored": _NO_WARNING,
        "CDeprecationWarning": _NO_WARNING,
        "CPendingDeprecationWarning": _NO_WARNING,
        "CeleryCommandException": "commands raise click.ClickException",
        "CeleryWarning": _NO_WARNING,
        "DuplicateNodenameWarning": _NO_WARNING,
        "DuplicateTaskNameWarning": _NO_WARNING,
        "FixupWarning": _NO_WARNING,
        "NotConfigured": _NO_WARNING,
        "SecurityError": "a message with a bad signature goes to the dead-letter queue, and "
        "settings that cannot sign raise ImproperlyConfigured",
        "SecurityWarning": _NO_WARNING,
        "Terminated": "whoever waits for a task that was ended sees TaskRevokedError",
        "WorkerShutdown": "SIGTERM stops a worker",
        "WorkerTerminate": "a second SIGTERM stops a worker at once",
        "reraise": "raise error.with_traceback(traceback)",
    },
    "celery.schedules": {"crontab_parser": "crontab reads the text of its fields"},
    "celery.states": {
        "precedence": "READY_STATES says which states are ends",
        "state": "READY_STATES says which states are ends",
    },
    "celery.utils": {
        "LOG_LEVELS": "logging.getLevelName knows them",
        "cached_property": "functools.cached_property is Python's",
        "chunks": "task.chunks calls a task with many arguments at a time",
        "gen_task_name": "a task is named after its module and its function",
        "get_cls_by_name": "importlib.import_module finds a module",
        "get_full_cls_name": _PLAIN + "cls.__module__ and cls.__qualname__ are its parts",
        "import_from_cwd": "importlib.import_module finds a module",
        "instantiate": "importlib.import_module finds a module",
        "memoize": "functools.lru_cache is Python's",
        "nodename": "workers are named by -n, and nothing is sent to one of them",
        "nodesplit": "workers are named by -n, and nothing is sent to one of them",
        "noop": _PLAIN + "a lambda does",
        "worker_direct": "a worker has no queue of its own: give it one with -Q",
    },
    "celery.utils.log": {
        "ColorFormatter": "TaskFormatter shows a task's name and id",
        "LOG_LEVELS": "logging.getLevelName knows them",
        "LoggingProxy": "standard output of a worker stays as it is",
        "base_logger": "logging.getLogger('caraway') is Caraway's logger",
        "get_multiprocessing_logger": "child processes log to the loggers that the worker has",
        "in_sighandler": _PLAIN + "leave it out",
        "mlevel": "logging.getLevelName knows them",
        "reset_multiprocessing_logger": "child processes log to the loggers that the worker has",
        "set_in_sighandler": _PLAIN + "leave it out",
    },
}
"""By Celery's module and name: what takes its place."""


def elsewhere(module: str, names: Sequence[str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``; ``names`` are those that it has."""
    celerys = module.replace("caraway.contrib.", "", 1)

    def getattribute(name: str) -> Any:
        reason = ELSEWHERE[celerys].get(name)
        if reason is not None:
            raise ImproperlyConfigured(f"{celerys}.{name} has no meaning here: {reason}")
        raise AttributeError(f"module {module!r} has no attribute {name!r}{nearest(name, names)}")

    return getattribute
