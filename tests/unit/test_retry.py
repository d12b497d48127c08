"""When a failed attempt is tried again by itself, and when it gives up."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.retry import RetryPolicy, exhausted
from caraway.exceptions import ImproperlyConfigured


def delay_s(retries: int = 0, seed: int = 0, **options: Any) -> float:
    return RetryPolicy(**options).automatic_delay_s(retries, random.Random(seed))


def test_only_the_named_exceptions_lead_to_a_retry() -> None:
    policy = RetryPolicy(autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,))
    assert policy.retries_by_itself(ConnectionError())
    assert not policy.retries_by_itself(FileNotFoundError())
    assert not policy.retries_by_itself(ValueError())
    assert not RetryPolicy().retries_by_itself(ValueError())


def test_the_delay_is_the_default_unless_retry_kwargs_name_one() -> None:
    assert delay_s() == 180
    assert delay_s(default_retry_delay_s=5) == 5
    assert delay_s(retry_kwargs={"countdown": 7}) == 7


def test_a_back_off_doubles_up_to_its_bound() -> None:
    options = {"retry_backoff": True, "retry_jitter": False, "retry_backoff_max_s": 10}
    assert [delay_s(retries, **options) for retries in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_back_off_may_have_a_factor() -> None:
    assert [delay_s(n, retry_backoff=3, retry_jitter=False) for n in range(3)] == [3, 6, 12]


@given(st.integers(0, 100_000), st.integers(0, 1_000), st.integers(1, 500))
def test_jitter_lies_between_nothing_and_the_back_off(retries: int, seed: int, bound: int) -> None:
    delay = delay_s(retries, seed, retry_backoff=True, retry_backoff_max_s=bound)
    assert 0 <= delay <= min(bound, 2.0 ** min(retries, 64))


def test_the_limit_of_automatic_retries_may_differ() -> None:
    assert RetryPolicy(max_retries=2).automatic_max_retries == 2
    assert RetryPolicy(retry_kwargs={"max_retries": 9}).automatic_max_retries == 9
    assert RetryPolicy(retry_kwargs={"max_retries": None}).automatic_max_retries is None


@pytest.mark.parametrize(
    ("retries", "limit", "is_exhausted"),
    [(0, 0, True), (0, 1, False), (1, 1, True), (2, 1, True), (10**6, None, False)],
)
def test_a_task_is_exhausted_after_its_last_retry(
    retries: int, limit: int | None, is_exhausted: bool
) -> None:
    assert exhausted(retries, limit) is is_exhausted


def test_a_list_of_exceptions_will_do() -> None:
    policy = RetryPolicy(autoretry_for=[ValueError])  # type: ignore[arg-type]
    assert policy.retries_by_itself(ValueError())


@pytest.mark.parametrize(
    "options",
    [
        {"autoretry_for": ValueError},
        {"autoretry_for": ("ValueError",)},
        {"dont_autoretry_for": (int,)},
        {"retry_kwargs": {"max_retry": 5}},
    ],
)
def test_a_wrong_option_is_refused_when_the_task_is_declared(options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        RetryPolicy(**options)
