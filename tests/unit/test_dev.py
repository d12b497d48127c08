"""What ``caraway dev`` makes of an app: its code, its queues, its environment, its logs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Queue
from caraway.core.schedule_store import ScheduleStore
from caraway.core.scheduling import Scheduling
from caraway.core.stored import Owner
from caraway.core.stores import Stores
from caraway.exceptions import LocalError
from caraway.local.engine import LocalEngine
from caraway.local.environ import exports, foreseen, surroundings
from caraway.local.logs import FunctionLog, Record, readable
from caraway.local.project import Project
from caraway.local.provision import TEMPLATE, deploy_project, function_of, prefix_of, template_for
from caraway.local.template import load_template
from caraway.local.worker import LocalWorker

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "caraway-"
OUTPUTS = {"Prefix": "caraway-", "TaskTable": "caraway-tasks", "PayloadBucket": "payloads"}
SCHEDULER = {
    "SchedulerRoleArn": "arn:aws:iam::000000000000:role/stack-SchedulerRole-1",
    "ScheduleGroup": "caraway-schedules",
}


def with_queues(*queues: Queue) -> dict[str, Any]:
    resources: dict[str, Any] = template_for(load_template(TEMPLATE), queues, PREFIX)["Resources"]
    return resources


def consumed(resources: dict[str, Any]) -> set[str]:
    """Return the logical ids of the queues that the Lambda worker consumes."""
    events = resources["Worker"]["Properties"]["Events"].values()
    return {event["Properties"]["Queue"]["Fn::GetAtt"][0] for event in events}


# -- queues ---------------------------------------------------------------------------------------


def test_an_app_with_the_templates_queues_gets_the_template() -> None:
    resources = with_queues(Queue("default"), Queue("large", consumer="ecs"))
    assert resources.keys() == load_template(TEMPLATE)["Resources"].keys()
    assert consumed(resources) == {"DefaultQueue"}
    assert resources["DefaultQueue"]["Properties"]["VisibilityTimeout"] == 360


def test_another_queue_is_added_with_its_dead_letter_queue_and_its_consumer() -> None:
    resources = with_queues(Queue("default"), Queue("priority", visibility_timeout_s=90))
    queue = resources["CarawayPriorityQueue"]["Properties"]
    dead = resources["CarawayPriorityDlqQueue"]["Properties"]
    assert (queue["QueueName"], dead["QueueName"]) == ("caraway-priority", "caraway-priority-dlq")
    assert queue["VisibilityTimeout"] == 90
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": ["CarawayPriorityDlqQueue", "Arn"]},
        "maxReceiveCount": 1000,
    }
    assert consumed(resources) == {"DefaultQueue", "CarawayPriorityQueue"}
    event = resources["Worker"]["Properties"]["Events"]["CarawayPriorityQueue"]["Properties"]
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_fifo_queue_and_its_dead_letter_queue_are_fifo() -> None:
    resources = with_queues(Queue("orders.fifo"))
    for id, name in {
        "CarawayOrdersFifoQueue": "caraway-orders.fifo",
        "CarawayOrdersDlqFifoQueue": "caraway-orders-dlq.fifo",
    }.items():
        assert resources[id]["Properties"]["QueueName"] == name
        assert resources[id]["Properties"]["FifoQueue"] is True
        assert resources[id]["Properties"]["ContentBasedDeduplication"] is True


def test_a_queue_for_ecs_is_not_consumed_by_the_function_even_if_it_is_the_default() -> None:
    resources = with_queues(Queue("default", consumer="ecs"), Queue("reports", consumer="ecs"))
    assert consumed(resources) == set()
    assert resources["CarawayReportsQueue"]["Properties"]["VisibilityTimeout"] == 360


def test_queues_may_share_a_dead_letter_queue_and_names_that_look_alike_stay_apart() -> None:
    resources = with_queues(
        Queue("a-b", dead_letter_queue="graveyard"), Queue("a_b", dead_letter_queue="graveyard")
    )
    names = [
        each["Properties"]["QueueName"]
        for each in resources.values()
        if each["Type"] == "AWS::SQS::Queue"
    ]
    assert [names.count(PREFIX + name) for name in ("a-b", "a_b", "graveyard")] == [1, 1, 1]


def test_the_template_that_was_given_is_not_changed() -> None:
    template = load_template(TEMPLATE)
    before = json.dumps(template)
    template_for(template, [Queue("default", consumer="ecs"), Queue("more")], PREFIX)
    assert json.dumps(template) == before


def test_the_worker_function_is_named_worker_or_the_only_one() -> None:
    function = {"Type": "AWS::Serverless::Function"}
    assert function_of({"Resources": {"Other": function, "Worker": function}}) == "Worker"
    assert function_of({"Resources": {"Tasks": function, "Q": {"Type": "X"}}}) == "Tasks"
    with pytest.raises(LocalError, match="no function named Worker"):
        function_of({"Resources": {"One": function, "Two": function}})


# -- the project ----------------------------------------------------------------------------------


@pytest.fixture
def in_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, str], str], Project]:
    """Write files into a folder, and load the app from there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)

    def load(files: dict[str, str], name: str) -> Project:
        for file, content in files.items():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(content)
        try:
            return Project.load(name)
        finally:
            for module in set(sys.modules) - known:
                monkeypatch.delitem(sys.modules, module)

    return load


