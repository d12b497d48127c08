"""In a Django project: Celery's lines set an app up, tasks are sent at a commit, and run tidily."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from caraway import Caraway, Context, Task
from caraway.contrib.django import DjangoTask, fit
from caraway.exceptions import ImproperlyConfigured, InvalidArguments, UnknownOption
from caraway.workers.pools.threads import ThreadPool
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = {
    "mysite/__init__.py": "from .queue import app as queue_app\n__all__ = ['queue_app']\n",
    "mysite/queue.py": (
        "import os\n"
        "from caraway import Caraway\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n"
        "app = Caraway('mysite')\n"
        "app.config_from_object('django.conf:settings', namespace='CELERY')\n"
        "app.autodiscover_tasks()\n"
    ),
    "mysite/settings.py": (
        "USE_TZ = True\n"
        "INSTALLED_APPS = ['mails.apps.MailsConfig', 'plain']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
        "CELERY_TASK_DEFAULT_QUEUE = 'mail'\n"
    ),
    "mails/__init__.py": "",
    "mails/apps.py": (
        "from django.apps import AppConfig\nclass MailsConfig(AppConfig):\n    name = 'mails'\n"
    ),
    "mails/models.py": (
        "from django.db import models\nclass Mail(models.Model):\n    to = models.TextField()\n"
    ),
    "mails/tasks.py": (
        "from caraway import shared_task\n"
        "from .models import Mail\n"
        "@shared_task\n"
        "def send(pk: int) -> int:\n"
        "    return Mail.objects.count()\n"
    ),
    "plain/__init__.py": "",
}
LOOK = """
from caraway.contrib.django import DjangoTask
from django.apps import apps
task = app.tasks["mails.tasks.send"]
print(apps.ready, isinstance(task, DjangoTask), app.conf.task_default_queue)
"""


@pytest.fixture(scope="module", autouse=True)
def django_of_this_process(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Start Django, which a process does once; with a database of each kind of connection."""
    folder = tmp_path_factory.mktemp("databases")
    sqlite = {"ENGINE": "django.db.backends.sqlite3"}
    settings.configure(
        DATABASES={
            "default": {**sqlite, "NAME": folder / "default"},
            "kept": {**sqlite, "NAME": folder / "kept", "CONN_MAX_AGE": None},
        },
        DEBUG=True,
        LOGGING_CONFIG=None,
    )
    django.setup()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage("mysite")
    fit(made.app)
    yield made
    connections.close_all()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    return tmp_path


