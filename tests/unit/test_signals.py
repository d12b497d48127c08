"""Signals: receivers are told what has happened."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

from caraway import Caraway, shared_task, signals
from caraway.exceptions import ImproperlyConfigured
from caraway.signals import Signal


@pytest.fixture
def signal() -> Signal:
    return Signal("done")


class Heard:
    """A receiver that remembers the senders it was told of."""

    def __init__(self) -> None:
        self.senders: list[Any] = []

    def __call__(self, sender: Any, **_: Any) -> None:
        self.senders.append(sender)


def test_receivers_are_told_in_the_order_in_which_they_were_connected(signal: Signal) -> None:
    heard: list[Any] = []

    @signal.connect
    def first(sender: str, **arguments: Any) -> str:
        heard.append(("first", sender, arguments))
        return "one"

    @signal.connect()
    def second(sender: str, **_: Any) -> str:
        heard.append(("second", sender))
        return "two"

    assert signal.send("shop", source=5) == [(first, "one"), (second, "two")]
    assert heard == [
        ("first", "shop", {"signal": signal, "source": 5}),
        ("second", "shop"),
    ]
    assert repr(signal) == "<Signal: done>"


def test_a_receiver_may_hear_of_one_sender_only(signal: Signal) -> None:
    heard: list[str] = []
    shop = object()
    signal.connect(lambda **_: heard.append("shop"), sender=shop)
    signal.connect(lambda **_: heard.append("all"))
    signal.send(object())
    signal.send(shop)
    assert heard == ["all", "shop", "all"]


def test_a_task_is_a_sender_by_itself_and_by_its_name(signal: Signal) -> None:
    shop, museum = Caraway("shop"), Caraway("museum")
    here, there = (app.task(name="add")(lambda: 1) for app in (shop, museum))
    by_task, by_name, of_another = Heard(), Heard(), Heard()
    signal.connect(by_task, sender=here)
    signal.connect(by_name, sender="add")
    signal.connect(of_another, sender="multiply")
    for sender in (here, "add", there):
        signal.send(sender)
    assert by_task.senders == [here, "add"]
    assert by_name.senders == [here, "add", there]
    assert of_another.senders == []


def test_a_shared_task_is_the_sender_that_its_task_of_an_app_is(signal: Signal) -> None:
    app = Caraway("shop")

    @shared_task
    def add(x: int) -> int:
        return x

    @app.task
    def multiply(x: int) -> int:
        return x

    heard = Heard()
    signal.connect(heard, sender=add)
    signal.send(app.tasks[add.name])
    signal.send(multiply)
    assert heard.senders == [app.tasks[add.name]]


def test_a_worker_is_a_sender_by_its_host_name(signal: Signal) -> None:
    class Worker:
        hostname = "caraway@one"

    heard = Heard()
    signal.connect(heard, sender="caraway@one")
    signal.send(Worker())
    signal.send("caraway@two")
    assert len(heard.senders) == 1
    assert signal.has_listeners("caraway@one")
    assert not signal.has_listeners("caraway@two")


def test_a_receiver_is_told_once_however_often_it_is_connected(signal: Signal) -> None:
    heard = Heard()
    signal.connect(heard)
    signal.connect(heard)
    signal.send("x")
    assert heard.senders == ["x"]
    assert signal.disconnect(heard)
    assert not signal.disconnect(heard)
    signal.send("x")
    assert heard.senders == ["x"]
    assert not signal.receivers


def test_an_id_tells_receivers_apart_in_place_of_themselves(signal: Signal) -> None:
    first, again = Heard(), Heard()
    signal.connect(first, dispatch_uid="mail")
    signal.connect(again, dispatch_uid="mail")
    signal.send("x")
    assert (first.senders, again.senders) == (["x"], [])
    assert signal.disconnect(dispatch_uid="mail")
    signal.send("x")
    assert first.senders == ["x"]


class Office:
    """Something whose method is a receiver."""

    def __init__(self) -> None:
        self.heard = Heard()

    def tell(self, sender: Any, **_: Any) -> None:
        self.heard(sender)


def test_a_receiver_is_kept_unless_it_is_connected_weakly(signal: Signal) -> None:
    kept, forgotten = Office(), Office()
    heard_kept, heard_forgotten = kept.heard, forgotten.heard
    signal.connect(kept.tell)
    signal.connect(forgotten.tell, weak=True)
    signal.connect(forgotten.tell, weak=True)
    signal.send(1)
    del kept, forgotten
    gc.collect()
    signal.send(2)
    assert (heard_kept.senders, heard_forgotten.senders) == ([1, 2], [1])
    assert len(signal.receivers) == 1


def test_a_weak_receiver_can_be_disconnected(signal: Signal) -> None:
    def receiver(**_: Any) -> None:
        raise AssertionError

    signal.connect(receiver, weak=True)
    assert signal.disconnect(receiver)
    signal.send(1)


def test_what_a_receiver_raises_is_logged_and_the_others_are_told(
    signal: Signal, caplog: pytest.LogCaptureFixture
) -> None:
    heard, oops = Heard(), ValueError("oops")

    @signal.connect
    def broken(**_: Any) -> None:
        raise oops

    signal.connect(heard)
    with caplog.at_level(logging.ERROR, logger="caraway"):
        assert signal.send("x") == [(broken, oops), (heard, None)]
    assert heard.senders == ["x"]
    (record,) = caplog.records
    assert "of signal done raised" in record.message
    assert record.exc_info
    assert record.exc_info[1] is oops


def test_a_signal_may_let_through_what_a_receiver_raises() -> None:
    signal = Signal("done", propagates=True)

    @signal.connect
    def broken(**_: Any) -> None:
        raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        signal.send(None)


def test_what_cannot_receive_is_refused_when_it_is_connected(signal: Signal) -> None:
    async def waits(**_: Any) -> None: ...

    def picky(sender: Any) -> None: ...

    for receiver, why in (
        (5, "cannot be called"),
        (waits, "nothing would await it"),
        (picky, r"give .*picky.* a \*\*kwargs"),
    ):
        with pytest.raises(ImproperlyConfigured, match=why):
            signal.connect(receiver)  # type: ignore[type-var]


def test_every_signal_is_known_by_its_name() -> None:
    for name, signal in signals.SIGNALS.items():
        assert signal.name == name
        assert getattr(signals, name) is signal


@pytest.mark.parametrize("name", signals.NO_MEANING)
def test_a_signal_of_celery_without_a_meaning_says_what_takes_its_place(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{name!r} has no meaning here: "):
        getattr(signals, name)


def test_an_unknown_signal_suggests_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'task_prerun'"):
        getattr(signals, "task_preruns")  # noqa: B009
