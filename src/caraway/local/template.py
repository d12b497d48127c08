"""Reads CloudFormation and SAM templates as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.exceptions import LocalError

if TYPE_CHECKING:
    from pathlib import Path

    import yaml

Template = dict[str, Any]
"""What a template says, in plain values that JSON knows."""


def load_template(path: Path) -> Template:
    """Read a YAML or JSON template, with its short tags written out.

    ``!Ref Queue`` becomes ``{"Ref": "Queue"}`` and ``!GetAtt Queue.Arn`` becomes
    ``{"Fn::GetAtt": ["Queue", "Arn"]}``, so the result can be sent as JSON.

    Raises
    ------
    LocalError
        If the file cannot be read, is not YAML or has no ``Resources``; or if PyYAML is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise LocalError("Templates are read with PyYAML: pip install 'caraway[dev]'") from error

    # libyaml's parser, where PyYAML has it, takes a tenth of the time. The class is our own, as
    # constructors are registered with it.
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    Loader: Any = type("Loader", (parser,), {})  # noqa: N806 - a class

    Loader.add_multi_constructor("!", _construct_tag)
    # AWSTemplateFormatVersion: 2010-09-09 is a string to CloudFormation, not a date.
    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
    try:
        template = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 - it is safe
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise LocalError(f"{path} is not a template: {error}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise LocalError(f"{path} is not a template: it has no Resources")
    return template


def _construct_tag(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    import yaml

    value: Any
    if isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = node.value
    if tag in {"Ref", "Condition"}:
        return {tag: value}
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{tag}": value}
