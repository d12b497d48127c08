"""A test that hangs fails, with the stacks of all threads."""

from __future__ import annotations

import signal
import threading

import pytest

from tests.hanging import PATIENCE_S, patience


def test_what_hangs_fails_and_says_where_each_thread_is(
    capfd: pytest.CaptureFixture[str],
) -> None:
    never = threading.Event()

    def another_thread() -> None:
        never.wait()

    thread = threading.Thread(target=another_thread)
    thread.start()
    try:
        with pytest.raises(pytest.fail.Exception, match="It hung"), patience(0.05):
            thread.join()
        assert "in another_thread" in capfd.readouterr().err
    finally:
        never.set()
        thread.join()


def test_nothing_comes_after_what_has_ended() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with patience(3_600):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > PATIENCE_S
    assert signal.getitimer(signal.ITIMER_REAL)[0] <= PATIENCE_S
    assert signal.getsignal(signal.SIGALRM) is handler
