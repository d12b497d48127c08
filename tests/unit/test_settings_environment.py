from __future__ import annotations

import pytest

from caraway import setting_mapping
from caraway.core.routing import Queue
from caraway.exceptions import ImproperlyConfigured
from caraway.settings import Settings


@pytest.fixture(autouse=True)
def nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_mapping, "_said", set())


def test_a_variable_overrides_code_whichever_comes_first() -> None:
    conf = Settings({"CARAWAY_TASK_TABLE": "shop-tasks"})
    conf.task_table = "from-code"
    assert conf.task_table == "shop-tasks"
    conf.update(task_table="from-code-again")
    assert conf.task_table == "shop-tasks"
    assert conf["task_table"] == dict(conf)["task_table"] == "shop-tasks"


def test_code_that_is_overridden_is_still_checked() -> None:
    conf = Settings({"CARAWAY_WORKER_CONCURRENCY": "3"})
    with pytest.raises(ImproperlyConfigured):
        conf.worker_concurrency = 0


def test_the_process_environment_is_read_when_a_setting_is_first_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = Settings()
    conf.task_table = "from-code"
    monkeypatch.setenv("CARAWAY_TASK_TABLE", "from-environment")
    assert conf.task_table == "from-environment"
    monkeypatch.setenv("CARAWAY_TASK_TABLE", "too-late")
    assert conf.task_table == "from-environment"


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("QUEUE_NAME_PREFIX", "dev-", "dev-"),
        ("QUEUE_NAME_PREFIX", "", ""),
        ("PAYLOAD_BUCKET", "shop-payloads", "shop-payloads"),
        ("PAYLOAD_BUCKET", "", None),
        ("TASK_TIME_LIMIT", "30", 30.0),
        ("TASK_TIME_LIMIT", "1.5", 1.5),
        ("TASK_TIME_LIMIT", "none", None),
        ("RESULT_EXPIRES", "60", 60.0),
        ("RESULT_EXPIRES", "", None),
        ("RESULT_EXPIRES", "0", None),
        ("WORKER_CONCURRENCY", "8", 8),
        ("TASK_IGNORE_RESULT", "true", True),
        ("TASK_IGNORE_RESULT", "1", True),
        ("TASK_TRACK_STARTED", "False", False),
        ("TASK_TRACK_STARTED", "off", False),
        ("TIMEZONE", "Asia/Seoul", "Asia/Seoul"),
        ("IMPORTS", "shop.tasks, shop.reports", ("shop.tasks", "shop.reports")),
        ("IMPORTS", '["shop.tasks"]', ("shop.tasks",)),
        ("IMPORTS", "", ()),
        ("TASK_QUEUES", "a,b", (Queue("a"), Queue("b"))),
        ("TASK_QUEUES", '[{"name": "a", "consumer": "ecs"}]', (Queue("a", consumer="ecs"),)),
        ("TASK_ROUTES", '{"reports.*": {"queue": "r"}}', {"reports.*": {"queue": "r"}}),
        ("WORKER_REDIRECT_STDOUTS_LEVEL", "info", "INFO"),
    ],
)
def test_each_kind_of_value_has_a_text(variable: str, text: str, value: object) -> None:
    conf = Settings({f"CARAWAY_{variable}": text})
    assert conf[variable.lower()] == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CARAWAY_TASK_IGNORE_RESULT", "maybe"),
        ("CARAWAY_WORKER_CONCURRENCY", "eight"),
        ("CARAWAY_WORKER_CONCURRENCY", "1.5"),
        ("CARAWAY_TASK_MAX_DELIVERIES", ""),
        ("CARAWAY_TASK_TABLE", ""),
        ("CARAWAY_TASK_QUEUES", "[oops"),
        ("CARAWAY_BEAT_SCHEDULE", "3"),
    ],
)
def test_a_wrong_text_raises_at_the_first_read_and_names_the_variable(
    variable: str, text: str
) -> None:
    conf = Settings({variable: text})
    conf.timezone = "Asia/Seoul"
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match=f"^{variable} = "):
            _ = conf.timezone


def test_a_misspelt_variable_is_ignored_with_one_line_and_the_nearest_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        assert Settings({"CARAWAY_TASK_TABEL": "x"}).task_table == "caraway-tasks"
    assert [r.getMessage() for r in caplog.records] == [
        "CARAWAY_TASK_TABEL is ignored: no setting named 'task_tabel', did you mean 'task_table'?"
    ]


def test_a_variable_with_a_name_of_celery_is_ignored_with_what_takes_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Settings({"CARAWAY_BROKER_URL": "x"}).timezone == "UTC"
    assert "SQS is the broker" in caplog.text


def test_variables_of_others_and_the_name_of_the_app_are_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {
        "CARAWAY_APP": "shop:app",
        "CARAWAY_CACHE": "/x",
        "CARAWAY_DEV_PORT": "0",
        "CELERY_TIMEZONE": "Asia/Seoul",
        "TIMEZONE": "x",
    }
    assert Settings(environ).timezone == "UTC"
    assert caplog.records == []


def test_origin_says_where_a_value_comes_from() -> None:
    conf = Settings({"CARAWAY_TASK_TABLE": "shop-tasks"})
    conf.update(task_table="from-code", timezone="Asia/Seoul")
    assert conf.origin("task_table") == "environment"
    assert conf.origin("timezone") == "code"
    assert conf.origin("task_default_queue") == "default"
    with pytest.raises(KeyError, match="timezone"):
        conf.origin("timezon")
