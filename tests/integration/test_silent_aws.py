"""A worker whose AWS takes requests and never answers them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE_S = 60

APP = """
from caraway import Caraway, Queue
app = Caraway("shop")
app.conf.update(task_queues=[Queue("default", consumer="ecs")])
"""


@pytest.mark.parametrize(("signals", "code"), [(1, 0), (2, 1)])
def test_a_worker_stops_when_told_to_though_aws_never_answers(
    tmp_path: Path, signals: int, code: int
) -> None:
    (tmp_path / "shop.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        environ = {
            **os.environ,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        command = [sys.executable, "-m", "caraway", "worker", "-A", "shop:app"]
        with subprocess.Popen(
            [*command, "--shutdown-timeout", "1" if signals == 1 else "1000"],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as worker:
            try:
                assert worker.stderr is not None
                silent.accept()[0].detach()  # its first request is under way, and never answered
                for _ in range(signals):
                    worker.send_signal(signal.SIGTERM)
                    while "SIGTERM" not in worker.stderr.readline():
                        assert worker.poll() is None
                assert worker.wait(timeout=PATIENCE_S) == code
            finally:
                worker.kill()
