"""Deploys a user's app: its code, and every queue that it declares, consumed as it declares."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import LocalError
from caraway.lean import dataclass
from caraway.local.cache import say_nothing
from caraway.local.deploy import deploy
from caraway.local.package import build_package
from caraway.local.template import load_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caraway.core.routing import Queue
    from caraway.local.cache import Progress
    from caraway.local.deploy import ClientFactory
    from caraway.local.project import Project
    from caraway.local.template import Template

TEMPLATE: Final = Path(__file__).with_name("template.yaml")
"""Caraway's own template."""

_FUNCTION: Final = "AWS::Serverless::Function"
_QUEUE: Final = "AWS::SQS::Queue"


@dataclass(frozen=True)
class Deployed:
    """A stack that holds an app.

    Attributes
    ----------
    outputs
        The stack's.
    function
        Name of the Lambda worker.
    holds_code
        Whether the project's code is in it: not if no queue of the app is consumed by Lambda.
    package
        The zip that the function runs.
    """

    outputs: Mapping[str, str]
    function: str
    holds_code: bool
    package: Path


def deploy_project(
    client: ClientFactory,
    project: Project,
    stack_name: str,
    *,
    build_dir: Path,
    template: Path = TEMPLATE,
    requirements: Path | None = None,
    parameters: Mapping[str, str] | None = None,
    progress: Progress = say_nothing,
) -> Deployed:
    """Package a project and deploy it, with all that its app declares.

    Parameters
    ----------
    client
        Makes the boto3 client of a service: ``engine.client``.
    build_dir
        Folder for the package, and for the template as it is deployed.
    template
        A SAM template with the parameters ``App`` and ``Prefix``; Caraway's own by default.
    requirements
        What the code needs, if not the project's own requirements file.
    parameters
        Values for more of the template's parameters.
    progress
        Is told what takes time.

    Raises
    ------
    LocalError
        If the package cannot be built, the template cannot hold the app, or AWS refuses.
    """
    body = load_template(template)
    prefix = prefix_of(template, parameters)
    worker = function_of(body)
    # What only workers run need not be fit for Lambda, nor be installed for it.
    holds_code = any(queue.consumer == "lambda" for queue in project.queues)
    package = build_package(
        build_dir,
        (requirements or project.requirements) if holds_code else None,
        project.sources if holds_code else (),
        progress=progress,
    )
    whole = build_dir / "template.json"
    whole.write_text(json.dumps(template_for(body, project.queues, prefix)))
    outputs = deploy(
        client,
        whole,
        stack_name,
        parameters={"App": project.name, **(parameters or {})},
        code={worker: package},
        progress=progress,
    )
    found = client("cloudformation").describe_stack_resource(
        StackName=stack_name, LogicalResourceId=worker
    )
    return Deployed(
        outputs, found["StackResourceDetail"]["PhysicalResourceId"], holds_code, package
    )


def prefix_of(template: Path, parameters: Mapping[str, str] | None = None) -> str:
    """Return what goes before the names of everything in a template that can hold an app.

    Raises
    ------
    LocalError
        If it cannot, having no parameter ``App`` or ``Prefix``.
    """
    known = load_template(template).get("Parameters", {})
    for name in ("App", "Prefix"):
        if name not in known:
            raise LocalError(
                f"{template} has no parameter {name}: see docs/deploy.md for a template of your own"
            )
    return (parameters or {}).get("Prefix") or str(known["Prefix"].get("Default", ""))


def function_of(template: Template) -> str:
    """Return the logical id of the template's Lambda worker.

    Raises
    ------
    LocalError
        If it has none, or several and none is named ``Worker``.
    """
    functions: list[str] = [
        name for name, each in template["Resources"].items() if each.get("Type") == _FUNCTION
    ]
    if "Worker" in functions:
        return "Worker"
    if len(functions) != 1:
        raise LocalError(
            "The template has no function named Worker: call the one that runs the tasks so"
        )
    return functions[0]


