"""Celery's module names: existing code changes its imports and nothing else."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakSet

import pytest

import caraway
from caraway import current, signals
from caraway.aws.memory import MemoryAws
from caraway.contrib import celery
from caraway.contrib.celery import Celery, current_app, current_task
from caraway.contrib.celery._elsewhere import ELSEWHERE
from caraway.contrib.celery.app import app_or_default
from caraway.contrib.celery.app.base import _NO_MEANING
from caraway.exceptions import ImproperlyConfigured, UnknownOption
from tests.stage import Stage

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migrating-from-celery.md").read_text()
APP_OF_PAGE = re.search(r"^```python\n(# shop/tasks\.py.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
MODULES = [
    "app",
    "app.base",
    "app.task",
    "canvas",
    "exceptions",
    "result",
    "schedules",
    "signals",
    "states",
    "utils",
    "utils.log",
]


class OnStage(Stage):
    """A worker for an app that was made elsewhere."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.memory = app.aws
        app.set_current()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryAws:
    memory = MemoryAws()
    monkeypatch.setattr(Celery, "aws", memory)
    monkeypatch.setattr(Celery, "aio", memory)
    return memory


@pytest.fixture
def shop(memory: MemoryAws, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the application of the page as its module."""
    monkeypatch.setattr(current, "_apps", WeakSet())
    monkeypatch.setattr(current, "_declarations", [])
    monkeypatch.setattr(signals.task_success, "receivers", ())
    assert APP_OF_PAGE is not None
    module = ModuleType("shop_tasks")
    monkeypatch.setitem(sys.modules, "shop_tasks", module)
    exec(APP_OF_PAGE[1], vars(module))
    return module


# -- a real application ---------------------------------------------------------------------------


def test_the_application_of_the_page_differs_from_celerys_in_its_imports_only() -> None:
    assert APP_OF_PAGE is not None
    written_for_celery = APP_OF_PAGE[1].replace("caraway.contrib.celery", "celery")
    assert "caraway" not in written_for_celery
    assert re.findall(r"^from (\S+)", APP_OF_PAGE[1], re.MULTILINE) == [
        "caraway.contrib.celery",
        "caraway.contrib.celery.exceptions",
        "caraway.contrib.celery.result",
        "caraway.contrib.celery.schedules",
        "caraway.contrib.celery.signals",
        "caraway.contrib.celery.utils.log",
    ]


def test_the_application_of_the_page_runs(shop: ModuleType) -> None:
    stage = OnStage(shop.app)
    results = shop.order(["tea", "cups"])
    stage.work()
    assert shop.totals(results) == [3, 4]
    assert shop.counted == ["shop_tasks.price"] * 2 + ["shop_tasks.note"]
    assert shop.noted == [3]


def test_the_application_of_the_page_retries_and_gives_up(shop: ModuleType) -> None:
    stage = OnStage(shop.app)
    result = shop.charge.delay("broken")
    stage.work()
    with pytest.raises(ConnectionError, match="the bank does not answer"):
        result.get(timeout=1)
    assert result.retries == 2
    assert list(shop.app.conf.beat_schedule) == ["count-every-night"]


def test_the_application_of_the_page_runs_eagerly(shop: ModuleType) -> None:
    shop.app.conf.task_always_eager = True
    shop.app.set_current()
    assert [each.get() for each in shop.order(["tea"])] == [3]


# -- modules --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in MODULES)])
def test_every_module_has_what_it_names(name: str) -> None:
    module = importlib.import_module(f"caraway.contrib.celery{name}")
    assert module.__doc__
    for each in module.__all__:
        assert hasattr(module, each)


def test_the_objects_are_caraways_own() -> None:
    assert celery.shared_task is caraway.shared_task
    assert celery.Task is caraway.Task
    assert issubclass(Celery, caraway.Caraway)
    states = importlib.import_module("caraway.contrib.celery.states")
    assert states.SUCCESS == "SUCCESS"
    celerys: Any = importlib.import_module("caraway.contrib.celery.signals")
    assert celerys.task_prerun is signals.task_prerun
    with pytest.raises(ImproperlyConfigured, match="task_sent"):
        _ = celerys.task_sent


@pytest.mark.parametrize(
    ("module", "name"), [(m, n) for m, names in ELSEWHERE.items() for n in names]
)
def test_a_name_of_celerys_without_a_meaning_says_what_takes_its_place(
    module: str, name: str
) -> None:
    here = importlib.import_module(module.replace("celery", "caraway.contrib.celery", 1))
    assert name not in here.__all__
    with pytest.raises(ImproperlyConfigured, match=f"{module}.{name} has no meaning here: "):
        getattr(here, name)


def test_a_name_that_nobody_has_is_answered_with_the_nearest() -> None:
    exceptions = importlib.import_module("caraway.contrib.celery.exceptions")
    with pytest.raises(AttributeError, match="did you mean 'ChordError'"):
        _ = exceptions.ChordErorr


def test_celery_itself_is_left_alone() -> None:
    assert "celery" not in sys.modules


# -- the app --------------------------------------------------------------------------------------


def test_arguments_without_a_meaning_are_answered_with_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "caraway"):
        app = Celery("shop", broker="redis://", backend="redis://", loader=None, include=["x"])
    assert app.main == "shop"
    assert [record.getMessage() for record in caplog.records] == [
        f"Celery({name}=...) has no meaning here: {_NO_MEANING[name]}"
        for name in ("broker", "backend")
    ]


def test_an_argument_that_celery_does_not_have_raises() -> None:
    with pytest.raises(UnknownOption, match=r"no 'brokr'.*broker"):
        Celery("shop", brokr="sqs://")


def test_settings_come_with_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"CELERY_TASK_DEFAULT_QUEUE": "orders"}
    app = Celery(config_source=source, namespace="CELERY", changes={"task_ignore_result": True})
    assert (app.conf.task_default_queue, app.conf.task_ignore_result) == ("orders", True)
    assert app.config_from_object("not_a_module", silent=True) is False
    with pytest.raises(ImproperlyConfigured, match="no module"):
        app.config_from_object("not_a_module")
    module = ModuleType("settings_of_a_shop")
    module.CELERY_TASK_IGNORE_RESULT = False  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "settings_of_a_shop", module)
    monkeypatch.setenv("SHOP_SETTINGS", "settings_of_a_shop")
    assert app.config_from_envvar("SHOP_SETTINGS")
    assert app.conf.task_ignore_result is False
    assert app.config_from_envvar("UNHEARD_OF", silent=True) is False
    with pytest.raises(ImproperlyConfigured, match="UNHEARD_OF is not set"):
        app.config_from_envvar("UNHEARD_OF")


class Loud(celery.Task[..., Any]):
    """A base class of tasks."""


def test_tasks_may_have_a_base_class_and_loose_types() -> None:
    app = Celery(task_cls=f"{__name__}:Loud")
    assert isinstance(
        app.task(
            lambda: None,
        ),
        Loud,
    )
    assert isinstance(Celery(task_cls=Loud).task(lambda: None), Loud)
    assert Celery(strict_typing=False).task(lambda: None).typing is False


# -- what is current ------------------------------------------------------------------------------


def test_the_current_app_stands_for_the_last_one() -> None:
    app = Celery("first")
    assert current_app == app
    assert (current_app.main, repr(current_app)) == ("first", repr(app))
    second = Celery("second", set_as_current=False)
    assert current_app.main == "first"
    second.set_default()
    assert current_app._get_current_object() is second
    assert app_or_default(None) is second
    assert app_or_default(app) is app
    current_app.main = "renamed"
    assert second.main == "renamed"


def test_the_current_task_is_the_one_that_runs(memory: MemoryAws) -> None:
    app = Celery("shop")
    assert not current_task

    @app.task(name="who")
    def who() -> list[Any]:
        return [current_task.name, current_task.request.id, bool(current_task)]

    result = who.delay()
    OnStage(app).work()
    assert result.get(timeout=1) == ["who", result.id, True]
