"""The settings of an app, ``app.conf``: Celery's names where the concept is the same, and our own.

The environment of a deployment (``CARAWAY_TASK_TABLE=...``) wins over code, and code over the
defaults. ``python -m caraway.settings`` prints the documentation of all settings as Markdown.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, overload

from caraway import setting_kinds as kinds
from caraway.exceptions import UnknownSetting, nearest
from caraway.setting_sources import settings_in

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

ENVIRONMENT_PREFIX: Final = "CARAWAY_"

_NO_SETTINGS: Final = frozenset(
    {
        "CARAWAY_APP",
        "CARAWAY_CACHE",
        "CARAWAY_FOLDER",
        "CARAWAY_SCHEDULE_STATE",
        "CARAWAY_TRACEBACK",
    }
)
"""Variables of that prefix that others read: the doors, the command line, the local engine."""

_said: Final[set[str]] = set()
"""What was warned about in this process: each is said once."""

_WHOLE_MESSAGE_BYTES: Final = 1_048_576
"""The largest SQS message, attributes included (Amazon SQS message quotas)."""

_LARGEST_INLINE_RESULT_BYTES: Final = 262_144
"""Leaves a DynamoDB item of at most 400 KB room for the rest of the record."""


class Setting(Generic[T]):
    """One setting: a typed attribute of :class:`Settings`.

    Attributes
    ----------
    name
        As the attribute and in ``app.conf.update``; in the environment ``CARAWAY_`` and upper case.
    kind
        Which values it takes, and how they are read.
    default
        The value where neither code nor environment gives one.
    meaning
        One line for the documentation.
    """

    __slots__ = ("default", "kind", "meaning", "name")

    def __init__(self, kind: kinds.Kind[T], default: T, meaning: str) -> None:
        self.kind = kind
        self.default = default
        self.meaning = meaning
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, conf: None, owner: type) -> Self: ...
    @overload
    def __get__(self, conf: Settings, owner: type) -> T: ...
    def __get__(self, conf: Settings | None, owner: type) -> Self | T:
        return self if conf is None else conf[self.name]

    def __set__(self, conf: Settings, value: Any) -> None:
        conf[self.name] = value


class Settings(Mapping[str, Any]):
    """The settings of one app: typed attributes, and a mapping of names to values.

    Code sets values by attribute (``conf.timezone = "UTC"``), by item, with :meth:`update` or with
    :meth:`config_from_object`; each value is checked as it is given. A variable ``CARAWAY_<NAME>``
    of the environment overrides all of these; the environment is read once, when the first setting
    is read.

    Parameters
    ----------
    environ
        The environment; by default the process's.

    Raises
    ------
    ImproperlyConfigured
        From every way in, if a value is of a wrong type or out of range. For a variable of the
        environment: from the first read.
    UnknownSetting
        From every way in, if a name is a setting neither of Caraway nor of Celery. One of Celery's
        that has no meaning here is accepted, with one warning that says what takes its place.
    """

    __slots__ = ("_environ", "_given", "_overrides", "version")

    task_queues = Setting(
        kinds.QUEUES, (), "The queues, and who consumes each. Those that routes name need no entry."
    )
    task_routes = Setting(
        kinds.ROUTES,
        None,
        "Which queue a task goes to: by exact name, glob, compiled regular expression or function.",
    )
    task_default_queue = Setting(
        kinds.QUEUE_NAME, "default", "The queue of tasks that no route matches."
    )
    queue_name_prefix = Setting(
        kinds.PREFIX, "", "Put before each queue's name in SQS, to tell environments apart."
    )

    task_table = Setting(
        kinds.TABLE, "caraway-tasks", "The DynamoDB table of task records and results."
    )
    payload_bucket = Setting(
        kinds.optional(kinds.BUCKET),
        None,
        "The S3 bucket for large messages and results; with None they raise.",
    )
    aws_region = Setting(
        kinds.optional(kinds.TEXT),
        None,
        "The AWS region; None: the environment's (AWS_REGION, AWS_PROFILE).",
    )
    aws_endpoint_url = Setting(
        kinds.optional(kinds.URL),
        None,
        "Where AWS is; None: the environment's (AWS_ENDPOINT_URL), else AWS itself.",
    )
    message_inline_limit_bytes = Setting(
        kinds.whole_number(1, _WHOLE_MESSAGE_BYTES),
        262_144,
        "A message above this many bytes travels through payload_bucket.",
    )
    result_inline_limit_bytes = Setting(
        kinds.whole_number(0, _LARGEST_INLINE_RESULT_BYTES),
        4_096,
        "A result above this many bytes is kept in payload_bucket; the record points to it.",
    )

    result_backend = Setting(
        kinds.BACKEND, "dynamodb", "Where results are kept; disabled: as task_ignore_result."
    )
    result_expires = Setting(
        kinds.EXPIRY,
        86_400.0,
        "A result is hidden this many seconds after its task ended; None: never.",
    )
    task_ignore_result = Setting(
        kinds.BOOL, False, "Whether results are dropped, where task and call do not say otherwise."
    )
    task_store_errors_even_if_ignored = Setting(
        kinds.BOOL, False, "Whether failures are kept though results are dropped."
    )
    task_track_started = Setting(
        kinds.BOOL,
        True,
        "Whether a running task's state is STARTED. The write that claims it says so: no cost.",
    )

    task_time_limit = Setting(
        kinds.optional(kinds.seconds()),
        None,
        "Seconds that a task may run. Shown in self.request, and not enforced yet.",
    )
    task_soft_time_limit = Setting(
        kinds.optional(kinds.seconds()),
        None,
        "Seconds after which a task should clean up. Shown in self.request, not enforced yet.",
    )
    task_max_deliveries = Setting(
        kinds.whole_number(1, 1_000),
        5,
        "A task is dead-lettered after this many runs that ended without an ending being recorded.",
    )
    task_always_eager = Setting(
        kinds.BOOL, False, "Whether delay() and apply_async() run the task here and now, for tests."
    )
    task_eager_propagates = Setting(
        kinds.BOOL, False, "Whether an eager task's exception is raised to the caller."
    )

    task_publish_retry = Setting(
        kinds.BOOL, True, "Whether a send is tried again while AWS is unreachable or throttles."
    )
    task_publish_retry_policy = Setting(
        kinds.POLICY,
        {},
        "How: max_retries (3), interval_start, interval_step and interval_max (seconds).",
    )

    timezone = Setting(kinds.ZONE, "UTC", "The IANA time zone in which crontabs are meant.")
    beat_schedule = Setting(
        kinds.SCHEDULE, {}, "What EventBridge sends when: entries as in Celery, by name."
    )
    imports = Setting(kinds.MODULES, (), "Modules that a worker imports when it starts.")
    include = Setting(kinds.MODULES, (), "More such modules, imported after those of imports.")

    worker_concurrency = Setting(
        kinds.whole_number(1, 10_000),
        10,
        "How many tasks an ECS worker runs at once. Ten make full SQS batches.",
    )
    worker_pool = Setting(
        kinds.choice("threads", "asyncio", "solo"),
        "threads",
        "How an ECS worker runs tasks: in threads, on an event loop, or one by one.",
    )
    worker_soft_shutdown_timeout = Setting(
        kinds.seconds(zero=True),
        25.0,
        "Seconds an ECS worker gives running tasks after SIGTERM, before it releases them. "
        "Less than the container's stopTimeout (30 by default).",
    )
    worker_hijack_root_logger = Setting(
        kinds.BOOL, True, "Whether a worker replaces the root logger's handlers with its own."
    )
    worker_redirect_stdouts = Setting(
        kinds.BOOL, True, "Whether what a task prints is logged, with the task's name and id."
    )
    worker_redirect_stdouts_level = Setting(
        kinds.LEVEL, "WARNING", "The level at which that is logged."
    )
    worker_log_format = Setting(
        kinds.TEXT,
        "[%(asctime)s: %(levelname)s/%(threadName)s] %(message)s",
        "A log line of a worker, in the logging module's %-style.",
    )
    worker_task_log_format = Setting(
        kinds.TEXT,
        "[%(asctime)s: %(levelname)s/%(threadName)s] %(task_name)s[%(task_id)s]: %(message)s",
        "A log line written inside a task.",
    )

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        object.__setattr__(self, "_environ", environ)
        object.__setattr__(self, "_given", {})
        object.__setattr__(self, "_overrides", None)
        object.__setattr__(self, "version", 0)

    if TYPE_CHECKING:
        version: int
        """Counts the changes, so that what is built from settings knows when to be built anew."""
        _environ: Mapping[str, str] | None
        _given: dict[str, Any]
        _overrides: dict[str, Any] | None
    else:  # hidden from type checkers, so that they refuse unknown attributes

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            raise UnknownSetting(_why_unknown(name))

        def __setattr__(self, name: str, value: Any) -> None:
            if name in self.__slots__ or name in SETTINGS:
                object.__setattr__(self, name, value)
            else:
                self[name] = value

    def __getitem__(self, name: str) -> Any:
        overrides = self._read_environment() if self._overrides is None else self._overrides
        if name in overrides:
            return overrides[name]
        if name in self._given:
            return self._given[name]
        if name not in SETTINGS:
            raise KeyError(_why_unknown(name))
        default = SETTINGS[name].default
        if isinstance(default, dict):  # so that conf.beat_schedule["name"] = {...} is kept
            return self._given.setdefault(name, dict(default))
        return default

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __iter__(self) -> Iterator[str]:
        return iter(SETTINGS)

    def __len__(self) -> int:
        return len(SETTINGS)

    def __repr__(self) -> str:
        changed = (f"{n}={self[n]!r}" for n in self if self[n] != SETTINGS[n].default)
        return f"Settings({', '.join(changed)})"

    def update(
        self, changes: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any
    ) -> None:
        """Set several values, or none of them if one is wrong.

        Parameters
        ----------
        changes
            Values by name.
        more
            More of them, as keywords.

        Raises
        ------
        ImproperlyConfigured
            If a value is of a wrong type or out of range.
        UnknownSetting
            If a name is a setting neither of Caraway nor of Celery.
        """
        accepted: dict[str, Any] = {}
        for name, value in {**dict(changes), **more}.items():
            setting = _setting(name)
            if setting is not None:
                accepted[setting.name] = setting.kind.value(name, value)
        self._given.update(accepted)
        object.__setattr__(self, "version", self.version + 1)

    def config_from_object(self, source: object, namespace: str | None = None) -> None:
        """Set the values that an object holds.

        Parameters
        ----------
        source
            A module, class or other object with attributes, a mapping, or where one of these is:
            ``"package.module"`` or ``"package.module:attribute"``.
        namespace
            With ``"CELERY"``, only names beginning with ``CELERY_`` are settings, as in Django's
            settings file: ``CELERY_TASK_DEFAULT_QUEUE``. Without one, every name of a mapping is;
            of an object, those that do not begin with an underscore and are not modules, functions,
            classes or constants in capitals.

        Raises
        ------
        ImproperlyConfigured
            If nothing can be imported from there, or a value is of a wrong type or out of range.
        UnknownSetting
            If a name is a setting neither of Caraway nor of Celery.
        """
        self.update(settings_in(source, namespace, lambda name: _current_name(name) in SETTINGS))

    def origin(self, name: str) -> Literal["environment", "code", "default"]:
        """Say where the value of a setting comes from.

        Raises
        ------
        KeyError
            If there is no such setting.
        """
        value = self[name]
        if self._overrides and name in self._overrides:
            return "environment"
        return "code" if value != SETTINGS[name].default else "default"

    def _read_environment(self) -> dict[str, Any]:
        overrides: dict[str, Any] = {}
        for variable, text in (os.environ if self._environ is None else self._environ).items():
            if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _NO_SETTINGS:
                name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
                if name in SETTINGS:
                    overrides[name] = SETTINGS[name].kind.value_of_text(variable, text)
                else:
                    _say_once(variable, f"{variable} is ignored: {_why_unknown(name)}")
        object.__setattr__(self, "_overrides", overrides)
        return overrides


SETTINGS: Final[dict[str, Setting[Any]]] = {
    name: each for name, each in vars(Settings).items() if isinstance(each, Setting)
}
"""Every setting by name, in the order of the documentation."""


def _say_once(name: str, line: str) -> None:
    if name not in _said:
        import logging

        _said.add(name)
        logging.getLogger("caraway").warning("%s", line)


def _current_name(name: str) -> str:
    """Return today's name of a setting whose name is one of today's or an old one of Celery."""
    if name in SETTINGS:
        return name
    from caraway.celery_settings import REPLACEMENTS, current_name

    return current_name(name, SETTINGS.keys() | REPLACEMENTS.keys())


def _setting(name: str) -> Setting[Any] | None:
    """Return the setting of that name; None, and one warning, if it has no meaning here."""
    current = _current_name(name)
    if current in SETTINGS:
        return SETTINGS[current]
    from caraway.celery_settings import REPLACEMENTS

    if current not in REPLACEMENTS:
        raise UnknownSetting(_why_unknown(name))
    _say_once(current, _why_unknown(current))
    return None


def _why_unknown(name: str) -> str:
    from caraway.celery_settings import REPLACEMENTS

    if name in REPLACEMENTS:
        return f"Celery's setting {name} has no meaning here: {REPLACEMENTS[name]}"
    return f"no setting named {name!r}{nearest(name.lower(), [*SETTINGS, *REPLACEMENTS])}"
