"""A template's short tags are written out, and what is no template is refused."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from caraway.exceptions import LocalError
from caraway.local.template import load_template

if TYPE_CHECKING:
    from pathlib import Path


def load(tmp_path: Path, value: str) -> Any:
    path = tmp_path / "template.yaml"
    path.write_text(f"Resources:\n  Thing: {value}\n")
    return load_template(path)["Resources"]["Thing"]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("!Ref Queue", {"Ref": "Queue"}),
        ("!Condition IsLarge", {"Condition": "IsLarge"}),
        ("!GetAtt Queue.Arn", {"Fn::GetAtt": ["Queue", "Arn"]}),
        ("!GetAtt Nested.Outputs.Arn", {"Fn::GetAtt": ["Nested", "Outputs.Arn"]}),
        ("!GetAtt [Queue, Arn]", {"Fn::GetAtt": ["Queue", "Arn"]}),
        ("!Sub '${A}-b'", {"Fn::Sub": "${A}-b"}),
        ("!Sub ['${A}', {A: !Ref B}]", {"Fn::Sub": ["${A}", {"A": {"Ref": "B"}}]}),
        ("!If [C, !Ref A, [!Ref B]]", {"Fn::If": ["C", {"Ref": "A"}, [{"Ref": "B"}]]}),
        ("!Equals [!Ref A, '']", {"Fn::Equals": [{"Ref": "A"}, ""]}),
        (
            "!Transform {N: M, P: {Q: !Ref R}}",
            {"Fn::Transform": {"N": "M", "P": {"Q": {"Ref": "R"}}}},
        ),
        ("{Version: 2012-10-17}", {"Version": "2012-10-17"}),
        ("{Enabled: true, Size: 3}", {"Enabled": True, "Size": 3}),
    ],
)
def test_short_tags_are_written_out(tmp_path: Path, short: str, long: object) -> None:
    loaded = load(tmp_path, short)
    assert loaded == long
    json.dumps(loaded)


def test_a_json_template_is_a_template(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"Resources": {"Thing": {"Ref": "Queue"}}}))
    assert load_template(path) == {"Resources": {"Thing": {"Ref": "Queue"}}}


@pytest.mark.parametrize("content", ["just words", "- a\n- list", "Resources: []", "a: [1", "{}"])
def test_what_is_no_template_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(content)
    with pytest.raises(LocalError, match=r"template\.yaml is not a template"):
        load_template(path)


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"none\.yaml cannot be read"):
        load_template(tmp_path / "none.yaml")


def test_without_pyyaml_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(LocalError, match=r"pip install 'caraway\[dev\]'"):
        load_template(tmp_path / "template.yaml")
