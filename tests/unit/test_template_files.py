"""The files around the templates: the worker's entry point, LocalStack's hook, package, events."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.exceptions import InvalidMessage
from caraway.workers.pools import POOLS

ROOT = Path(__file__).parents[2]
EVENTS = sorted((ROOT / "events").glob("*.json"))
GOOD_EVENTS = [path for path in EVENTS if path.name != "sqs-bad-input.json"]


def pins(path: Path) -> set[str]:
    """Lines ``name==version`` of a requirements file."""
    return set(re.findall(r"^[\w.-]+==\S+$", path.read_text(), re.MULTILINE))


def put_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_worker_takes_the_entry_points_place_so_that_signals_reach_it(tmp_path: Path) -> None:
    put_program(tmp_path, "caraway", 'echo "$$ $*"')
    process = subprocess.Popen(
        [ROOT / "infra" / "entrypoint.sh", "-Q", "large"],
        env={"PATH": f"{tmp_path}:{os.defpath}", "CARAWAY_APP": "shop:app"},
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=120)
    assert output == f"{process.pid} worker -A shop:app -Q large\n"


def test_the_entry_point_says_when_no_app_is_named() -> None:
    done = subprocess.run(
        [ROOT / "infra" / "entrypoint.sh"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "CARAWAY_APP" in done.stderr
    assert "module:attribute" in done.stderr


def test_the_service_takes_every_pool_that_a_worker_has() -> None:
    template = (ROOT / "infra" / "ecs.yaml").read_text()
    (allowed,) = re.findall(
        r"^  Pool:\n.*\n.*\n    AllowedValues: \[(.*)\]$", template, re.MULTILINE
    )
    assert tuple(allowed.split(", ")) == POOLS


def test_the_image_starts_the_entry_point_without_a_shell_around_it() -> None:
    dockerfile = (ROOT / "infra" / "Dockerfile").read_text()
    assert re.search(r'^ENTRYPOINT \["caraway-entrypoint"\]$', dockerfile, re.MULTILINE)
    assert re.search(r"^USER caraway$", dockerfile, re.MULTILINE)


def test_the_image_copies_only_what_the_build_context_lets_in() -> None:
    dockerfile = (ROOT / "infra" / "Dockerfile").read_text()
    ignored = (ROOT / "infra" / "Dockerfile.dockerignore").read_text().split()
    assert ignored[0] == "*"
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
        for source in line.split()
        if not source.startswith("--")
    }
    assert copied == {entry[1:] for entry in ignored if entry.startswith("!")}


@pytest.fixture
def hook(tmp_path: Path) -> dict[str, str]:
    """Environment of LocalStack's hook, whose ``awslocal`` only notes what it is asked."""
    programs = tmp_path / "programs"
    programs.mkdir()
    put_program(programs, "awslocal", f'echo "$@" >> {tmp_path / "asked"}')
    return {
        "PATH": f"{programs}:{os.defpath}",
        "TMPDIR": str(tmp_path),
        "CARAWAY_FOLDER": str(tmp_path),
    }


def run_hook(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "localstack" / "ready.d" / "deploy.sh"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_localstacks_hook_packages_and_deploys_the_template(
    hook: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "build" / "lambda" / "caraway").mkdir(parents=True)
    done = run_hook({**hook, "CARAWAY_APP": "shop:app"})
    assert done.returncode == 0, done.stderr
    make_bucket, package, deploy = (tmp_path / "asked").read_text().splitlines()
    assert make_bucket == "s3 mb s3://caraway-deploy"
    assert f"--template-file {tmp_path}/template.yaml" in package
    assert "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND" in deploy
    assert "App=shop:app" in deploy


def test_localstacks_hook_says_when_the_package_is_not_built(
    hook: dict[str, str], tmp_path: Path
) -> None:
    done = run_hook(hook)
    assert done.returncode == 1
    assert "make package" in done.stderr
    assert not (tmp_path / "asked").exists()


def test_the_lambda_package_is_pinned_to_what_was_tested() -> None:
    package = pins(ROOT / "requirements" / "lambda.txt")
    assert package
    assert package <= pins(ROOT / "requirements" / "dev.lock")


def test_caraway_is_declared_in_the_lambda_package() -> None:
    lines = (ROOT / "requirements" / "lambda.txt").read_text().splitlines()
    assert "caraway[lambda]" in lines


def test_the_packages_template_is_the_projects() -> None:
    link = ROOT / "src" / "caraway" / "local" / "template.yaml"
    assert link.samefile(ROOT / "template.yaml")


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_sample_events_look_like_those_of_sqs(path: Path) -> None:
    records = json.loads(path.read_text())["Records"]
    assert records
    assert len({record["messageId"] for record in records}) == len(records)
    for record in records:
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
        fifo = record["eventSourceARN"].endswith(".fifo")
        assert ("MessageGroupId" in record["attributes"]) is fifo


@pytest.mark.parametrize("path", GOOD_EVENTS, ids=lambda path: path.stem)
def test_sample_events_carry_task_messages(path: Path) -> None:
    for record in json.loads(path.read_text())["Records"]:
        assert read_message(parse_envelope(record["body"])).task


def test_the_bad_sample_holds_what_cannot_be_read_and_an_unknown_task() -> None:
    not_a_task, from_the_future, unknown_task = (
        record["body"]
        for record in json.loads((ROOT / "events" / "sqs-bad-input.json").read_text())["Records"]
    )
    for body in (not_a_task, from_the_future):
        with pytest.raises(InvalidMessage):
            parse_envelope(body)
    assert "no_such_task" in read_message(parse_envelope(unknown_task)).task
