from __future__ import annotations

import logging
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import assert_type

import caraway
from caraway.core.routing import Queue
from caraway.exceptions import ImproperlyConfigured, UnknownSetting
from caraway.settings import SETTINGS, Settings


@pytest.fixture
def conf() -> Settings:
    return Settings({})


def test_update_takes_a_mapping_pairs_and_keywords(conf: Settings) -> None:
    conf.update({"timezone": "Asia/Seoul"}, task_default_queue="shop")
    conf.update([("task_ignore_result", True)])
    assert (conf.timezone, conf.task_default_queue) == ("Asia/Seoul", "shop")
    assert conf.task_ignore_result is True


def test_attributes_and_items_are_the_same_values(conf: Settings) -> None:
    conf.timezone = "Asia/Seoul"
    assert conf["timezone"] == "Asia/Seoul"
    conf["timezone"] = "UTC"
    assert conf.timezone == "UTC"


def test_the_settings_are_a_mapping_of_all_names(conf: Settings) -> None:
    assert "task_table" in conf
    assert "no_such_thing" not in conf
    assert conf.get("task_table") == "caraway-tasks"
    assert conf.get("no_such_thing", 7) == 7
    assert list(conf) == list(SETTINGS)
    assert dict(conf)["task_default_queue"] == "default"
    assert len(conf) == len(SETTINGS)


def test_two_apps_do_not_share_values(conf: Settings) -> None:
    conf.timezone = "Asia/Seoul"
    conf.beat_schedule["nightly"] = {"task": "shop.clean"}
    assert Settings({}).timezone == "UTC"
    assert Settings({}).beat_schedule == {}


def test_beat_schedule_is_a_dict_that_can_be_added_to(conf: Settings) -> None:
    conf.beat_schedule = {"a": {"task": "t"}}
    conf.beat_schedule["b"] = {"task": "t"}
    assert set(conf.beat_schedule) == {"a", "b"}


def test_an_update_with_one_wrong_value_changes_nothing(conf: Settings) -> None:
    with pytest.raises(ImproperlyConfigured):
        conf.update(task_default_queue="shop", task_time_limit="soon")
    assert conf.task_default_queue == "default"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_a_value_that_could_have_been_given(name: str, conf: Settings) -> None:
    assert SETTINGS[name].kind.value(name, SETTINGS[name].default) == SETTINGS[name].default


WRONG: list[tuple[str, Any]] = [
    ("task_queues", "default"),
    ("task_queues", [3]),
    ("task_queues", [{"name": "a", "visibility": 3}]),
    ("task_queues", [Queue("a"), Queue("a", consumer="ecs")]),
    ("task_routes", 3),
    ("task_routes", {"a.*": 3}),
    ("task_default_queue", ""),
    ("task_default_queue", "with space"),
    ("queue_name_prefix", "dev/"),
    ("task_table", "ab"),
    ("payload_bucket", "Upper"),
    ("aws_endpoint_url", "localhost:4566"),
    ("message_inline_limit_bytes", 0),
    ("message_inline_limit_bytes", 1_048_577),
    ("message_inline_limit_bytes", True),
    ("result_inline_limit_bytes", 4096.0),
    ("result_backend", "redis"),
    ("result_expires", -1),
    ("result_expires", False),
    ("task_ignore_result", 1),
    ("task_ignore_result", "yes"),
    ("task_time_limit", 0),
    ("task_time_limit", "30"),
    ("task_time_limit", float("nan")),
    ("task_time_limit", float("inf")),
    ("task_time_limit", timedelta(seconds=-1)),
    ("task_soft_time_limit", True),
    ("task_max_deliveries", 0),
    ("timezone", 9),
    ("timezone", "Asia/Soul"),
    ("timezone", "../etc/passwd"),
    ("beat_schedule", [1]),
    ("imports", 3),
    ("imports", ["shop", 3]),
    ("worker_concurrency", "8"),
    ("worker_pool", "eventlet"),
    ("worker_soft_shutdown_timeout", -1),
    ("worker_redirect_stdouts_level", "LOUD"),
    ("worker_redirect_stdouts_level", 15),
    ("worker_log_format", None),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_raises_and_the_message_names_the_setting(
    name: str, value: object, conf: Settings
) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        conf.update({name: value})


def test_the_message_says_what_was_given_and_what_is_expected(conf: Settings) -> None:
    message = "task_time_limit = '30': expected seconds above 0 (a number or a timedelta), or None"
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(message)}$"):
        conf.update(task_time_limit="30")


def test_the_message_of_a_misspelt_time_zone_suggests_the_nearest(conf: Settings) -> None:
    with pytest.raises(ImproperlyConfigured, match="did you mean 'Asia/Seoul'"):
        conf.update(timezone="Asia/Soul")


