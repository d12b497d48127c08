"""User code ends as a value, whatever it does."""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import Any

import pytest

from caraway.aws.asyncio_aws import call_anywhere
from caraway.aws.user_code import call_async, call_blocking
from caraway.core.port import Raised, Returned

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


def fail(error: BaseException) -> Any:
    raise error


async def afail(error: BaseException) -> Any:
    await asyncio.sleep(0)
    raise error


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


async def seen() -> str:
    return request.get()


# -- in the calling thread ------------------------------------------------------------------------


@pytest.mark.parametrize("falsy", [None, 0, "", False, []])
def test_a_falsy_result_is_a_result(falsy: Any) -> None:
    assert call_blocking(lambda: falsy) == Returned(falsy)


def test_a_coroutine_function_is_run_to_its_end() -> None:
    assert call_blocking(double, 4) == Returned(8)
    assert call_blocking(partial(double, 4)) == Returned(8)


def test_a_coroutine_function_is_run_inside_a_running_loop_too() -> None:
    async def inside() -> Any:
        return call_blocking(double, 4)

    assert asyncio.run(inside()) == Returned(8)


@pytest.mark.parametrize("function", [fail, afail])
@pytest.mark.parametrize(
    "error", [ValueError("bad"), SystemExit(3), asyncio.CancelledError(), StopIteration()], ids=repr
)
def test_what_user_code_raises_is_its_outcome(function: Any, error: BaseException) -> None:
    outcome = call_blocking(function, error)
    assert isinstance(outcome, Raised)
    if not isinstance(error, StopIteration | asyncio.CancelledError):
        assert outcome.error is error
        assert outcome.error.__traceback__ is not None


def test_arguments_that_do_not_fit_are_an_outcome() -> None:
    for function in (double, len):
        outcome = call_blocking(function)
        assert isinstance(outcome, Raised)
        assert isinstance(outcome.error, TypeError)


@pytest.mark.parametrize("function", [fail, afail])
def test_an_interrupt_from_the_keyboard_goes_through(function: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        call_blocking(function, KeyboardInterrupt())


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_the_context_of_the_caller_is_seen(in_a_loop: bool) -> None:
    async def inside() -> Any:
        return call_blocking(seen)

    def call() -> Any:
        request.set("mine")
        return asyncio.run(inside()) if in_a_loop else call_blocking(seen)

    assert contextvars.copy_context().run(call) == Returned("mine")


# -- on the running loop --------------------------------------------------------------------------


def test_a_coroutine_function_is_awaited_in_the_callers_context() -> None:
    async def main() -> list[Any]:
        request.set("mine")
        return [await call_async(double, 2), await call_async(seen)]

    assert asyncio.run(main()) == [Returned(4), Returned("mine")]


@pytest.mark.parametrize(
    "error", [ValueError("bad"), SystemExit(3), asyncio.CancelledError()], ids=repr
)
def test_what_a_coroutine_raises_is_its_outcome(error: BaseException) -> None:
    outcome = asyncio.run(call_async(afail, error))
    assert isinstance(outcome, Raised)
    assert type(outcome.error) is type(error)


def test_awaiting_something_cancelled_is_the_outcome_of_who_awaits() -> None:
    async def awaits_what_is_cancelled() -> None:
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        await other

    outcome = asyncio.run(call_async(awaits_what_is_cancelled))
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, asyncio.CancelledError)


def test_a_cancellation_reaches_the_function_and_goes_through() -> None:
    steps: list[str] = []

    async def patient() -> None:
        steps.append("began")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("cleaned up")
            raise

    async def main() -> None:
        caller = asyncio.ensure_future(call_async(patient))
        while not steps:
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(main())
    assert steps == ["began", "cleaned up"]


def test_an_interrupt_from_the_keyboard_ends_the_loop() -> None:
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(call_async(afail, KeyboardInterrupt()))


def test_functions_run_in_threads_and_coroutines_on_the_loop() -> None:
    def has_loop() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    async def ahas_loop() -> bool:
        return has_loop()

    async def main() -> list[Any]:
        request.set("mine")
        return [
            await call_anywhere(has_loop),
            await call_anywhere(ahas_loop),
            await call_anywhere(request.get),
        ]

    assert asyncio.run(main()) == [Returned(False), Returned(True), Returned("mine")]
