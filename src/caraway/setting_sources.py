"""Where ``config_from_object`` finds settings: modules, classes, objects and mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from caraway.exceptions import ImproperlyConfigured


def settings_in(
    source: object, namespace: str | None, is_setting: Callable[[str], bool]
) -> dict[str, Any]:
    """Return what a source sets.

    Parameters
    ----------
    source
        A module, class or other object with attributes, a mapping, or where one of these is:
        ``"package.module"`` or ``"package.module:attribute"``.
    namespace
        Take only names that begin with it and an underscore, without both and in lower case.
    is_setting
        Says whether a name is that of a setting, today's or an old one.

    Returns
    -------
    dict[str, Any]
        Values by name. Names that are no settings are among them, so that they can be refused.

    Raises
    ------
    ImproperlyConfigured
        If nothing can be imported from there.
    """
    found = _imported(source) if isinstance(source, str) else source
    if namespace is not None:
        prefix = namespace.removesuffix("_") + "_"
        return {name.removeprefix(prefix).lower(): value for name, value in _pairs(found, prefix)}
    if isinstance(found, Mapping):
        return dict(found)
    return {
        name: value
        for name, value in _pairs(found)
        if is_setting(name) or _looks_like_a_setting(name, value)
    }


def _pairs(source: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(source, Mapping):
        yield from ((name, value) for name, value in source.items() if name.startswith(prefix))
        return
    for name in dir(source):
        # Nothing else is read: in Django's settings, reading may raise or warn.
        if name.startswith(prefix) and not name.startswith("_"):
            yield name, getattr(source, name)


def _looks_like_a_setting(name: str, value: object) -> bool:
    """Tell a misspelt setting from what else a module holds: imports, functions, constants."""
    if isinstance(value, ModuleType) or callable(value):
        return False
    return name.islower() or name.startswith(("CELERY", "BROKER_"))


def _imported(path: str) -> object:
    import importlib

    module, _, attribute = path.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        reason = f"there is no module {error.name!r}"
    except AttributeError as error:
        reason = str(error)
    else:
        return found
    raise ImproperlyConfigured(
        f"config_from_object({path!r}): {reason}; "
        "write 'package.module' or 'package.module:attribute'"
    )