APP = "from caraway import Caraway\ncelery = Caraway('shop', set_as_current=False)\n"


def test_the_code_is_what_lies_beside_the_module_of_the_app(
    in_folder: Callable[[dict[str, str], str], Project], tmp_path: Path
) -> None:
    project = in_folder(
        {
            "a_shop.py": APP,
            "beside.py": "",
            "requirements.txt": "caraway\n",
            ".venv/pyvenv.cfg": "",
            "tests/test_it.py": "",
        },
        "a_shop:celery",
    )
    assert project.name == "a_shop:celery"
    assert project.sources == (tmp_path / "a_shop.py", tmp_path / "beside.py")
    assert project.requirements == tmp_path / "requirements.txt"


def test_an_app_in_a_package_brings_the_package_and_may_be_named_by_its_module_alone(
    in_folder: Callable[[dict[str, str], str], Project], tmp_path: Path
) -> None:
    project = in_folder({"b_shop/__init__.py": "", "b_shop/tasks.py": APP}, "b_shop.tasks")
    assert project.name == "b_shop.tasks:celery"
    assert project.sources == (tmp_path / "b_shop",)
    assert project.requirements is None


def test_a_package_without_an_init_file_is_found_too(
    in_folder: Callable[[dict[str, str], str], Project], tmp_path: Path
) -> None:
    project = in_folder({"c_shop/tasks.py": APP}, "c_shop.tasks:celery")
    assert project.sources == (tmp_path / "c_shop",)


