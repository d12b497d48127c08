"""The function gets new code, and keeps the old one if the new one cannot run."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from caraway.exceptions import LocalError
from caraway.local.function import replace_code, warm_up


class Lambda:
    """Lambda and S3 with one function; code that begins with ``bad`` cannot run."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.updates: list[bytes] = []
        self._objects: dict[str, bytes] = {}
        self.meta = self
        self.region_name = "us-east-1"

    def __call__(self, _service: str) -> Lambda:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "1"}

    def head_bucket(self, **_: str) -> None:
        pass

    def list_objects_v2(self, **_: str) -> dict[str, int]:
        return {"KeyCount": 0}

    def put_object(self, *, Key: str, Body: bytes, **_: str) -> None:
        self._objects[Key] = Body

    def get_function_configuration(self, **_: str) -> dict[str, str]:
        return {"CodeSha256": base64.b64encode(hashlib.sha256(self.code).digest()).decode()}

    def update_function_code(self, *, S3Key: str, **_: str) -> None:
        self.code = self._objects[S3Key]
        self.updates.append(self.code)

    def get_waiter(self, _name: str) -> Lambda:
        return self

    def wait(self, **_: str) -> None:
        pass

    def invoke(self, **_: object) -> dict[str, Any]:
        if not self.code.startswith(b"bad"):
            return {}
        error = json.dumps({"errorMessage": "No module named 'x'"}).encode()
        return {"FunctionError": "Unhandled", "Payload": io.BytesIO(error)}


def zip_of(folder: Path, content: bytes) -> Path:
    path = folder / content.decode()
    path.write_bytes(content)
    return path


def test_a_function_that_cannot_start_is_told() -> None:
    with pytest.raises(LocalError, match="cannot run your code: No module named 'x'"):
        warm_up(Lambda(b"bad"), "worker")


def test_new_code_replaces_the_old(tmp_path: Path) -> None:
    aws = Lambda(b"old")
    replace_code(aws, "worker", zip_of(tmp_path, b"new"), zip_of(tmp_path, b"old"))
    assert aws.code == b"new"


def test_code_that_cannot_run_is_taken_back(tmp_path: Path) -> None:
    aws = Lambda(b"old")
    with pytest.raises(LocalError, match="cannot run your code"):
        replace_code(aws, "worker", zip_of(tmp_path, b"bad"), zip_of(tmp_path, b"old"))
    assert aws.code == b"old"


def test_the_code_that_it_has_is_not_sent_again(tmp_path: Path) -> None:
    aws = Lambda(b"old")
    replace_code(aws, "worker", zip_of(tmp_path, b"old"), zip_of(tmp_path, b"older"))
    assert aws.updates == []
