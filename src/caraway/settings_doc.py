"""The documentation of the settings, as Markdown: ``python -m caraway.settings_doc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caraway.celery_settings import REPLACEMENTS
from caraway.settings import SETTINGS

if TYPE_CHECKING:
    from caraway.setting_mapping import Setting

_INTRODUCTION: Final = """\
# Settings

<!-- Written by `python -m caraway.settings_doc`; a test compares the two. -->

Every setting has Celery's name where Celery has the concept. Durations are seconds, sizes bytes.
A value of a wrong type or out of range raises `ImproperlyConfigured`, which names the setting, what
was given and what is expected. A name that is a setting neither here nor in Celery raises
`UnknownSetting` and suggests the nearest.

## Where values come from

1. **The environment**, `CARAWAY_` and the name in capitals: `CARAWAY_TASK_TABLE=shop-tasks`. It
   belongs to the deployment (the template writes it) and wins over code, also over code that runs
   later. It is read once, when a setting is first read. Numbers and structures are written as JSON,
   truth as `true` or `false`, None as nothing or `none`, lists of names as JSON or separated by
   commas: `CARAWAY_IMPORTS=shop.tasks,shop.reports`.
2. **Code**, the last word counts:

   ```python
   app.conf.update(task_default_queue="shop", timezone="Asia/Seoul")
   app.conf.timezone = "Asia/Seoul"
   app.conf["timezone"] = "Asia/Seoul"
   app.config_from_object("shop.settings")
   app.config_from_object("django.conf:settings", namespace="CELERY")
   ```

   `config_from_object` takes a module, a class or another object, a mapping, or where one is:
   `"package.module"` or `"package.module:attribute"`. With a `namespace` only the names with that
   prefix count (`CELERY_TASK_DEFAULT_QUEUE`), and all of them must be settings: choose another
   namespace (`CARAWAY`) where a third package uses the same prefix. Without one, every name of a
   mapping counts; of a module or class, those that begin neither with an underscore nor are
   modules, functions, classes or constants in capitals.
3. **The default.**

`app.conf.origin("task_table")` says which of the three it was.

## The settings

| Setting | Default | Expected | Meaning |
|---|---|---|---|
"""

_CELERY: Final = """
## Celery's settings that have no meaning here

They are accepted, with one warning in each process (logger `caraway`) that says what takes their
place. Names from before Celery 4 (`CELERYD_CONCURRENCY`, `CELERY_ACKS_LATE`) are read as the names
of today.

| What takes its place | Celery's settings |
|---|---|
"""


def markdown() -> str:
    """Return ``docs/settings.md``: every setting, and what takes the place of Celery's others."""
    ours = "".join(_row(setting) for setting in SETTINGS.values())
    names: dict[str, list[str]] = {}
    for name, replacement in REPLACEMENTS.items():
        names.setdefault(replacement, []).append(f"`{name}`")
    celerys = "".join(f"| {_cell(text)} | {', '.join(names[text])} |\n" for text in names)
    return _INTRODUCTION + ours + _CELERY + celerys


def _row(setting: Setting[object]) -> str:
    default = setting.default
    shown = f"{default:g}" if isinstance(default, float) else repr(default)
    return (
        f"| `{setting.name}` | `{shown}` | {_cell(setting.kind.expected)} "
        f"| {_cell(setting.meaning)} |\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