def test_a_machine_without_time_zones_is_told_to_install_them(
    conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    with pytest.raises(ImproperlyConfigured, match="add the package tzdata"):
        conf.update(timezone="Asia/Soul")


def test_the_message_of_a_wrong_url_does_not_show_its_password(conf: Settings) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.update(result_backend="redis://user:hidden@host/0")
    assert "hidden" not in str(caught.value)
    assert "task_table" in str(caught.value)


def test_a_long_wrong_value_is_shortened_in_the_message(conf: Settings) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.update(task_time_limit="x" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "given",
    [
        [Queue("default"), Queue("reports", consumer="ecs")],
        ("default", Queue("reports", consumer="ecs")),
        [{"name": "default"}, {"name": "reports", "consumer": "ecs"}],
        {"default": None, "reports": {"consumer": "ecs"}},
    ],
)
def test_queues_are_given_as_queues_names_or_dicts(given: Any, conf: Settings) -> None:
    conf.task_queues = given
    assert conf.task_queues == (Queue("default"), Queue("reports", consumer="ecs"))


def test_a_queue_of_another_library_is_refused_with_what_to_write(conf: Settings) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"write caraway\.Queue\(name\)"):
        conf.task_queues = [logging.getLogger("default")]


@pytest.mark.parametrize(
    "routes",
    [
        {"reports.*": {"queue": "reports"}, re.compile("mail"): "mail"},
        [("reports.*", "reports"), {"mail.send": "mail"}],
        lambda name, args, kwargs, options, task=None: None,
    ],
)
def test_routes_are_kept_as_given(routes: Any, conf: Settings) -> None:
    conf.task_routes = routes
    assert conf.task_routes is routes


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (60, 60.0),
        (0.5, 0.5),
        (timedelta(hours=1), 3600.0),
        (None, None),
        (0, None),
        (timedelta(0), None),
    ],
)
def test_result_expires_is_seconds_and_none_or_zero_mean_never(
    given: Any, kept: object, conf: Settings
) -> None:
    conf.result_expires = given
    assert conf.result_expires == kept


@pytest.mark.parametrize("given", [None, "disabled", "disabled://"])
def test_results_are_disabled_in_celerys_ways_too(given: Any, conf: Settings) -> None:
    conf.result_backend = given
    assert conf.result_backend == "disabled"


@pytest.mark.parametrize("given", ["warning", "WARNING", logging.WARNING])
def test_log_levels_are_names_or_numbers_of_logging(given: Any, conf: Settings) -> None:
    conf.worker_redirect_stdouts_level = given
    assert conf.worker_redirect_stdouts_level == "WARNING"


@pytest.mark.parametrize("given", ["shop.tasks", ["shop.tasks"], ("shop.tasks",)])
def test_one_module_needs_no_list(given: Any, conf: Settings) -> None:
    conf.imports = given
    assert conf.imports == ("shop.tasks",)


@pytest.mark.parametrize(
    ("name", "empty"),
    [("task_queues", ()), ("imports", ()), ("beat_schedule", {}), ("timezone", "UTC")],
)
def test_celerys_none_means_the_default(name: str, empty: object, conf: Settings) -> None:
    conf[name] = None
    assert conf[name] == empty


def test_a_misspelt_attribute_raises_when_set_and_when_read(conf: Settings) -> None:
    with pytest.raises(UnknownSetting, match="did you mean 'timezone'"):
        setattr(conf, "timezon", "UTC")  # noqa: B010 - not an attribute for mypy
    with pytest.raises(AttributeError, match="did you mean 'timezone'"):
        getattr(conf, "timezon")  # noqa: B009 - not an attribute for mypy
    with pytest.raises(KeyError, match="timezone"):
        conf["timezon"]
    assert not hasattr(conf, "__deepcopy__")


def test_repr_shows_what_differs_from_the_defaults(conf: Settings) -> None:
    conf.update(task_default_queue="shop", timezone="UTC")
    assert repr(conf) == "Settings(task_default_queue='shop')"


def test_attributes_are_typed() -> None:
    conf = Settings({})
    assert_type(conf.timezone, str)
    assert_type(conf.result_expires, "float | None")
    assert_type(conf.task_queues, "tuple[Queue, ...]")
    assert_type(conf.worker_concurrency, int | None)
    with pytest.raises(UnknownSetting):
        conf.timezon = "UTC"  # type: ignore[attr-defined]  # refused before it runs, too


def test_importing_the_settings_imports_nothing_that_is_slow() -> None:
    slow = {"asyncio", "boto3", "click", "difflib", "pydantic", "rich", "yaml", "zoneinfo"}
    code = f"import sys, caraway.settings; sys.exit(', '.join({slow} & {{*sys.modules}}) or None)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(caraway.__file__).parents[1],
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_class_gives_each_settings_declaration() -> None:
    assert Settings.timezone is SETTINGS["timezone"]
    assert Settings.timezone.default == "UTC"


def test_an_address_is_http_or_https(conf: Settings) -> None:
    conf.aws_endpoint_url = "http://127.0.0.1:4566"
    assert conf.aws_endpoint_url == "http://127.0.0.1:4566"
