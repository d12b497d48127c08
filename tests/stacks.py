"""Templates with their parameters filled in: what CloudFormation makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caraway.local.template import load_template

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SAM, ECS = ROOT / "template.yaml", ROOT / "infra" / "ecs.yaml"

ACCOUNT, REGION = "123456789012", "eu-west-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "stack",
    "AWS::NoValue": None,
}


class Stack:
    """A template with its parameters filled in: what CloudFormation would make of it."""

    def __init__(self, path: Path, **parameters: Any) -> None:
        template = load_template(path)
        self.parameters: dict[str, Any] = template["Parameters"]
        self._mappings = template.get("Mappings", {})
        self._conditions = template.get("Conditions", {})
        self._values = {
            **PSEUDO,
            **{name: parameter.get("Default", name) for name, parameter in self.parameters.items()},
            **parameters,
        }
        self.resources: dict[str, Any] = {
            name: self.resolve(resource)
            for name, resource in template["Resources"].items()
            if "Condition" not in resource or self._holds(resource["Condition"])
        }
        self.outputs = self.resolve(template["Outputs"])

    def of_type(self, kind: str) -> dict[str, Any]:
        """Properties of the resources of one type, by logical id."""
        return {
            name: resource["Properties"]
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def resolve(self, value: Any) -> Any:
        """Fill in a value; references to resources become the words ``Name`` and ``Name.Arn``."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), *_ = value.items()
            if function == "Ref":
                return self._values.get(argument, argument)
            if function.startswith("Fn::"):
                return self._call(function.removeprefix("Fn::"), argument)
        return {key: filled for key in value if (filled := self.resolve(value[key])) is not None}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "If":
            return self.resolve(argument[1 if self._holds(argument[0]) else 2])
        argument = self.resolve(argument)
        match function:
            case "GetAtt":
                return ".".join(argument)
            case "Sub":
                return re.sub(r"\$\{(.+?)\}", lambda m: str(self.resolve({"Ref": m[1]})), argument)
            case "FindInMap":
                return self._mappings[argument[0]][str(argument[1])][argument[2]]
            case "Equals":
                return str(argument[0]) == str(argument[1])
            case "Not":
                return not argument[0]
            case "Join":
                parts = argument[1]
                return argument[0].join(parts if isinstance(parts, list) else [parts])
        raise AssertionError(f"The test does not know Fn::{function}")

    def _holds(self, condition: str) -> bool:
        return bool(self.resolve(self._conditions[condition]))


def statements(stack: Stack) -> Iterator[dict[str, Any]]:
    """Statements of what roles and managed policies allow."""
    for _, document in policies(stack):
        yield from document["Statement"]


def policies(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of what roles and managed policies allow, each with its resource's logical id."""
    for name, role in stack.of_type("AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            yield name, policy["PolicyDocument"]
    for name, policy in stack.of_type("AWS::IAM::ManagedPolicy").items():
        yield name, policy["PolicyDocument"]
