"""The app: how tasks are declared and named, and what is imported when."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Queue, Task, schedule
from caraway.declare import _say_once
from caraway.exceptions import (
    AlreadyRegistered,
    ImproperlyConfigured,
    NotRegistered,
    UnknownOption,
    UnknownSetting,
)
from caraway.loader import load_app
from caraway.task import AsyncTask
from tests.integration.conftest import PATIENCE_S
from tests.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path


def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


async def aadd(x: int, y: int) -> int:
    return x + y


@pytest.fixture
def app() -> Caraway:
    return Caraway("shop")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes modules which can be imported during the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(**modules: str) -> None:
        for name, text in modules.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


# -- names ----------------------------------------------------------------------------------------


def test_a_task_is_named_after_its_module_and_function(app: Caraway) -> None:
    task = app.task(add)
    assert task.name == f"{__name__}.add"
    assert app.tasks[f"{__name__}.add"] is task


def test_a_task_may_have_a_name_of_its_own(app: Caraway) -> None:
    assert app.task(name="maths.add")(add).name == "maths.add"


def test_a_task_of_the_main_module_is_named_after_the_app(app: Caraway) -> None:
    assert app.gen_task_name("add", "__main__") == "shop.add"
    assert Caraway().gen_task_name("add", "__main__") == "__main__.add"


def test_a_task_keeps_the_documentation_and_module_of_its_function(app: Caraway) -> None:
    task = app.task(add)
    assert (task.__doc__, task.__module__) == ("Add two numbers.", __name__)


def test_a_task_that_is_not_registered_is_named_with_the_nearest(app: Caraway) -> None:
    app.task(name="maths.add")(add)
    with pytest.raises(NotRegistered, match=r"'maths.ad'.* did you mean 'maths.add'"):
        app.tasks["maths.ad"]
    with pytest.raises(NotRegistered, match=r"maths\.add"):
        app.task_named("maths.adds")


# -- declaring ------------------------------------------------------------------------------------


def test_a_task_can_be_declared_with_and_without_parentheses(app: Caraway) -> None:
    assert app.task(name="one")(add)(1, 2) == 3
    assert app.task(add)(1, 2) == 3
    assert app.task()(aadd).is_async


def test_a_bound_task_gets_itself_as_the_first_argument(app: Caraway) -> None:
    @app.task(bind=True)
    def whoami(self: Any, suffix: str) -> str:
        return f"{self.name.rpartition('.')[2]}{suffix}"

    assert whoami("!") == "whoami!"


def test_a_base_class_gives_its_tasks_what_it_has(app: Caraway) -> None:
    class Database(Task[..., Any]):
        max_retries = 7
        table = "orders"

        def connection(self) -> str:
            return f"connection to {self.table}"

    @app.task(base=Database, bind=True, table="invoices")
    def use(self: Any) -> str:
        connection: str = self.connection()
        return connection

    assert use() == "connection to invoices"
    assert use.max_retries == 7
    assert isinstance(use, Database)


def test_the_apps_own_base_class_is_that_of_its_tasks(app: Caraway) -> None:
    class Ours(Task[..., Any]):
        pass

    app.Task = Ours
    assert isinstance(app.task(add), Ours)
    assert isinstance(app.task(aadd), Ours)
    assert isinstance(app.task(name="async")(aadd), AsyncTask)


def test_a_base_that_is_no_task_class_is_refused(app: Caraway) -> None:
    with pytest.raises(ImproperlyConfigured, match="not a subclass of"):
        app.task(base=dict)(add)


def test_a_task_class_is_registered_by_an_instance(app: Caraway) -> None:
    @app.task
    class Resize(Task[..., Any]):
        def run(self, width: int) -> int:
            return width * 2

    resize: Any = Resize  # what the name stands for now
    assert resize(4) == 8
    assert app.tasks[f"{__name__}.Resize"] is resize


def test_an_instance_of_a_task_class_can_be_registered_with_options(app: Caraway) -> None:
    class Resize(Task[..., Any]):
        name = "images.resize"

        def __init__(self, factor: int) -> None:
            self.factor = factor

        def run(self, width: int) -> int:
            return width * self.factor

    task = app.register_task(Resize(3), max_retries=1)
    assert (task(5), task.max_retries, app.tasks["images.resize"]) == (15, 1, task)


def test_what_is_no_task_class_cannot_be_registered(app: Caraway) -> None:
    with pytest.raises(ImproperlyConfigured, match="not a subclass of"):
        app.register_task(dict)


def test_a_class_that_does_no_work_says_what_is_missing(app: Caraway) -> None:
    class Lazy(Task[..., Any]):
        pass

    with pytest.raises(NotImplementedError, match="Lazy must define run"):
        app.register_task(Lazy)()


@pytest.mark.parametrize("not_a_function", [5, "maths.add", object()])
def test_what_is_no_function_is_no_task(app: Caraway, not_a_function: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="is not a function; options go by name"):
        app.task(not_a_function)


# -- the same name twice --------------------------------------------------------------------------


def test_two_functions_cannot_have_one_name(app: Caraway) -> None:
    app.task(name="add")(add)
    with pytest.raises(AlreadyRegistered, match=r"two tasks are named 'add' \(.*\.add and .*aadd"):
        app.task(name="add")(aadd)


def test_declaring_one_function_twice_gives_one_task(app: Caraway) -> None:
    assert app.task(add) is app.task(add)
    assert len(app.tasks) == 1


# -- options --------------------------------------------------------------------------------------


def test_an_unknown_option_is_refused_with_the_nearest(app: Caraway) -> None:
    with pytest.raises(UnknownOption, match="'max_retrys', did you mean 'max_retries'"):
        app.task(max_retrys=3)(add)
    with pytest.raises(UnknownOption, match="'max_retrys', did you mean 'max_retries'"):
        app.register_task(Task, max_retrys=3)


def test_an_option_of_celery_that_cannot_be_had_says_what_takes_its_place(app: Caraway) -> None:
    with pytest.raises(UnknownOption, match=r"'rate_limit'.*MaximumConcurrency"):
        app.task(rate_limit="10/m")(add)
    with pytest.raises(UnknownOption, match=r"'priority'.*queue of their own"):
        app.task(priority=3)(add)


def test_an_option_of_celery_that_is_not_needed_is_taken_with_one_line(
    app: Caraway, caplog: pytest.LogCaptureFixture
) -> None:
    _say_once.cache_clear()
    app.task(acks_late=True)(add)
    app.task(acks_late=True)(aadd)
    (line,) = [each.message for each in caplog.records]
    assert line.startswith("task option 'acks_late' needs no setting here: a message is always")


def test_a_wrong_retry_option_fails_at_its_declaration(app: Caraway) -> None:
    with pytest.raises(ImproperlyConfigured, match="autoretry_for"):
        app.task(autoretry_for=ConnectionError)(add)
    with pytest.raises(ImproperlyConfigured, match="retry_kwargs"):
        app.task(retry_kwargs={"max_retrys": 1})(add)
    assert not app.tasks


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": "3"},
        {"max_retries": 1.5},
        {"max_retries": -1},
        {"default_retry_delay": "5"},
        {"default_retry_delay": -5},
        {"retry_backoff": "yes"},
        {"retry_backoff_max": None},
        {"retry_kwargs": {"countdown": "x"}},
        {"retry_kwargs": {"max_retries": "x"}},
        {"idempotent": "yes"},
        {"ignore_result": 1},
        {"throws": 5},
        {"throws": (ValueError, "KeyError")},
    ],
    ids=repr,
)
def test_an_option_of_a_wrong_type_fails_at_its_declaration(
    app: Caraway, options: dict[str, Any]
) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        app.task(**options)(add)
    own = type("Own", (Task,), {**options, "run": lambda self: None})
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        app.register_task(own)
    assert not app.tasks


def test_options_may_have_any_value_that_means_something(app: Caraway) -> None:
    app.task(max_retries=None, retry_backoff=2.5, retry_jitter=False, throws=ValueError)(add)
    app.task(name="own", retry_backoff=True, default_retry_delay=0, throws=[KeyError])(add)


def test_options_that_are_settings_follow_them_until_a_task_says_otherwise(app: Caraway) -> None:
    plain, own = app.task(name="plain")(add), app.task(name="own", ignore_result=False)(add)
    app.conf.task_ignore_result = True
    assert (plain.ignore_result, own.ignore_result) == (True, False)


# -- settings -------------------------------------------------------------------------------------


def test_settings_come_from_a_mapping_an_object_or_a_module(app: Caraway, package: Any) -> None:
    app.config_from_object({"task_table": "one"})
    assert app.conf.task_table == "one"
    package(celeryconfig="CELERY_TASK_TABLE = 'two'\nOTHER = 1\n")
    app.config_from_object("celeryconfig", namespace="CELERY")
    assert app.conf.task_table == "two"
    assert Caraway(config_source={"task_table": "three"}).conf.task_table == "three"


def test_a_setting_that_does_not_exist_is_refused_with_the_nearest(app: Caraway) -> None:
    with pytest.raises(UnknownSetting, match="did you mean 'task_table'"):
        app.conf.update(task_tabel="x")


def test_what_is_built_from_settings_follows_them(app: Caraway) -> None:
    assert app.site.records.table == "caraway-tasks"
    app.conf.update(task_table="other", task_queues=[Queue("big", consumer="ecs")])
    assert app.site.records.table == "other"
    assert app.site.router.queue("big").consumer == "ecs"


# -- modules --------------------------------------------------------------------------------------


def test_finalizing_imports_what_the_app_names_once(package: Any) -> None:
    package(
        counted="imports = []\n",
        first_tasks="import counted; counted.imports.append('first')",
        second_tasks="import counted; counted.imports.append('second')",
        third_tasks="import counted; counted.imports.append('third')",
    )
    app = Caraway(include=["first_tasks"])
    app.conf.update(imports=("second_tasks",), include=["third_tasks"])
    assert app.finalize() is app.finalize()
    assert set(sys.modules["counted"].imports) == {"first", "second", "third"}
    assert app.finalized


def test_an_app_whose_modules_cannot_be_imported_is_not_finalized(package: Any) -> None:
    package(broken_tasks="import counted_once_more")
    app = Caraway(include="broken_tasks")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="counted_once_more"):
            app.finalize()
    package(counted_once_more="")
    assert app.finalize().finalized


def test_tasks_are_discovered_in_packages_when_the_app_is_finalized(package: Any) -> None:
    package(
        orders____init__="",
        orders__tasks="from caraway import current_app\n"
        "@current_app().task\ndef ship(): return 'shipped'\n",
        taskless____init__="",
        plain="",
    )
    app = Caraway("shop")
    app.autodiscover_tasks(["orders", "taskless", "plain"])
    assert not app.tasks
    app.finalize()
    assert list(app.tasks) == ["orders.tasks.ship"]


def test_discovery_can_be_asked_for_at_once_by_a_function_and_another_name(package: Any) -> None:
    package(
        stock____init__="",
        stock__jobs="from caraway import current_app\n@current_app().task\ndef count(): return 1\n",
    )
    app = Caraway("shop")
    app.autodiscover_tasks(lambda: ["stock"], related_name="jobs", force=True)
    assert list(app.tasks) == ["stock.jobs.count"]
    app.autodiscover_tasks(["stock"], related_name=None, force=True)


def test_a_module_that_cannot_import_something_is_not_taken_for_absent(package: Any) -> None:
    package(orders____init__="", orders__tasks="import no_such_module")
    app = Caraway("shop")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        app.autodiscover_tasks(["orders"], force=True)


def test_a_package_to_discover_tasks_in_must_exist_and_be_in_a_list(app: Caraway) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        app.autodiscover_tasks(["no_such_package"], force=True)
    with pytest.raises(ImproperlyConfigured, match="expected a list"):
        app.autodiscover_tasks("orders")


# -- schedules ------------------------------------------------------------------------------------


def test_periodic_tasks_are_added_when_the_app_has_been_configured(app: Caraway) -> None:
    task = app.task(name="add")(add)
    heard: list[Any] = []

    @app.on_after_configure.connect
    def setup(sender: Caraway, source: Any, **_: Any) -> None:
        heard.extend((sender, source))
        sender.add_periodic_task(60.0, task.s(1, 2), name="sum", expires=30)

    app.finalize()
    assert heard == [app, app.conf]
    assert app.conf.beat_schedule["sum"] == {
        "task": "add",
        "schedule": 60.0,
        "args": (1, 2),
        "kwargs": {},
        "options": {"expires": 30},
    }


def test_a_periodic_task_without_a_name_is_named_after_its_call(app: Caraway) -> None:
    task = app.task(name="add")(add)
    assert app.add_periodic_task(schedule(60), task.s(1), kwargs={"y": 2}) == "add(1, y=2)"
    with pytest.raises(ImproperlyConfigured, match=r"two schedule entries are named 'add\(1, y=2"):
        app.add_periodic_task(schedule(120), task.s(1, y=2))


def test_a_periodic_task_takes_the_keys_of_an_entry_beside_the_options_of_its_call(
    app: Caraway,
) -> None:
    task = app.task(name="add")(add)
    app.add_periodic_task(60.0, task.s(1, 2), name="sum", overlap="skip", queue="sums")
    entry = app.conf.beat_schedule["sum"]
    assert (entry["overlap"], entry["options"]) == ("skip", {"queue": "sums"})


# -- finding an app -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shopping:store", "shopping", "shopfront", "shopfront:app"])
def test_an_app_is_found_by_module_and_attribute(package: Any, name: str) -> None:
    package(
        shopping="from caraway import Caraway\nstore = Caraway('store')\n",
        shopfront="from caraway import Caraway\nother = Caraway()\napp = Caraway('front')\n",
    )
    assert load_app(name).main == ("store" if name.startswith("shopping") else "front")


def test_the_environment_may_name_the_app(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package(shopping="from caraway import Caraway\nstore = Caraway('store')\n")
    with pytest.raises(ImproperlyConfigured, match="set CARAWAY_APP"):
        load_app()
    monkeypatch.setenv("CARAWAY_APP", "shopping:store")
    assert load_app().main == "store"


def test_an_app_that_is_not_there_is_said_so(package: Any) -> None:
    package(shopping="nothing = 1\n", shopless="import no_such_module\n")
    with pytest.raises(ImproperlyConfigured, match="no module 'no_such_app'"):
        load_app("no_such_app:app")
    with pytest.raises(ImproperlyConfigured, match="'shopping:nothing' is no Caraway app"):
        load_app("shopping:nothing")
    with pytest.raises(ImproperlyConfigured, match="name it as module:attribute"):
        load_app("shopping")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_app("shopless")


# -- sending by name ------------------------------------------------------------------------------


def test_a_task_can_be_sent_by_its_name_without_its_code() -> None:
    stage = Stage(task_routes={"reports.*": {"queue": "reports"}})
    result = stage.app.send_task("reports.generate", args=[3], kwargs={"deep": True})
    (message,) = stage.sent("reports")
    assert (message.id, message.task) == (result.id, "reports.generate")
    assert (message.args, message.kwargs) == ((3,), {"deep": True})


def test_a_task_sent_by_its_name_has_the_options_of_its_declaration() -> None:
    stage = Stage(task_queues=[Queue("sums")])
    stage.app.task(name="add", queue="sums", time_limit=5)(add)
    stage.app.send_task("add", (1, 2))
    (message,) = stage.sent("sums")
    assert message.time_limit == 5
    stage.work()
    assert stage.app.AsyncResult(message.id).get() == 3


@pytest.mark.parametrize("name", ["broker", "backend", "confg"])
def test_an_argument_of_celerys_app_is_refused_with_what_takes_its_place(name: str) -> None:
    options: dict[str, Any] = {name: "redis://"}
    with pytest.raises(UnknownOption, match=f"takes no '{name}'"):
        Caraway("shop", **options)


def test_threads_that_come_at_once_share_one_way_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    first_is_made = threading.Event()
    others_wait = threading.Event()

    class Port:
        def __init__(self, _settings: object) -> None:
            made.append(self)
            first_is_made.set()
            others_wait.wait(PATIENCE_S)

        def close(self) -> None: ...

    monkeypatch.setattr("caraway.aws.blocking_aws.BlockingAws", Port)
    app = Caraway("shop")
    ports: list[object] = []
    threads = [threading.Thread(target=lambda: ports.append(app.aws)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert first_is_made.wait(PATIENCE_S)
    others_wait.set()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert ports == made * 4


def test_a_forked_child_does_not_wait_for_a_thread_that_it_does_not_have() -> None:
    app = Caraway("shop")

    def in_the_child() -> None:
        app.forget_clients()
        assert app.aws is not None

    with app._making:  # as another thread of the parent may hold it at the fork
        child = threading.Thread(target=in_the_child)
        child.start()
        child.join(PATIENCE_S)
        assert not child.is_alive()
    app.close()
