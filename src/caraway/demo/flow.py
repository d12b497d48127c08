"""The demo's course: set up, send, wait, show, and nothing left behind."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caraway.demo.app import (
    INPUTS,
    LARGE,
    SCHEDULE,
    app,
    count_words,
    count_words_large,
    flaky,
)
from caraway.demo.documents import CHECKOUT, split
from caraway.demo.jobs import Job, scheduled, sent, wait
from caraway.demo.progress import shown
from caraway.demo.summary import Check, check_tasks, show
from caraway.lean import dataclass
from caraway.local.deploy import deploy
from caraway.local.engine import LocalEngine
from caraway.local.environ import enter, exports, surroundings
from caraway.local.package import build_package
from caraway.local.provision import TEMPLATE
from caraway.local.worker import LocalWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from caraway.demo.documents import Document
    from caraway.local.cache import Progress
    from caraway.result import AsyncResult

_STACK: Final = "caraway-demo"
_WORKER: Final = ("-A", "caraway.demo.app:app", "-Q", LARGE, "-c", "4")
_LIMIT_S: Final = 150.0
"""The rule first fires about 70 s after it was made."""
_LIMIT_PER_JOB_S: Final = 0.5


@dataclass(frozen=True)
class Place:
    """The engine with the stack on it, and the worker beside it."""

    engine: LocalEngine
    bucket: str
    worker: LocalWorker
    worker_lines: Sequence[str]
    deployed_at: datetime


def run(console: Console, found: Sequence[Document]) -> bool:
    """Count the words of some texts, and show who did what.

    Parameters
    ----------
    console
        Where it is shown.
    found
        The texts, at least two.

    Returns
    -------
    bool
        Whether all that the demo promises happened.

    Raises
    ------
    LocalError
        If the engine, the deployment or the worker fails.
    """

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    began = time.monotonic()
    small, large = split(found)
    with ExitStack() as cleaning:
        place = set_up(cleaning, say)
        upload(place, found)
        say(
            f"Sending a task for each of {len(small)} texts to Lambda, of {len(large)} larger to "
            "the ECS worker, and one that fails at first. In a minute, a rule sends one too."
        )
        jobs = [scheduled(app, SCHEDULE, place.deployed_at), *asyncio.run(send(small, large))]
        limit_s = _LIMIT_S + _LIMIT_PER_JOB_S * len(jobs)
        ended = list(shown(console, wait(app, jobs, limit_s, place.worker.check), len(jobs)))
        place.worker.stop()
    checks = [
        *check_tasks(ended, small, large),
        Check("the worker shut down warmly when it was told to", place.worker.exit_code == 0),
    ]
    show(console, ended, checks)
    went_well = all(check.happened for check in checks)
    if not went_well:
        say("The worker's last lines:\n" + "\n".join(place.worker_lines))
    say(f"Done in {time.monotonic() - began:.0f} s. Everything that was started has been stopped.")
    return went_well


def set_up(cleaning: ExitStack, say: Progress) -> Place:
    """Start the engine, deploy the template on it with its schedule on, and start the worker."""
    enter(surroundings({}))  # from here on nothing reaches AWS itself
    engine = cleaning.enter_context(LocalEngine(port=0, progress=say))
    say(f"A local AWS runs at {engine.endpoint_url}")
    requirements = CHECKOUT / "requirements" / "lambda.txt"
    with tempfile.TemporaryDirectory(prefix="caraway-demo-") as folder:
        package = build_package(
            Path(folder), requirements if requirements.is_file() else None, [], progress=say
        )
        deployed_at = datetime.now(timezone.utc)
        outputs = deploy(
            engine.client,
            TEMPLATE,
            _STACK,
            parameters={"ScheduleState": "ENABLED"},
            code={"Worker": package},
            progress=say,
        )
    environ = surroundings(exports(engine, outputs))
    enter(environ)  # this process is the producer: its app reads its settings there
    lines: deque[str] = deque(maxlen=20)
    worker = cleaning.enter_context(LocalWorker(_WORKER, environ, on_lines=lines.extend))
    say(f"A worker runs: caraway worker {' '.join(_WORKER)}")
    return Place(engine, outputs["PayloadBucket"], worker, lines, deployed_at)


def upload(place: Place, found: Sequence[Document]) -> None:
    """Put the texts where the tasks read them."""
    s3 = place.engine.client("s3")
    for each in found:
        s3.put_object(Bucket=place.bucket, Key=INPUTS + each.name, Body=each.content)


async def send(small: Sequence[Document], large: Sequence[Document]) -> list[Job]:
    """Send a task for each text, and one that fails at first; they travel ten at a time."""
    calls = [
        ("flaky", flaky.adelay()),
        *((each.name, count_words_large.adelay(INPUTS + each.name)) for each in large),
        *((each.name, count_words.adelay(INPUTS + each.name)) for each in small),
    ]
    at = datetime.now(timezone.utc)
    results: list[AsyncResult[Any]] = await asyncio.gather(*(call for _, call in calls))
    return [sent(label, at, result) for (label, _), result in zip(calls, results, strict=True)]
