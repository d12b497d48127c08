"""A fresh process: the first send against bare boto3, a function's init against boto3's import.

Each runs in an interpreter of its own, in turn; the interpreter's own start is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.brokers import stub
from benchmarks.measures import say
from benchmarks.processes import ROOT
from benchmarks.systems import CELERY_LOCK, installed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.measures import Row, Scale

TIMES = 7
"""Of each in a round."""

FIRST_SEND = """
from caraway import Caraway, Queue
app = Caraway("bench")
app.conf.update(task_queues=[Queue("bench")], task_default_queue="bench")
@app.task(name="add")
def add(x: int, y: int) -> int:
    return x + y
add.delay(1, 2)
"""
BOTO3_SEND = """
import boto3, json, uuid
sqs = boto3.client("sqs")
url = sqs.get_queue_url(QueueName="bench")["QueueUrl"]
body = json.dumps({"id": str(uuid.uuid4()), "task": "add", "args": [1, 2]})
sqs.send_message(QueueUrl=url, MessageBody=body)
"""
CELERY_SEND = """
import benchmarks.peers.celery_app as it
it.work.delay(1)
"""
INIT = """
from caraway import Caraway
app = Caraway("bench")
for number in range(20):
    @app.task(name=f"task_{number}")
    def task(x: int, y: int = 2) -> int:
        return x + y
from caraway.workers.aws_lambda import lambda_handler
handler = lambda_handler(app)
"""
BOTO3_IMPORT = "import boto3"
_TIMED = """
import time
cpu, wall = time.process_time(), time.perf_counter()
{code}
taken = dict(cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall)
import json, sys
taken["modules"] = len(sys.modules)
taken["pydantic"] = "pydantic" in sys.modules
print(json.dumps(taken))
"""


def measure(scale: Scale) -> list[Row]:
    """Measure each in turn."""
    ours = sys.executable
    codes: list[tuple[str, str | Path, str]] = [
        ("first send", ours, FIRST_SEND),
        ("boto3 send", ours, BOTO3_SEND),
        ("init", ours, INIT),
        ("boto3 import", ours, BOTO3_IMPORT),
    ]
    if scale.has("celery"):
        codes.insert(2, ("celery send", installed(CELERY_LOCK), CELERY_SEND))
    rows: list[Row] = []
    with stub() as aws:
        for _, python, code in codes:  # so that all of it is compiled, and in the page cache
            run(python, code, aws.environ)
        for turn in range(scale.rounds):
            say(f"start-up, round {turn + 1}")
            for _ in range(scale.tasks(TIMES, least=2)):
                rows += [
                    {"round": turn, "what": what, **run(python, code, aws.environ)}
                    for what, python, code in codes
                ]
    return rows


def run(python: str | Path, code: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what a fresh interpreter takes for the code."""
    mine = {**environ, "PYTHONPATH": str(ROOT), "BENCH_MARKS": os.devnull}
    mine.pop("PYTHONDONTWRITEBYTECODE", None)  # else what is no package is compiled each time
    ran = subprocess.run(
        [str(python), "-c", _TIMED.format(code=code)],
        env=mine,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    taken: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return taken
