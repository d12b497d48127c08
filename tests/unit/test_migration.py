"""A real application for Celery, taken through the import change as its page says.

``tests/migration/bookshop`` is written for Celery, and never edited: each test makes a copy and
does to it what docs/migrating-from-celery.md tells the reader to do. What is expected of it was
seen with Celery 5.7: the same orders, on its memory broker.
"""

from __future__ import annotations

import importlib
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest

from caraway import current, setting_mapping, signals
from caraway.aws.memory import MemoryAws
from caraway.contrib.celery import Celery
from caraway.exceptions import UnknownOption
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migrating-from-celery.md").read_text()
SECTION = PAGE.partition("## A real application\n")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)


class OnStage(Stage):
    """A worker for an app that was made elsewhere."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.memory = app.aws
        app.set_current()


class Bookshop:
    """The migrated application, imported, and a worker for it."""

    def __init__(self) -> None:
        self.package: Any = importlib.import_module("bookshop")
        self.views: Any = importlib.import_module("bookshop.views")
        self.orders: Any = importlib.import_module("bookshop.orders.tasks")
        self.reports: Any = importlib.import_module("bookshop.reports.tasks")
        self.celery: Any = sys.modules["bookshop.celery"]
        self.stage = OnStage(self.package.celery_app)
        self.package.celery_app.finalize()  # as a worker does

    def order(self, order_id: str, isbns: list[str], to: str = "ada@example.com") -> Any:
        task_id = self.views.order(order_id, isbns, to)["task_id"]
        self.stage.work(limit=100)
        return self.views.status(task_id)

    def done(self, result: Any) -> Any:
        self.stage.work(limit=100)
        return result


def migrated(folder: Path, *, changed: bool = True) -> Path:
    """Copy the application to a folder, and do what the page says."""
    shutil.copytree(ROOT / "tests/migration/bookshop", folder / "bookshop")
    (command,) = blocks("console")
    subprocess.run(command.removeprefix("$ "), shell=True, check=True, cwd=folder)
    if changed:
        (diff,) = blocks("diff")
        subprocess.run(["git", "apply", "-"], input=diff, text=True, check=True, cwd=folder)
    return folder


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Give what makes a folder importable; what is imported from it is forgotten afterwards."""
    monkeypatch.setattr(current, "_apps", WeakSet())
    monkeypatch.setattr(current, "_declarations", [])
    monkeypatch.setattr(setting_mapping, "_said", set())  # what is said once, in each test
    for name in ("task_failure", "task_success"):
        monkeypatch.setattr(getattr(signals, name), "receivers", ())
    memory = MemoryAws()
    monkeypatch.setattr(Celery, "aws", memory)
    monkeypatch.setattr(Celery, "aio", memory)
    for name in ("BROKER_URL", "RESULT_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    yield lambda folder: monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "bookshop"]:
        del sys.modules[name]


@pytest.fixture
def bookshop(tmp_path: Path, forgotten: Callable[[Path], None]) -> Bookshop:
    forgotten(migrated(tmp_path))
    return Bookshop()


def test_it_is_written_for_celery() -> None:
    source = "".join(path.read_text() for path in (ROOT / "tests/migration").rglob("*.py"))
    assert "caraway" not in source
    imported = set(re.findall(r"^from (celery\S*)", source, re.MULTILINE))
    assert imported == {
        "celery",
        "celery.exceptions",
        "celery.result",
        "celery.schedules",
        "celery.signals",
        "celery.utils.log",
    }


def test_the_page_shows_what_the_log_says(
    tmp_path: Path, forgotten: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    forgotten(migrated(tmp_path))
    with caplog.at_level(logging.WARNING, "caraway"):
        importlib.import_module("bookshop")
    (shown,) = blocks("text")
    assert caplog.messages == shown.splitlines()


def test_what_cannot_be_had_is_refused_at_the_start(
    tmp_path: Path, forgotten: Callable[[Path], None]
) -> None:
    forgotten(migrated(tmp_path, changed=False))
    with pytest.raises(UnknownOption) as refused:
        importlib.import_module("bookshop.orders.tasks")
    assert f"`{refused.value}`" in SECTION.replace("\n", " ")


def test_an_order_is_charged_packed_and_mailed(bookshop: Bookshop) -> None:
    status = bookshop.order("A1", ["x", "y", "z"])
    assert (status["state"], status["result"]) == ("SUCCESS", "A1: 3 books")
    assert bookshop.orders.charged == {"A1": 30}
    assert bookshop.orders.mails == [("ada@example.com", "A1: 3 books")]
    names = [name.rpartition(".")[2] for name in bookshop.celery.finished]
    assert names == ["charge", "reserve", "reserve", "reserve", "pack", "send_mail"]


def test_a_charge_and_a_mail_are_retried(bookshop: Bookshop) -> None:
    bookshop.orders.answers |= {"A2": ["down", "ok"], "bob@example.com": ["refused", "ok"]}
    assert bookshop.order("A2", ["x"], "bob@example.com")["result"] == "A2: 1 books"
    assert bookshop.orders.charged == {"A2": 10}
    assert bookshop.orders.mails == [("bob@example.com", "A2: 1 books")]


def test_a_book_that_cannot_be_reserved_cancels_the_order(bookshop: Bookshop) -> None:
    status = bookshop.order("A3", ["x", "out of print"])
    assert (status["state"], status["ready"]) == ("FAILURE", True)
    assert "LookupError('out of print')" in status["error"]
    assert bookshop.orders.cancelled == [("A3", "ChordError")]
    assert ("bookshop.orders.tasks.reserve", "LookupError") in bookshop.celery.failures
    assert bookshop.orders.mails == []


def test_a_gateway_that_stays_down_cancels_the_order(bookshop: Bookshop) -> None:
    bookshop.orders.answers["A4"] = ["down"] * 9
    status = bookshop.order("A4", ["x"])
    assert status["state"] == "FAILURE"
    assert status["error"] == "the gateway does not answer"
    assert bookshop.orders.cancelled == [("A4", "GatewayDown")]


def test_a_report_is_found_again_by_its_group(bookshop: Bookshop) -> None:
    result = bookshop.done(bookshop.reports.nightly.delay())
    assert [len(part) for part in bookshop.views.report(result.id)] == [1, 7]


def test_the_tasks_and_the_schedule_are_there(bookshop: Bookshop) -> None:
    names = bookshop.done(bookshop.reports.known_tasks.delay()).get(timeout=1)
    assert len(names) == 10
    assert sorted(bookshop.package.celery_app.conf.beat_schedule) == [
        "best-sellers-on-mondays",
        "forget-old-carts",
        "report-every-night",
    ]


def test_waiting_cancelling_and_an_ignored_run(bookshop: Bookshop) -> None:
    assert bookshop.views.wait("nothing", 0) is None
    waits = bookshop.orders.forget_old_carts.delay(days=3)
    bookshop.views.cancel(waits.id)
    bookshop.stage.work()
    assert waits.state == "REVOKED"
    ignored = bookshop.done(bookshop.orders.forget_old_carts.delay(days=0))
    assert ignored.state == "IGNORED"  # Celery: SKIPPED, which the page says


def test_its_queues_are_those_that_the_page_declares(bookshop: Bookshop) -> None:
    site = bookshop.package.celery_app.site
    assert set(site.router.queues) == {"celery", "reports"}
    assert site.router.queues["reports"].consumer == "ecs"
