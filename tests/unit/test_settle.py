"""From the outcome of user code to an ending."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from caraway import states
from caraway.core.context import Context
from caraway.core.message import Message
from caraway.core.port import Raised, Returned
from caraway.core.retry import RetryPolicy
from caraway.core.routing import Queue
from caraway.core.settle import (
    Again,
    Ending,
    Failed,
    Ignored,
    Product,
    Rejected,
    Requeued,
    Revoked,
    Succeeded,
    Unregistered,
    settle,
)
from caraway.exceptions import (
    EncodeError,
    Ignore,
    InvalidOption,
    NotRegistered,
    Reject,
    Retry,
    TaskRevokedError,
)
from tests.support import FakeTask

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
AUTO = RetryPolicy(autoretry_for=(OSError,), default_retry_delay_s=9)


def settled(
    outcome: Returned[Product] | Raised | BaseException,
    context: Context | None = None,
    *,
    fifo: bool = False,
    policy: RetryPolicy | None = None,
) -> Ending:
    if isinstance(outcome, BaseException):
        outcome = Raised(outcome)
    task = FakeTask("task", policy=policy or RetryPolicy())
    queue = Queue("default", fifo=fifo)
    return settle(outcome, task, context or Context(id="i"), queue, NOW, random.Random(0))


@pytest.mark.parametrize(
    ("fifo", "chord", "said"),
    [(True, None, "outlives its message"), (False, {"size": 2}, "a member of a chord")],
)
def test_a_retry_is_due_while_its_message_and_the_values_of_its_group_are_kept(
    fifo: bool, chord: Any, said: str
) -> None:
    context = Context(id="i", chord=chord)
    assert isinstance(settled(Retry(when=13 * 86_400), context, fifo=fifo), Again)
    ending = settled(Retry(when=16 * 86_400), context, fifo=fifo)
    assert isinstance(ending, Failed)
    assert said in str(ending.error)
    assert isinstance(settled(Retry(when=400 * 86_400)), Again)


def test_a_value_is_a_success() -> None:
    product = Product(None, None)
    assert settled(Returned(product)) == Succeeded(product)


def test_an_exception_is_a_failure_with_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        ending = settled(error)
    assert isinstance(ending, Failed)
    assert isinstance(ending.error, ValueError)
    assert "test_settle.py" in (ending.traceback or "")


def test_a_value_that_was_refused_is_a_failure_unless_nobody_wants_it() -> None:
    product = Product(object(), refused=EncodeError("no form"))
    assert isinstance(settled(Returned(product)), Failed)
    assert isinstance(settled(Returned(product), policy=AUTO), Failed)
    assert settled(Returned(product), Context(ignore_result=True)) == Succeeded(product)
    linked = Context(ignore_result=True, callbacks=[{"task": "t"}])
    assert isinstance(settled(Returned(product), linked), Failed)


def test_ignore_and_reject_say_how_a_task_ends() -> None:
    assert settled(Ignore()) == Ignored()
    assert settled(Reject("busy", requeue=True)) == Requeued("busy")
    rejected = settled(Reject("bad"))
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, type(rejected.error)) == ("bad", Reject)


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, "rejected by the task"),
        (ValueError("x"), "ValueError('x')"),
        ({"a": 1}, "{'a': 1}"),
        (Unprintable(), "<Unprintable>"),
    ],
)
def test_a_rejection_may_have_anything_as_its_reason(reason: Any, text: str) -> None:
    ending = settled(Reject(reason))
    assert isinstance(ending, Rejected)
    assert ending.reason == text
    assert settled(Reject(reason, requeue=True)) == Requeued(text)


def test_a_retry_is_asked_for_with_seconds_or_a_time() -> None:
    for when in (30, 30.0, NOW + timedelta(seconds=30)):
        ending = settled(Retry(when=when))
        assert isinstance(ending, Again)
        assert (ending.delay_s, ending.changes) == (30, {"retries": 1})


@pytest.mark.parametrize("when", [None, 0, -5, NOW - timedelta(days=1)])
def test_a_retry_that_is_due_already_waits_for_nothing(when: Any) -> None:
    ending = settled(Retry(when=when))
    assert isinstance(ending, Again)
    assert ending.delay_s == 0


def test_a_retry_counts_and_carries_its_cause_and_changes() -> None:
    cause = KeyError("k")
    ending = settled(Retry(exc=cause, args=[2]), Context(retries=4))
    assert isinstance(ending, Again)
    assert (ending.error, ending.changes) == (cause, {"retries": 5, "args": [2]})
    assert ending.state == states.RETRY


@pytest.mark.parametrize("when", ["soon", float("nan"), datetime(2026, 1, 1), [5]])
def test_a_retry_at_no_time_that_can_be_is_a_failure_with_the_cause(when: Any) -> None:
    cause = KeyError("k")
    ending = settled(Retry(exc=cause, when=when))
    assert isinstance(ending, Failed)
    assert isinstance(ending.error, InvalidOption)
    assert ending.error.__cause__ is cause
    assert "KeyError" in (ending.traceback or "")


def test_on_fifo_a_retry_may_wait_for_longer_as_the_message_stays() -> None:
    ending = settled(Retry(when=10_000), fifo=True)
    assert isinstance(ending, Again)
    assert ending.delay_s == 10_000


def test_a_named_exception_is_retried_by_itself_until_the_limit() -> None:
    ending = settled(ConnectionError("down"), policy=AUTO)
    assert isinstance(ending, Again)
    assert (ending.delay_s, str(ending.error)) == (9, "down")
    assert isinstance(settled(ConnectionError(), Context(retries=3), policy=AUTO), Failed)
    assert isinstance(settled(ValueError(), policy=AUTO), Failed)


def test_what_says_how_a_task_ends_is_never_retried_by_itself() -> None:
    everything = RetryPolicy(autoretry_for=(BaseException,))
    assert settled(Ignore(), policy=everything) == Ignored()
    assert isinstance(settled(Reject("bad"), policy=everything), Rejected)


def test_a_retry_that_was_asked_for_before_wins_over_the_outcome() -> None:
    context = Context(requested_retry=Retry(when=5))
    for outcome in (Returned(Product(1, 1)), Raised(ValueError())):
        assert isinstance(settled(outcome, context), Again)


def test_system_exit_of_a_task_is_its_failure() -> None:
    assert isinstance(settled(SystemExit(3)), Failed)


def test_a_revoked_task_raises_what_celery_raises() -> None:
    revoked = Revoked("expired")
    assert revoked.state == states.REVOKED
    assert isinstance(revoked.error, TaskRevokedError)
    assert revoked.error.args == ("expired",)


def test_each_ending_has_the_state_that_users_see() -> None:
    error = ValueError()
    shown = {
        type(ending).__name__: ending.state
        for ending in (Succeeded(Product(1)), Failed(error), Again(0), Ignored())
    }
    assert shown == {
        "Succeeded": states.SUCCESS,
        "Failed": states.FAILURE,
        "Again": states.RETRY,
        "Ignored": states.IGNORED,
    }
    assert Rejected("r", error).state == states.FAILURE
    assert Requeued("r").state == states.RETRY


def test_a_task_that_is_not_registered_rejects_its_message() -> None:
    task = Unregistered("task", "no task named 'task'")
    with pytest.raises(Reject) as raised:
        task.runner(Context())
    assert isinstance(raised.value.reason, NotRegistered)
    assert not raised.value.requeue
    assert task.errback_arguments(Message("i", "t"), {}, None) == ["i"]
