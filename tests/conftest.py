"""What the suites share: a profile for hypothesis, and one local engine for the whole session."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from caraway import current
from caraway.local.engine import LocalEngine
from caraway.signals import SIGNALS
from tests import hanging, measuring
from tests.depth import DEPTH

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# How long an example takes says more about the machine than about the code. The suite makes up the
# same cases each time, so that it says the same each time; `make deep` makes up others.
settings.register_profile(
    "caraway",
    deadline=None,
    derandomize=DEPTH == 1,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("caraway")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Let no test hang, nor what makes and undoes what it needs."""
    with hanging.patience():
        return (yield)


def pytest_enter_pdb() -> None:
    """Have all the patience there is with a debugger."""
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture(autouse=True, scope="session")
def _processes_of_tests_are_like_any_other() -> None:
    """Take from the environment what is for those alone that share the tests.

    What tests start is not measured: it would be slower, and write warnings of coverage. It heeds
    Ctrl-C, which a shell lets be ignored by what it runs in the background (``make test &``).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.fixture(autouse=True)
def _receivers_as_they_were() -> Iterator[None]:
    """Disconnect what a test has connected to signals."""
    before = {each: each.receivers for each in SIGNALS.values()}
    yield
    for each, receivers in before.items():
        each.receivers = receivers


@pytest.fixture(autouse=True)
def _apps_as_they_were() -> Iterator[None]:
    """Forget the shared tasks that a test has declared, and its current app."""
    declared, app = list(current._declarations), current._current
    yield
    current._declarations[:] = declared
    current._current = app


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """Let coverage look away: for tests that go ways without number through code that others cover.

    A module says so by ``pytestmark = pytest.mark.usefixtures("unmeasured")``.
    """
    with measuring.unmeasured():
        yield


@pytest.fixture
def loggers_as_they_were() -> Iterator[None]:
    """Undo what a door does to logging."""
    loggers = [logging.getLogger(), logging.getLogger("caraway")]
    before = [(each, list(each.handlers), each.level, each.propagate) for each in loggers]
    yield
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    """Yield a started engine; it is stopped, with all that runs in it, after the last test."""
    with LocalEngine(port=0) as started:
        yield started