def run(project: Path, code: str) -> str:
    """Run code in a process of its own, in the project's folder."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


# -- setting up -------------------------------------------------------------------------------


def test_celerys_lines_set_up_a_worker(project: Path) -> None:
    load = "from caraway.loader import load_app\napp = load_app('mysite').finalize()\n"
    assert run(project, load + LOOK) == "True True mail"


def test_the_lambda_function_starts_django(project: Path) -> None:
    code = (
        "import os\n"
        "os.environ['CARAWAY_APP'] = 'mysite'\n"
        "os.environ['AWS_REGION'] = 'us-east-1'\n"
        "from caraway.workers.aws_lambda import handler\n"
        "handler({'Records': []}, None)\n"
        "from mysite import queue_app as app\n"
    )
    assert run(project, code + LOOK) == "True True mail"


def test_a_web_process_that_has_started_django_may_use_the_app(project: Path) -> None:
    start = (
        "import os, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'\n"
        "django.setup()\n"
        "from mails.tasks import send\n"
        "from mysite.queue import app\n"
    )
    assert run(project, start + LOOK) == "True True mail"
    assert run(project, start + "app.finalize()\n" + LOOK) == "True True mail"


def test_an_app_outside_of_django_does_not_import_it(project: Path) -> None:
    code = (
        "import sys\nfrom caraway import Caraway\nCaraway('shop')\nprint('django' in sys.modules)"
    )
    assert run(project, code) == "False"


def test_django_that_is_not_installed_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "mysite.settings")
    monkeypatch.setattr("caraway.fixups.find_spec", lambda _name: None)
    with caplog.at_level(logging.WARNING, "caraway"):
        assert Caraway("shop").fixups == []
    assert "DJANGO_SETTINGS_MODULE is set, but django is not installed" in caplog.text


def test_discovery_without_packages_needs_django() -> None:
    app = Caraway("shop")
    app.autodiscover_tasks()
    with pytest.raises(ImproperlyConfigured, match="DJANGO_SETTINGS_MODULE was not set"):
        app.finalize()


def test_an_app_is_fitted_once_and_keeps_a_base_class_of_its_own() -> None:
    class Own(DjangoTask[..., Any]):
        pass

    app = Caraway("shop")
    app.Task = Own
    fit(app)
    fit(app)
    assert app.Task is Own
    assert len(app.fixups) == len(app.middleware) == 1


# -- sending at a commit ----------------------------------------------------------------------


def double(n: int) -> int:
    return 2 * n


def test_a_task_is_sent_at_the_commit(stage: Stage) -> None:
    task: Any = stage.app.task(double)
    with transaction.atomic():
        id = task.delay_on_commit(4)
        assert stage.sent() == []
    (message,) = stage.sent()
    assert (message.id, message.args) == (id, (4,))


def test_a_rollback_sends_nothing(stage: Stage) -> None:
    task: Any = stage.app.task(double)
    with transaction.atomic():
        task.delay_on_commit(4)
        transaction.set_rollback(True)
    assert stage.sent() == []


def test_outside_of_a_transaction_a_task_is_sent_at_once(stage: Stage) -> None:
    task: Any = stage.app.task(double)
    id = task.apply_async_on_commit((), {"n": 4}, countdown=60, task_id="mine")
    (message,) = stage.sent()
    assert id == message.id == "mine"
    assert message.kwargs == {"n": 4}
    assert stage.delays() == [60]


def test_the_transaction_may_be_that_of_another_database(stage: Stage) -> None:
    task: Any = stage.app.task(double)
    with transaction.atomic(using="kept"):
        task.apply_async_on_commit((1,))
        task.apply_async_on_commit((2,), using="kept")
        assert [message.args for message in stage.sent()] == [(1,)]
    assert [message.args for message in stage.sent()] == [(1,), (2,)]


def test_a_wrong_call_rolls_the_transaction_back(stage: Stage) -> None:
    task: Any = stage.app.task(double)
    with pytest.raises(InvalidArguments), transaction.atomic():
        task.delay_on_commit("four")
    with pytest.raises(UnknownOption), transaction.atomic():
        task.apply_async_on_commit((4,), countdwn=3)
    assert stage.sent() == []


def test_inside_a_task_the_ids_are_the_same_when_it_runs_again(stage: Stage) -> None:
    child: Any = stage.app.task(name="child")(double)

    @stage.app.task(idempotent=True)
    def parent() -> list[str]:
        with transaction.atomic():
            return [child.delay_on_commit(1), child.delay_on_commit(1)]

    for _ in range(2):
        parent.apply_async(task_id="the-parent")
    stage.work_once()
    stage.work_once()
    ids = [message.id for message in stage.sent()]
    assert len(ids) == 4
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


def test_an_eager_task_runs_at_the_commit_on_the_callers_connection(stage: Stage) -> None:
    stage.app.conf.task_always_eager = True
    ran: list[bool] = []

    @stage.app.task
    def look() -> None:
        ran.append(connection.in_atomic_block)

    task: Any = look
    with transaction.atomic(), transaction.atomic():
        task.delay_on_commit()
        assert ran == []
        task.delay()
    assert ran == [True, False]
    assert connection.connection is not None


# -- connections ------------------------------------------------------------------------------


def use(alias: str) -> bool:
    """Say whether there was a connection, and leave one."""
    there = connections[alias].connection is not None
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
    return there


def test_a_task_leaves_no_connection_that_django_would_not_keep(stage: Stage) -> None:
    task: Any = stage.app.task(use)
    for alias in ("default", "default", "kept", "kept"):
        task.delay(alias)
        stage.work()
    assert connections["default"].connection is None
    assert connections["kept"].connection is not None
    assert len(connections["default"].queries_log) == 0  # which DEBUG fills


def test_a_task_begins_without_a_connection_that_is_too_old(stage: Stage) -> None:
    use("kept")
    connections["kept"].close_at = 0.0
    task: Any = stage.app.task(use)
    result = task.delay("kept")
    stage.work()
    assert result.get() is False


def test_a_task_that_fails_leaves_no_connection(stage: Stage) -> None:
    @stage.app.task
    def fail() -> None:
        use("default")
        raise ValueError("no")

    result = fail.delay()
    stage.work()
    assert result.state == "FAILURE"
    assert connections["default"].connection is None


def test_each_thread_of_a_worker_lets_its_own_connections_go(stage: Stage) -> None:
    at_once = threading.Barrier(2)
    used: list[Any] = []

    @stage.app.task
    def look() -> None:
        use("default")
        used.append(connections["default"])
        at_once.wait(120)

    async def run_two() -> None:
        pool = ThreadPool(2)
        runner = stage.app.tasks[look.name].runner
        try:
            await asyncio.gather(*(pool.call(runner, Context(id=id)) for id in "ab"))
        finally:
            await pool.close()

    asyncio.run(run_two())
    assert used[0] is not used[1]
    assert [each.connection for each in used] == [None, None]


def test_the_connections_of_an_async_task_are_those_of_its_thread(stage: Stage) -> None:
    from asgiref.sync import sync_to_async

    @stage.app.task
    async def look() -> list[bool]:
        return [await sync_to_async(use)("default"), await sync_to_async(use)("default")]

    result = look.delay()
    stage.work()
    assert result.get() == [False, True]

    async def is_open() -> bool:
        return await sync_to_async(lambda: connections["default"].connection is not None)()

    assert asyncio.run(is_open()) is False


def test_a_task_of_another_class_is_treated_likewise(stage: Stage) -> None:
    task = stage.app.task(name="plain", base=Task)(use)
    assert not isinstance(task, DjangoTask)
    task.delay("default")
    stage.work()
    assert connections["default"].connection is None


def test_a_forked_child_connects_anew_and_leaves_its_parents_connection_alone(
    project: Path,
) -> None:
    code = (
        "import os\n"
        "from caraway.loader import load_app\n"
        "load_app('mysite').finalize()\n"
        "from django.db import connection, connections\n"
        "connection.ensure_connection()\n"
        "if not (pid := os.fork()):\n"
        "    os._exit(0 if connections['default'].connection is None else 1)\n"
        "print(os.waitpid(pid, 0)[1], connections['default'].connection is not None)\n"
    )
    assert run(project, code) == "0 True"