def template_for(template: Template, queues: Iterable[Queue], prefix: str) -> Template:
    """Return the template with every queue that the app declares, consumed as it is declared.

    Queues that are in the template stay, with the declared visibility timeout. Those that are not
    are added, with their dead-letter queues. The Lambda worker consumes the ``consumer="lambda"``
    queues of the app, and no other queue of the app.

    Parameters
    ----------
    template
        As :func:`~caraway.local.template.load_template` returns it; it is not changed.
    queues
        The app's.
    prefix
        The value of the template's parameter ``Prefix``.
    """
    template = deepcopy(template)
    resources = template["Resources"]
    known = {
        _queue_name(each, prefix): name
        for name, each in resources.items()
        if each.get("Type") == _QUEUE
    }
    events = resources[function_of(template)]["Properties"].setdefault("Events", {})
    for queue in queues:
        name = known.get(queue.sqs_name(prefix))
        if name is None:
            name = _add(resources, known, queue, prefix)
        else:
            properties = resources[name].setdefault("Properties", {})
            properties["VisibilityTimeout"] = queue.visibility_timeout_s
        consuming = [key for key, event in events.items() if _consumes(event, name)]
        if queue.consumer == "lambda" and not consuming:
            events[name] = _event(name)
        if queue.consumer == "ecs":
            for key in consuming:
                del events[key]
    return template


def _queue_name(resource: dict[str, Any], prefix: str) -> str:
    """Return the name of a queue in a template, where it is given as usual."""
    name = resource.get("Properties", {}).get("QueueName", "")
    if isinstance(name, dict):
        name = name.get("Fn::Sub", "")
    return str(name).replace("${Prefix}", prefix)


def _add(resources: dict[str, Any], known: dict[str, str], queue: Queue, prefix: str) -> str:
    """Add a queue with its dead-letter queue, unless that is there; return its logical id."""
    dead_name = queue.dead_letter_sqs_name(prefix)
    if dead_name not in known:
        known[dead_name] = _logical_id(resources, dead_name)
        resources[known[dead_name]] = _queue(dead_name, queue, {})
    own_name = queue.sqs_name(prefix)
    known[own_name] = _logical_id(resources, own_name)
    resources[known[own_name]] = _queue(
        own_name,
        queue,
        {
            "VisibilityTimeout": queue.visibility_timeout_s,
            "ReceiveMessageWaitTimeSeconds": 20,
            "RedrivePolicy": {
                "deadLetterTargetArn": {"Fn::GetAtt": [known[dead_name], "Arn"]},
                "maxReceiveCount": queue.max_receive_count,
            },
        },
    )
    return known[own_name]


def _queue(name: str, queue: Queue, properties: dict[str, Any]) -> dict[str, Any]:
    # EventBridge sends to a FIFO queue only if content tells duplicates; Caraway names its own.
    fifo = {"FifoQueue": True, "ContentBasedDeduplication": True} if queue.fifo else {}
    return {
        "Type": _QUEUE,
        "Properties": {
            "QueueName": name,
            "MessageRetentionPeriod": queue.retention_s,
            **fifo,
            **properties,
        },
    }


def _logical_id(resources: dict[str, Any], name: str) -> str:
    """Return a free logical id: letters and digits."""
    wanted = "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", name)) + "Queue"
    id, number = wanted, 1
    while id in resources:
        number += 1
        id = f"{wanted}{number}"
    return id


def _consumes(event: dict[str, Any], queue: str) -> bool:
    """Say whether an event of the function is the queue of that logical id."""
    source = event.get("Properties", {}).get("Queue")
    return event.get("Type") == "SQS" and source == {"Fn::GetAtt": [queue, "Arn"]}


def _event(queue: str) -> dict[str, Any]:
    return {
        "Type": "SQS",
        "Properties": {
            "Queue": {"Fn::GetAtt": [queue, "Arn"]},
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    }
