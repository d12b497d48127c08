"""``caraway worker`` with a pool of processes or greenlets, as a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from caraway.exceptions import LocalError, TaskRevokedError
from caraway.local.worker import LocalWorker
from tests.integration.conftest import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from caraway import Caraway, Queue
    from tests.integration.conftest import Place

MODULE = """
import asyncio, gc, os, sys, threading, time
from pathlib import Path
from caraway import Caraway, Middleware, Queue, Task, signals
from caraway.exceptions import Ignore, Reject
from caraway.utils.log import get_task_logger

app = Caraway("shop")
app.conf.task_queues = [Queue(name, consumer="ecs") for name in QUEUES]
HERE = Path(__file__).parent
log = get_task_logger(__name__)
assert "gevent" not in sys.modules or time.sleep.__module__ == "gevent.hub", "patched too late"


class Odd(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Hooked(Task):
    def on_success(self, retval, task_id, args, kwargs):
        (HERE / "succeeded").write_text(f"{retval!r} {args!r} {os.getpid()}")

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        (HERE / "failed").write_text(f"{exc!r} {args!r} {'in fail' in str(einfo)}")


class Placed(Middleware):
    options = {"place": "nowhere"}

    def execute(self, task, request):
        PLACE.append((task.place, os.getpid()))
        yield
        PLACE.pop()


PLACE = []
app.add_middleware(Placed)


def tell(sender, signal, **_):
    with (HERE / "told").open("a") as told:
        print(signal.name, os.getpid(), file=told)


for each in signals.SIGNALS.values():
    if each is not signals.setup_logging:
        each.connect(tell)


@app.task(place="here")
def placed():
    return PLACE[-1]


@app.task
def where():
    return os.getpid()


@app.task
def left_out_of_collections():
    return gc.get_freeze_count()


@app.task
async def awhere():
    await asyncio.sleep(0)
    return os.getpid()


@app.task(base=Hooked)
def add(x: int, y: set[int]) -> set[int]:
    return {x, *y}


@app.task(base=Hooked)
def fail(x):
    raise ValueError(x)


@app.task(bind=True, autoretry_for=(Odd,), default_retry_delay=0, retry_jitter=False)
def flaky(self):
    if self.request.retries < 2:
        raise Odd(code=7)
    return [self.request.retries, self.request.hostname]


@app.task(bind=True)
def later(self):
    if self.request.retries == 0:
        self.retry(countdown=0, throw=False)
    return self.request.retries


@app.task(bind=True)
def parent(self):
    self.update_state(state="CALLING", meta={"n": 1})
    seen = app.AsyncResult(self.request.id)
    return [seen.state, seen.info, [where.delay().id for _ in range(2)]]


@app.task
def ignore():
    raise Ignore


@app.task
def reject():
    raise Reject("no such order")


@app.task
def chat():
    print("hello from a child")
    log.warning("logged in a child")


@app.task
def die_once():
    if not (HERE / "died").exists():
        (HERE / "died").touch()
        os.kill(os.getpid(), 9)
    return "alive"


@app.task
def wait_for(name):
    (HERE / f"{name}.{os.getpid()}").touch()
    while not (HERE / name).exists():
        time.sleep(0.005)
    return os.getpid()


@app.task
def sleep_together(name, together):
    (HERE / f"{name}.{threading.get_ident()}").touch()
    while len(list(HERE.glob(f"{name}.*"))) < together:
        time.sleep(0.005)
    return True
"""


class Shop:
    """An app in a module of its own, and its worker."""

    def __init__(self, place: Place, folder: Path, *queues: Queue) -> None:
        self.place = place
        self.folder = folder
        names = [queue.name for queue in queues] or ["default"]
        (folder / "shop.py").write_text(MODULE.replace("QUEUES", repr(names)))
        self.app: Caraway = place.app(*queues)
        self.lines: list[str] = []

    def send(self, name: str, *args: Any) -> Any:
        return self.app.send_task(f"shop.{name}", args=args)

    def get(self, name: str, *args: Any) -> Any:
        return self.send(name, *args).get(timeout=PATIENCE_S)

    def said(self, text: str) -> bool:
        return any(text in line for line in list(self.lines))

    @contextmanager
    def worker(self, *options: str) -> Iterator[LocalWorker]:
        arguments = ["-A", "shop:app", *options]
        with LocalWorker(arguments, self.environ(), on_lines=self.lines.extend) as worker:
            yield worker
            self.end_long_poll()

    def environ(self) -> dict[str, str]:
        """Return the environment of processes that find the app and its things."""
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.place.endpoint_url or "",
            "CARAWAY_QUEUE_NAME_PREFIX": self.app.conf.queue_name_prefix,
            "CARAWAY_TASK_TABLE": self.app.conf.task_table,
            "PYTHONPATH": os.pathsep.join([str(self.folder), *sys.path]),
        }

    def stop(self) -> None:
        """Tell the process group of the child that runs to stop, as a process manager may do."""
        (child,) = self.files("go")
        os.killpg(os.getpgid(child), signal.SIGTERM)

    def end_long_poll(self) -> None:
        """Let a message come in a second: the long poll that a shutdown awaits ends then."""
        url = self.place.url(self.app)
        self.place.client("sqs").send_message(QueueUrl=url, MessageBody="poke", DelaySeconds=1)

    def told(self) -> dict[str, set[int]]:
        """Return the processes in which each signal was sent."""
        told: dict[str, set[int]] = {}
        for line in (self.folder / "told").read_text().splitlines():
            name, pid = line.split()
            told.setdefault(name, set()).add(int(pid))
        return told

    def files(self, name: str) -> list[int]:
        """Return the pids in the names of files."""
        return [int(each.suffix[1:]) for each in self.folder.glob(f"{name}.*")]


def ended(worker: LocalWorker) -> str | None:
    """Return how a worker has ended, once it has."""
    try:
        worker.check()
    except LocalError as error:
        return str(error)
    return None


@pytest.fixture
def shop(local: Place, tmp_path: Path) -> Shop:
    return Shop(local, tmp_path)


@pytest.mark.parametrize("options", [("-P", "prefork", "-c", "2"), ("-P", "gevent", "-c", "20")])
def test_tasks_do_in_other_processes_what_they_do_in_threads(
    shop: Shop, options: tuple[str, ...]
) -> None:
    with shop.worker(*options, "-n", "w1@here"):
        assert shop.get("add", 1, [2, 3]) == {1, 2, 3}
        assert shop.get("flaky") == [2, "w1@here"]
        assert shop.get("later") == 1
        sent = shop.send("parent")
        state, info, children = sent.get(timeout=PATIENCE_S)
        assert (state, info) == ("CALLING", {"n": 1})
        assert [child.id for child in sent.children] == children
        pids = {shop.app.AsyncResult(id).get(timeout=PATIENCE_S) for id in children}
        assert pids
        assert shop.get("awhere")
        failed = shop.send("fail", "no")
        with pytest.raises(ValueError, match="no"):
            failed.get(timeout=PATIENCE_S)
        assert "in fail" in failed.traceback
        assert shop.send("ignore").get(timeout=PATIENCE_S) is None
        with pytest.raises(Exception, match="no such order"):
            shop.get("reject")
        shop.get("chat")
        wait_until(lambda: shop.said("hello from a child") and shop.said("logged in a child"))
        wait_until(lambda: (shop.folder / "failed").exists())
        assert (shop.folder / "failed").read_text() == "ValueError('no') ('no',) True"
        text, _, pid = (shop.folder / "succeeded").read_text().rpartition(" ")
        assert text == "{1, 2, 3} (1, {2, 3})"
        assert int(pid) not in (os.getpid(), 0)
        wait_until(lambda: shop.place.depth(shop.app) == 0)
    for text in ("succeeded in", "raised unexpected: ValueError('no')", "shop.fail"):
        assert shop.said(text)


def test_a_task_whose_child_dies_runs_again_and_nobody_else_notices(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "-c", "2"):
        companion = shop.send("wait_for", "go")
        (running,) = wait_until(lambda: shop.files("go"))
        lost = shop.send("die_once")
        assert lost.get(timeout=PATIENCE_S) == "alive"
        (shop.folder / "go").touch()
        assert companion.get(timeout=PATIENCE_S) == running
    assert shop.said("has lost its process and comes back: its child process")
    assert shop.place.record(shop.app, lost.id).lost == 1
    assert shop.place.record(shop.app, companion.id).lost == 0


def test_prefork_shuts_down_warmly_when_the_whole_process_group_is_told_to(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "-c", "1") as worker:
        result = shop.send("wait_for", "go")
        (child,) = wait_until(lambda: shop.files("go"))
        shop.stop()
        wait_until(lambda: shop.said("warm shutdown"))
        (shop.folder / "go").touch()
        shop.end_long_poll()
        assert "exit code 0" in wait_until(lambda: ended(worker))
    assert result.get(timeout=PATIENCE_S) == child


def test_a_cold_shutdown_ends_what_runs_in_child_processes_and_releases_it(shop: Shop) -> None:
    with shop.worker("-P", "prefork", "-c", "1") as worker:
        result = shop.send("wait_for", "go")
        (child,) = wait_until(lambda: shop.files("go"))
        for said in ("warm shutdown", "cold shutdown"):
            shop.stop()
            wait_until(lambda said=said: shop.said(said))  # type: ignore[misc]
        wait_until(lambda: shop.place.waiting(shop.app))
    assert worker.exit_code == 1
    record = shop.place.record(shop.app, result.id)
    assert (record.phase, record.lost) == ("retry", 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_task_that_is_terminated_ends_and_its_pool_goes_on(shop: Shop, pool: str) -> None:
    module = shop.folder / "shop.py"
    short = 'consumer="ecs", visibility_timeout_s=10)'
    module.write_text(module.read_text().replace('consumer="ecs")', short))
    with shop.worker("-P", pool, "-c", "2"):
        other = shop.send("wait_for", "stay")
        (running,) = wait_until(lambda: shop.files("stay"))
        result = shop.send("wait_for", "go")
        wait_until(lambda: shop.files("go"))
        assert result.revoke(terminate=True).happened == "terminating"
        with pytest.raises(TaskRevokedError, match="terminated"):
            result.get(timeout=PATIENCE_S)
        assert shop.get("add", 1, [2, 3]) == {1, 2, 3}
        (shop.folder / "stay").touch()
        assert other.get(timeout=PATIENCE_S) == running
        wait_until(lambda: shop.said("terminated (SIGTERM)"))


def test_greenlets_wait_together_in_one_process(shop: Shop) -> None:
    with shop.worker("-P", "gevent", "-c", "30"):
        results = [shop.send("sleep_together", "all", 30) for _ in range(30)]
        assert all(result.get(timeout=PATIENCE_S) for result in results)


def test_a_gevent_child_that_dies_is_replaced(shop: Shop) -> None:
    with shop.worker("-P", "gevent"):
        lost = shop.send("die_once")
        assert lost.get(timeout=PATIENCE_S) == "alive"
    assert shop.place.record(shop.app, lost.id).lost == 1


def test_a_gevent_child_that_cannot_import_the_app_ends_the_worker(shop: Shop) -> None:
    module = shop.folder / "shop.py"
    wish = "assert 'gevent' not in sys.modules, 'written for threads'\n"
    module.write_text(module.read_text().replace("HERE = ", f"{wish}HERE = "))
    with pytest.raises(LocalError, match="written for threads"), shop.worker("-P", "gevent"):
        pass


def test_what_a_worker_has_loaded_is_left_out_of_collections(shop: Shop) -> None:
    with shop.worker("-P", "threads", "-c", "1"):
        assert shop.get("left_out_of_collections") > 0


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_signals_are_sent_in_the_process_that_they_are_about(shop: Shop, pool: str) -> None:
    with shop.worker("-P", pool, "-c", "1"):
        child = shop.get("where")
        assert shop.get("placed") == ["here", child]  # the middleware is where the function is
        wait_until(lambda: "task_success" in shop.told())
    told = shop.told()
    for name in ("worker_process_init", "task_prerun", "task_postrun", "task_success"):
        assert told[name] == {child}, name
    parents = told["worker_ready"]
    assert child not in parents
    for name in ("worker_init", "task_received", "worker_shutting_down", "worker_shutdown"):
        assert told[name] == parents, name
    if pool == "prefork":
        assert told["worker_process_shutdown"] == {child}
        assert not told["worker_before_create_process"] & {child, *parents}
