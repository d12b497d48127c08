"""What is seen of a run in which nothing moves any more, on the local engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.chaos.history import Write
from tests.chaos.lying import lying
from tests.chaos.proxy import Proxy
from tests.chaos.scenarios import BY_NAME
from tests.chaos.stage import Stage
from tests.chaos.waiting import unmoved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from caraway.local.engine import LocalEngine

pytestmark = pytest.mark.usefixtures("unmeasured")


@pytest.fixture
def stage(engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Yield a stage with a queue of its own: a visible message, a hidden and a delayed one."""
    queue = f"waiting-{uuid4()}"
    monkeypatch.setattr("tests.chaos.stage.PREFIX", queue.removesuffix("short"))
    with Proxy(engine.endpoint_url) as proxy:
        stage = Stage(engine, proxy, tmp_path, BY_NAME["calm"])
        sqs = engine.client("sqs")
        url = sqs.create_queue(QueueName=stage.queues[0])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"caraway": 1, "id": "hidden"}))
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"caraway": 1, "id": "visible"}))
        body = json.dumps({"caraway": 1, "id": "delayed"})
        sqs.send_message(QueueUrl=url, MessageBody=body, DelaySeconds=600)
        yield stage


def test_a_message_that_nobody_can_receive_now_is_not_lost(stage: Stage) -> None:
    seen = {each.id: each for each in lying(stage.engine, stage.queues)}
    assert {id: each.hidden_s > 0 for id, each in seen.items()} == {
        "hidden": True,
        "visible": False,
        "delayed": True,
    }
    assert [seen[id].receives for id in ("hidden", "visible", "delayed")] == [1, 0, 0]
    assert lying(stage.engine, stage.queues), "nothing is taken"


def test_where_everything_stands_is_said(stage: Stage) -> None:
    stage.proxy.noted.writes += [
        Write("ended", "t", "t", "done", state="SUCCESS"),
        Write("hidden", "t", "t", "running", open_at=1.0),
    ]
    stage.proxy.noted.under_way[0] = "sqs:ReceiveMessage", 0.0
    lines = unmoved(stage, {"ended", "hidden", "visible", "gone"}, ["worker 0: it runs"])
    said = "\n".join(lines)
    assert f"{stage.queues[0]}: 3 messages, 1 of them received before, 2 hidden, for" in said
    assert "worker 0: it runs" in lines
    assert "functions: 0 started" in said
    assert "under way: sqs:ReceiveMessage" in said
    tasks = {line.partition(":")[0]: line for line in lines[-4:]}
    assert "no record; hidden for" in tasks["delayed"]
    assert tasks["gone"] == "gone: no record; no message"
    assert "running since" in tasks["hidden"]
    assert tasks["visible"].startswith("visible: no record; visible on ")
