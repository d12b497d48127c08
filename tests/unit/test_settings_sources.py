from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from caraway import setting_mapping
from caraway.exceptions import ImproperlyConfigured, UnknownSetting
from caraway.settings import Settings


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(setting_mapping, "_said", set())
    return Settings({})


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package ``shop`` with settings, as a user writes them."""
    package = tmp_path / "shop_for_settings"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text(
        "import os\n"
        "from datetime import timedelta\n"
        "from functools import partial\n"
        "DEBUG = True\n"
        "_region = 'ap-northeast-2'\n"
        "def helper(): ...\n"
        "def task_routes(name, args, kwargs, options, task=None): return 'shop'\n"
        "timezone = 'Asia/Seoul'\n"
        "result_expires = timedelta(hours=1)\n"
        "class Production:\n"
        "    task_default_queue = 'production'\n"
        "    def method(self): ...\n"
        "    class Nested:\n"
        "        task_default_queue = 'nested'\n"
    )
    (package / "broken.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package.name
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        monkeypatch.delitem(sys.modules, name)


def test_a_module_is_named_by_its_path(conf: Settings, shop: str) -> None:
    conf.config_from_object(f"{shop}.settings")
    assert (conf.timezone, conf.result_expires) == ("Asia/Seoul", 3600.0)
    assert conf.task_routes("any", (), {}, {}) == "shop"


@pytest.mark.parametrize(
    ("attribute", "queue"), [("Production", "production"), ("Production.Nested", "nested")]
)
def test_an_attribute_of_a_module_is_named_after_a_colon(
    attribute: str, queue: str, conf: Settings, shop: str
) -> None:
    conf.config_from_object(f"{shop}.settings:{attribute}")
    assert conf.task_default_queue == queue


@pytest.mark.parametrize(
    "path",
    [
        "shop_for_settings.settigns",
        "shop_for_settings.settings.Production",
        "no_such_module_anywhere",
        "shop_for_settings.settings:Staging",
    ],
)
def test_a_path_that_leads_nowhere_raises_and_says_how_paths_are_written(
    path: str, conf: Settings, shop: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match="; write 'package"):
        conf.config_from_object(path)


def test_a_module_that_itself_fails_to_import_raises_its_own_error(
    conf: Settings, shop: str
) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        conf.config_from_object(f"{shop}.broken")


def test_objects_classes_and_mappings_are_taken_as_they_are(conf: Settings) -> None:
    class Defaults:
        task_default_queue = "a"

    conf.config_from_object(Defaults)
    assert conf.task_default_queue == "a"
    conf.config_from_object(Defaults())
    conf.config_from_object(SimpleNamespace(task_default_queue="b"))
    assert conf.task_default_queue == "b"
    conf.config_from_object({"task_default_queue": "c"})
    assert conf.task_default_queue == "c"


def test_with_a_namespace_only_names_with_the_prefix_are_settings(conf: Settings) -> None:
    django = ModuleType("django_settings")
    vars(django).update(
        CELERY_TASK_DEFAULT_QUEUE="shop", TASK_TABLE="other", TIME_ZONE="Asia/Seoul", debug=True
    )
    conf.config_from_object(django, namespace="CELERY")
    assert conf.task_default_queue == "shop"
    assert (conf.task_table, conf.timezone) == ("caraway-tasks", "UTC")


def test_a_namespace_applies_to_mappings_too(conf: Settings) -> None:
    conf.config_from_object({"CELERY_TIMEZONE": "Asia/Seoul", "OTHER": 1}, namespace="CELERY_")
    assert conf.timezone == "Asia/Seoul"


def test_a_misspelt_name_in_the_namespace_raises_with_the_nearest(conf: Settings) -> None:
    with pytest.raises(UnknownSetting, match="did you mean 'task_default_queue'"):
        conf.config_from_object({"CELERY_TASK_DEFAULT_QEUE": "x"}, namespace="CELERY")


def test_a_misspelt_name_in_a_module_raises_though_other_names_are_passed_over(
    conf: Settings,
) -> None:
    module = ModuleType("m")
    vars(module).update(task_deafult_queue="shop", DEBUG=True)
    with pytest.raises(UnknownSetting, match="did you mean 'task_default_queue'"):
        conf.config_from_object(module)


def test_old_names_of_celery_in_a_module_are_read_as_todays(
    conf: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    module = ModuleType("celeryconfig")
    vars(module).update(
        BROKER_URL="redis://", CELERYD_CONCURRENCY=4, CELERY_TASK_RESULT_EXPIRES=timedelta(days=2)
    )
    conf.config_from_object(module)
    assert (conf.worker_concurrency, conf.result_expires) == (4, 172_800.0)
    assert "broker_url has no meaning here" in caplog.text


def test_an_old_name_that_never_was_one_raises(conf: Settings) -> None:
    module = ModuleType("celeryconfig")
    vars(module).update(CELERYD_CONCURENCY=4)
    with pytest.raises(UnknownSetting, match="CELERYD_CONCURENCY"):
        conf.config_from_object(module)


def test_a_wrong_value_raises_and_nothing_is_taken(conf: Settings) -> None:
    with pytest.raises(ImproperlyConfigured, match="task_time_limit"):
        conf.config_from_object({"timezone": "Asia/Seoul", "task_time_limit": "x"})
    assert conf.timezone == "UTC"
