"""Every option of ``caraway worker`` that docs/cli.md lists, with a real worker process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from caraway import Queue
from caraway.cli.worker import command
from caraway.exceptions import LocalError
from tests.integration.conftest import PATIENCE_S, wait_until
from tests.integration.test_worker_processes import Shop, ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Place

PAGE: Final = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def documented() -> list[str]:
    """Return the long names of the options in the table of the worker."""
    (section,) = re.findall(r"^## worker$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [re.findall(r"--[a-z-]+", row)[0] for row in rows]


def test_the_table_has_every_option_of_the_command() -> None:
    shared = {"--app", "--help", "--traceback", "--no-color"}
    declared = {
        name
        for option in command.params
        if not getattr(option, "hidden", False)
        for name in option.opts
        if name.startswith("--")
    }
    assert set(documented()) == declared - shared


# -- one scene for each ---------------------------------------------------------------------------


def queues(shop: Shop) -> None:
    with shop.worker("-Q", "reports"):
        there = shop.app.send_task("shop.where", queue="reports")
        here = shop.send("where")
        assert there.get(timeout=PATIENCE_S)
        assert here.state == "PENDING"
        assert shop.said("  . reports ")
        assert not shop.said("  . default ")


def concurrency(shop: Shop) -> None:
    with shop.worker("-c", "3"):
        results = [shop.send("sleep_together", "three", 3) for _ in range(3)]
        assert all(result.get(timeout=PATIENCE_S) for result in results)
        assert shop.said(".> concurrency: 3 (threads)")


def pool(shop: Shop) -> None:
    with shop.worker("--pool", "solo"):
        assert shop.get("where")
        assert shop.said(".> concurrency: 1 (solo)")


def autoscale(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "--autoscale", "1,3"):
        results = [shop.send("wait_for", "go") for _ in range(3)]
        wait_until(lambda: len(set(shop.files("go"))) == 3)
        (shop.folder / "go").touch()
        assert len({result.get(timeout=PATIENCE_S) for result in results}) == 3
        assert shop.said(".> concurrency: 1 to 3 (prefork)")


def max_tasks_per_child(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "-c", "1", "--max-tasks-per-child", "2"):
        pids = [shop.get("where") for _ in range(5)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 1]


def max_memory_per_child(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "-c", "1", "--max-memory-per-child", "1"):
        assert len({shop.get("where") for _ in range(3)}) == 3  # each is larger than that


def loglevel(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "-c", "1", "-l", "DEBUG", "--max-tasks-per-child", "1"):
        shop.get("where")
        wait_until(lambda: shop.said("is replaced: it has run 1 tasks"))


def hostname(shop: Shop) -> None:
    with shop.worker("-n", "reports@%n"):
        _, name = shop.get("flaky")
    assert re.fullmatch(r"reports@[^.%]+", name)


def seen(shop: Shop) -> str:
    """Return what ``caraway status`` says."""
    shown = subprocess.run(
        [sys.executable, "-m", "caraway", "status", "-A", "shop:app"],
        env=shop.environ(),
        cwd=shop.folder,
        capture_output=True,
        text=True,
    )
    return shown.stdout + shown.stderr


def heartbeat_interval(shop: Shop) -> None:
    with shop.worker("-n", "w1@here", "--heartbeat-interval", "1"):
        wait_until(lambda: "w1@here" in seen(shop))


def without_heartbeat(shop: Shop) -> None:
    with shop.worker("-n", "w1@here", "--without-heartbeat"):
        shop.get("where")
        assert "w1@here" not in seen(shop)


def shutdown_timeout(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "-c", "1", "--shutdown-timeout", "0") as worker:
        result = shop.send("wait_for", "go")
        wait_until(lambda: shop.files("go"))
        shop.stop()
        assert "exit code 0" in wait_until(lambda: ended(worker))
        assert shop.said("1 running tasks are released")
        assert shop.place.record(shop.app, result.id).phase == "retry"


def health_port(shop: Shop) -> None:
    with shop.worker("--health-port", "0"):
        shop.get("where")
        served = r"/health is served on 127\.0\.0\.1:(\d+)"
        port = int(wait_until(lambda: re.search(served, "\n".join(shop.lines)))[1])
        status, told = health(port)
        assert (status, told["status"], told["stopping"]) == (200, "ok", False)
        assert set(told["queues"]) == {"default", "reports"}
        assert told["aws_answered_s_ago"] is not None


def health_host(shop: Shop) -> None:
    with shop.worker("--health-port", "0", "--health-host", "localhost"):
        wait_until(lambda: shop.said("/health is served on localhost:"))


def task_protection(shop: Shop) -> None:
    with pytest.raises(LocalError, match="ECS_AGENT_URI"), shop.worker("--task-protection"):
        pass
    with shop.worker("--no-task-protection"):
        assert shop.get("where")


def health(port: int) -> tuple[int, Any]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/health")
        response = connection.getresponse()
        return response.status, json.loads(response.read())


SCENES: Final[dict[str, Callable[[Shop], Any]]] = {
    f"--{scene.__name__.replace('_', '-')}": scene
    for scene in (
        queues,
        concurrency,
        pool,
        autoscale,
        max_tasks_per_child,
        max_memory_per_child,
        loglevel,
        hostname,
        heartbeat_interval,
        without_heartbeat,
        shutdown_timeout,
        health_port,
        health_host,
        task_protection,
    )
}


@pytest.mark.parametrize("option", documented())
def test_an_option_of_the_worker_does_what_its_row_says(
    local: Place, tmp_path: Path, option: str
) -> None:
    shop = Shop(local, tmp_path, Queue("default", consumer="ecs"), Queue("reports", consumer="ecs"))
    SCENES[option](shop)