def test_the_folders_of_what_the_app_imports_are_known_and_nothing_installed_is_among_them(
    in_folder: Callable[[dict[str, str], str], Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    monkeypatch.syspath_prepend(str(tmp_path / "apart/site-packages"))
    project = in_folder(
        {
            "g_shop.py": f"import g_lib, g_single, g_installed\n{APP}",
            "beside/__init__.py": "",
            "elsewhere/g_lib/__init__.py": "",
            "elsewhere/g_single.py": "",
            "apart/site-packages/g_installed/__init__.py": "",
        },
        "g_shop:celery",
    )
    assert {tmp_path / "beside", tmp_path / "elsewhere" / "g_lib"} <= project.folders
    assert {tmp_path, tmp_path / "elsewhere"} <= project.flat_folders
    every = project.folders | project.flat_folders
    assert not any("site-packages" in place.parts for place in every)
    assert Path(os.__file__).parent not in every


def test_of_an_installed_app_only_its_own_package_is_taken(
    in_folder: Callable[[dict[str, str], str], Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(installed))
    project = in_folder(
        {"site-packages/d_shop.py": APP, "site-packages/boto9.py": ""}, "d_shop:celery"
    )
    assert project.sources == (installed / "d_shop.py",)


def test_caraway_itself_is_in_every_package_anyway() -> None:
    assert Project.load("caraway.demo.app:app").sources == ()


# -- the environment ------------------------------------------------------------------------------


def started_engine() -> LocalEngine:
    engine = LocalEngine(region="eu-west-1")
    engine.endpoint_url = "http://127.0.0.1:4566"
    return engine


def test_a_producer_needs_the_endpoint_any_credentials_and_the_names() -> None:
    exported = exports(started_engine(), OUTPUTS)
    wanted = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
        "CARAWAY_QUEUE_NAME_PREFIX": "caraway-",
        "CARAWAY_TASK_TABLE": "caraway-tasks",
        "CARAWAY_PAYLOAD_BUCKET": "payloads",
    }
    assert wanted.items() <= exported.items()


def test_a_template_without_the_outputs_is_told() -> None:
    with pytest.raises(LocalError, match="no output PayloadBucket, TaskTable"):
        exports(started_engine(), {"Prefix": "x-"})


def test_a_producer_needs_the_role_and_the_group_of_schedules_where_the_template_makes_them() -> (
    None
):
    exported = exports(started_engine(), OUTPUTS | SCHEDULER)
    assert exported["CARAWAY_SCHEDULER_ROLE_ARN"] == SCHEDULER["SchedulerRoleArn"]
    assert exported["CARAWAY_SCHEDULER_GROUP_NAME"] == "caraway-schedules"
    assert not [name for name in exports(started_engine(), OUTPUTS) if "SCHEDULER" in name]


SCHEDULED = APP + "celery.conf.beat_schedule = {'hourly': {'task': 'x', 'schedule': 3600}}\n"


def loaded_before_the_stack(
    in_folder: Callable[[dict[str, str], str], Project],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    template: dict[str, Any],
    said: str = "",
) -> Project:
    """Load an app as it is before there is a stack, of that template."""
    for name in [each for each in os.environ if each.startswith("CARAWAY_SCHEDULER")]:
        monkeypatch.delenv(name)
    for name, value in foreseen(template).items():
        monkeypatch.setenv(name, value)
    return in_folder({f"{module}.py": SCHEDULED + said}, f"{module}:celery")


def test_an_apps_schedules_are_kept_by_the_scheduler_that_the_template_makes(
    in_folder: Callable[[dict[str, str], str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = loaded_before_the_stack(in_folder, monkeypatch, "time_shop", load_template(TEMPLATE))
    stores = project.stores_in(OUTPUTS | SCHEDULER)
    assert stores is not None
    role = SCHEDULER["SchedulerRoleArn"]
    assert stores.current == ScheduleStore(Owner("shop"), "caraway-schedules", role)
    assert stores.other.kind == "rule"  # what an earlier start has kept there is moved


def test_an_apps_schedules_are_rules_where_the_template_makes_no_scheduler(
    in_folder: Callable[[dict[str, str], str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = loaded_before_the_stack(in_folder, monkeypatch, "rule_shop", {"Outputs": OUTPUTS})
    stores = project.stores_in(OUTPUTS)
    assert stores is not None
    assert stores.current.kind == "rule"


def test_the_role_and_the_group_of_the_stack_win_over_those_in_the_code(
    in_folder: Callable[[dict[str, str], str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = loaded_before_the_stack(
        in_folder,
        monkeypatch,
        "group_shop",
        load_template(TEMPLATE),
        "celery.conf.scheduler_role_arn = 'arn:aws:iam::111111111111:role/production'\n"
        "celery.conf.scheduler_group_name = 'production'\n",
    )
    assert project.stores_in(OUTPUTS | SCHEDULER) == Stores.of(
        Owner("shop"), Scheduling(SCHEDULER["SchedulerRoleArn"], "caraway-schedules")
    )


def test_nothing_of_the_callers_aws_settings_holds_locally(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://elsewhere")
    monkeypatch.setenv("CARAWAY_TASK_TABLE", "of-an-earlier-run")
    monkeypatch.setenv("CARAWAY_SCHEDULER_ROLE_ARN", "arn:aws:iam::000000000000:role/of-another")
    monkeypatch.setenv("CARAWAY_WORKER_CONCURRENCY", "3")
    found = surroundings({"AWS_REGION": "eu-west-1"})
    assert found.keys().isdisjoint(
        {
            "AWS_PROFILE",
            "AWS_ENDPOINT_URL_SQS",
            "CARAWAY_TASK_TABLE",
            "CARAWAY_SCHEDULER_ROLE_ARN",
        }
    )
    assert found["CARAWAY_WORKER_CONCURRENCY"] == "3"
    assert found["AWS_REGION"] == "eu-west-1"
    assert found["PATH"] == os.environ["PATH"]


# -- logs -----------------------------------------------------------------------------------------


def test_the_workers_json_is_read_to_a_person_and_other_lines_stay() -> None:
    entry = {"level": "ERROR", "message": "Task x failed", "exception": "Traceback\nValueError"}
    assert readable(json.dumps(entry)) == Record("Task x failed\nTraceback\nValueError", "ERROR")
    assert readable("printed\n") == Record("printed")
    assert readable('{"of": "the task"}') == Record('{"of": "the task"}')


class Logs:
    """CloudWatch Logs and Lambda, as far as a log is read."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] | None = None

    def __call__(self, _service: str) -> Logs:
        return self

    def get_function_configuration(self, **_: str) -> dict[str, Any]:
        return {"LoggingConfig": {"LogGroup": "/its/group"}}

    def get_paginator(self, _operation: str) -> Logs:
        return self

    def paginate(self, *, logGroupName: str, startTime: int) -> list[dict[str, Any]]:
        assert logGroupName == "/its/group"
        if self.events is None:
            raise self.exceptions.ResourceNotFoundException
        return [{"events": [each for each in self.events if each["timestamp"] >= startTime]}]


def texts(log: FunctionLog) -> list[str]:
    return [record.text for record in log.new_records()]


def test_each_line_of_a_functions_log_is_read_once() -> None:
    logs = Logs()
    log = FunctionLog(logs, "worker")
    assert texts(log) == []
    at = 2**41

    def event(offset: int, message: str) -> dict[str, Any]:
        return {"timestamp": at + offset, "logStreamName": "a", "message": message}

    logs.events = [event(0, "START RequestId: 1"), event(0, "same"), event(0, "same")]
    assert texts(log) == ["same", "same"]
    assert texts(log) == []
    logs.events += [event(0, "same"), event(1, "next")]
    assert texts(log) == ["same", "next"]
    assert texts(log) == []


# -- the worker -----------------------------------------------------------------------------------


def test_a_worker_that_ends_at_once_is_told_with_what_it_said() -> None:
    worker = LocalWorker(["-A", "no_such_module:app"], os.environ)
    with pytest.raises(LocalError, match=r"ended by itself[^$]*no module 'no_such_module'"):
        worker.start()
    worker.stop()


def test_a_template_of_another_kind_is_told(tmp_path: Path) -> None:
    template = tmp_path / "mine.yaml"
    template.write_text("Parameters: {App: {Type: String}}\nResources: {Q: {Type: X}}\n")
    with pytest.raises(LocalError, match=r"mine\.yaml has no parameter Prefix"):
        prefix_of(template)


@pytest.mark.parametrize("consumer", ["lambda", "ecs"])
def test_code_that_only_workers_run_does_not_go_to_lambda(
    consumer: str,
    in_folder: Callable[[dict[str, str], str], Project],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    queue = f"celery.conf.task_queues = [{{'name': 'default', 'consumer': '{consumer}'}}]\n"
    name = f"f_shop_{consumer}"
    project = in_folder({f"{name}.py": APP + queue, "requirements.txt": "heavy\n"}, name)
    packaged: list[tuple[Any, ...]] = []

    def build(folder: Path, requirements: Path | None, sources: Any, **_: Any) -> Path:
        packaged.append((requirements and requirements.name, [each.name for each in sources]))
        return folder

    monkeypatch.setattr("caraway.local.provision.build_package", build)
    monkeypatch.setattr("caraway.local.provision.deploy", lambda *_args, **_kwargs: {})
    found = {"StackResourceDetail": {"PhysicalResourceId": "worker"}}
    cloudformation = SimpleNamespace(describe_stack_resource=lambda **_: found)
    deployed = deploy_project(lambda _service: cloudformation, project, "s", build_dir=tmp_path)
    holds = consumer == "lambda"
    assert deployed.holds_code is holds
    assert packaged == [("requirements.txt", [f"{name}.py"]) if holds else (None, [])]
