"""What type checkers know of tasks; `tests/unit/test_typing.py` has mypy check this file.

Each ``type: ignore`` is a mistake that must be found: one that is not needed is an error itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from typing_extensions import assert_type

from caraway import (
    AsyncResult,
    Caraway,
    GroupResult,
    Signature,
    Task,
    chord,
    chunks,
    group,
    shared_task,
)
from caraway.exceptions import Retry

if TYPE_CHECKING:
    from collections.abc import Coroutine  # noqa: F401 - in a string below

app = Caraway("typed")


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(ignore_result=True)
async def fetch(url: str, *, timeout: float = 1.0) -> bytes:
    return url.encode()


@app.task(bind=True, max_retries=5)
def send_email(self: Task[..., Any], to: str, subject: str) -> dict[str, str]:
    assert_type(self.request.retries, int)
    if not to:
        raise self.retry(countdown=1)
    return {to: subject}


@app.task(bind=True)
async def poll(self: Task[..., Any], times: int) -> bool:
    return times > 0


@shared_task
def double(n: int) -> int:
    return n * 2


@shared_task(name="triple")
async def triple(n: int) -> int:
    return n * 3


@app.task
class Resize(Task[[int], str]):
    def run(self, width: int) -> str:
        return str(width)


# -- delay knows the function's parameters, and its result the function's type --------------------

assert_type(add.delay(1), AsyncResult[int])
assert_type(add.delay(1, y=2), AsyncResult[int])
assert_type(add.delay(1).get(timeout=1), int)
add.delay()  # type: ignore[call-arg]
add.delay("1")  # type: ignore[arg-type]
add.delay(1, 2, 3)  # type: ignore[call-arg]
add.delay(1, z=2)  # type: ignore[call-arg]

assert_type(fetch.delay("x", timeout=2), AsyncResult[bytes])
fetch.delay("x", 2)  # type: ignore[call-arg]

assert_type(double.delay(2), AsyncResult[int])
assert_type(triple.delay(2), AsyncResult[int])
double.delay("2")  # type: ignore[arg-type]
triple.delay("2")  # type: ignore[arg-type]


# -- a bound task's parameters begin after the task itself ----------------------------------------

assert_type(send_email.delay("user@example.com", "Hello"), AsyncResult[dict[str, str]])
assert_type(poll.delay(3), AsyncResult[bool])
send_email.delay("user@example.com")  # type: ignore[call-arg]
send_email.delay(send_email, "user@example.com", "Hello")  # type: ignore[call-arg, arg-type]
poll.delay("3")  # type: ignore[arg-type]


# -- direct calls -----------------------------------------------------------------------------

assert_type(add(1, 2), int)
add("1")  # type: ignore[arg-type]


# -- other ways to call -----------------------------------------------------------------------

assert_type(add.apply_async((1, 2), countdown=3), AsyncResult[int])
assert_type(fetch.apply_async(("x",)).get(), bytes)
assert_type(add.apply((1,)).get(), int)
assert_type(add.AsyncResult("id").get(), int)
assert_type(add.s(1), Signature[int])
assert_type(add.si(1).delay(), AsyncResult[int])
assert_type(app.send_task("by.name"), AsyncResult[Any])
assert_type(AsyncResult("id"), AsyncResult[Any])
add.apply_async(args=5)  # type: ignore[arg-type]


# -- canvases know what their results are ----------------------------------------------------------

assert_type(group(add.s(1, 2), add.s(3, 4)), group[list[int]])
assert_type(group(add.s(n, n) for n in range(3)), group[list[int]])
assert_type(group(add.s(n, n) for n in range(3)).delay(), GroupResult)
assert_type(chord([add.s(1, 2)], double.s()), chord[int])
assert_type(chord(group(add.s(1, 2)), fetch.s()), chord[bytes])


# -- maps know what their task returns ------------------------------------------------------------

assert_type(add.map([1, 2]).delay(), AsyncResult[list[int]])
assert_type(add.starmap([(1, 2)]).delay().get(), list[int])
assert_type(add.chunks([(1, 2)], 10), chunks[int])
add.map(5)  # type: ignore[arg-type]
add.chunks([1], 10)  # type: ignore[list-item]


async def asynchronous() -> None:
    assert_type(await add.adelay(1, 2), AsyncResult[int])
    assert_type(await (await fetch.adelay("x")).aget(), bytes)
    assert_type(await add.aapply_async((1,)), AsyncResult[int])
    assert_type(fetch("x"), "Coroutine[Any, Any, bytes]")  # type: ignore[unused-coroutine]
    assert_type(await fetch("x"), bytes)
    await add.adelay("1")  # type: ignore[arg-type]


# -- a retry ends the attempt, unless it is told not to -----------------------------------------


def retrying(task: Task[..., Any]) -> int:
    assert_type(task.retry(throw=False), Retry)
    task.retry(countdown=3)


def replaced(task: Task[..., Any]) -> int:
    task.replace(add.s(1, 2))


# -- settings -----------------------------------------------------------------------------------

assert_type(app.conf.task_table, str)
assert_type(app.conf.result_expires, "float | None")
cast("Any", app.conf).anything  # noqa: B018
app.conf.task_tabel  # type: ignore[attr-defined]  # noqa: B018
