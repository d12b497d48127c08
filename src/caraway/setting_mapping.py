"""A mapping of typed settings: declared as attributes, checked as they are given.

:mod:`caraway.settings` declares the settings of an app; here is what they do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeVar, overload

from caraway.exceptions import UnknownSetting, nearest
from caraway.setting_sources import settings_in

if TYPE_CHECKING:
    from typing_extensions import Self

    from caraway.setting_kinds import Kind

T = TypeVar("T")

ENVIRONMENT_PREFIX: Final = "CARAWAY_"

_NO_SETTINGS: Final = frozenset(
    {
        "CARAWAY_APP",
        "CARAWAY_CACHE",
        "CARAWAY_DEV_PORT",
        "CARAWAY_FOLDER",
        "CARAWAY_HEALTH_HOST",
        "CARAWAY_HEALTH_PORT",
        "CARAWAY_SCHEDULE_STATE",
        "CARAWAY_TRACEBACK",
    }
)
"""Variables of that prefix that others read: the doors, the command line, the local engine."""

_said: Final[set[str]] = set()
"""What was warned about in this process: each is said once."""


class Setting(Generic[T]):
    """One setting: a typed attribute of :class:`caraway.settings.Settings`.

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

    def __init__(self, kind: Kind[T], default: T, meaning: str) -> None:
        self.kind = kind
        self.default = default
        self.meaning = meaning
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, conf: None, owner: type) -> Self: ...
    @overload
    def __get__(self, conf: SettingsMapping, owner: type) -> T: ...
    def __get__(self, conf: SettingsMapping | None, owner: type) -> Self | T:
        return self if conf is None else conf[self.name]

    def __set__(self, conf: SettingsMapping, value: Any) -> None:
        conf[self.name] = value


class SettingsMapping(Mapping[str, Any]):
    """Settings as typed attributes, and as a mapping of names to values.

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

    __slots__ = ("_environ", "_given", "_known", "_overrides", "version")

    declared: ClassVar[dict[str, Setting[Any]]] = {}
    """The settings by name, in the order of their declaration."""

    def __init_subclass__(cls) -> None:
        cls.declared = {n: each for n, each in vars(cls).items() if isinstance(each, Setting)}

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        object.__setattr__(self, "_environ", environ)
        object.__setattr__(self, "_given", {})
        object.__setattr__(self, "_known", {})
        object.__setattr__(self, "_overrides", None)
        object.__setattr__(self, "version", 0)

    if TYPE_CHECKING:
        version: int
        """Counts the changes, so that what is built from settings knows when to be built anew."""
        _environ: Mapping[str, str] | None
        _given: dict[str, Any]
        _known: dict[str, Any]  # what was read since the last change: a call reads seven settings
        _overrides: dict[str, Any] | None
    else:  # hidden from type checkers, so that they refuse unknown attributes

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            raise UnknownSetting(self._why_unknown(name))

        def __setattr__(self, name: str, value: Any) -> None:
            if name in SettingsMapping.__slots__ or name in self.declared:
                object.__setattr__(self, name, value)
            else:
                self[name] = value

    def __getitem__(self, name: str) -> Any:
        known = self._known
        if name not in known:
            known[name] = self._value(name)
        return known[name]

    def _value(self, name: str) -> Any:
        overrides = self._read_environment() if self._overrides is None else self._overrides
        if name in overrides:
            return overrides[name]
        if name in self._given:
            return self._given[name]
        if name not in self.declared:
            raise KeyError(self._why_unknown(name))
        default = self.declared[name].default
        if isinstance(default, dict):  # so that conf.beat_schedule["name"] = {...} is kept
            return self._given.setdefault(name, dict(default))
        return default

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def __repr__(self) -> str:
        changed = (f"{n}={self[n]!r}" for n in self if self[n] != self.declared[n].default)
        return f"{type(self).__name__}({', '.join(changed)})"

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
            setting = self._setting(name)
            if setting is not None:
                accepted[setting.name] = setting.kind.value(name, value)
        self._given.update(accepted)
        # Anew, and not cleared: another thread may be about to keep what it has read before.
        object.__setattr__(self, "_known", {})
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
        self.update(
            settings_in(source, namespace, lambda name: self._current_name(name) in self.declared)
        )

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
        return "code" if value != self.declared[name].default else "default"

    def _read_environment(self) -> dict[str, Any]:
        overrides: dict[str, Any] = {}
        for variable, text in (os.environ if self._environ is None else self._environ).items():
            if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _NO_SETTINGS:
                name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
                if name in self.declared:
                    overrides[name] = self.declared[name].kind.value_of_text(variable, text)
                else:
                    _say_once(variable, f"{variable} is ignored: {self._why_unknown(name)}")
        object.__setattr__(self, "_overrides", overrides)
        return overrides

    @classmethod
    def _current_name(cls, name: str) -> str:
        """Return today's name of a setting whose name is one of today's or an old one of Celery."""
        if name in cls.declared:
            return name
        from caraway.celery_settings import REPLACEMENTS, current_name

        return current_name(name, cls.declared.keys() | REPLACEMENTS.keys())

    @classmethod
    def _setting(cls, name: str) -> Setting[Any] | None:
        """Return the setting of that name; None, and one warning, if it has no meaning here."""
        current = cls._current_name(name)
        if current in cls.declared:
            return cls.declared[current]
        from caraway.celery_settings import REPLACEMENTS

        if current not in REPLACEMENTS:
            raise UnknownSetting(cls._why_unknown(name))
        _say_once(current, cls._why_unknown(current))
        return None

    @classmethod
    def _why_unknown(cls, name: str) -> str:
        from caraway.celery_settings import REPLACEMENTS

        if name in REPLACEMENTS:
            return f"Celery's setting {name} has no meaning here: {REPLACEMENTS[name]}"
        return f"no setting named {name!r}{nearest(name.lower(), [*cls.declared, *REPLACEMENTS])}"


def _say_once(name: str, line: str) -> None:
    if name not in _said:
        import logging

        _said.add(name)
        logging.getLogger("caraway").warning("%s", line)
