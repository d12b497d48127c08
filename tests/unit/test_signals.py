"""Signals: receivers are told what has happened."""

from __future__ import annotations

from typing import Any

import pytest

from caraway.signals import Signal


def test_receivers_are_told_in_the_order_in_which_they_were_connected() -> None:
    signal = Signal("done")
    heard: list[Any] = []

    @signal.connect
    def first(sender: str, **arguments: Any) -> str:
        heard.append(("first", sender, arguments))
        return "one"

    @signal.connect()
    def second(sender: str, **_: Any) -> str:
        heard.append(("second", sender))
        return "two"

    assert signal.send("shop", source=5) == ["one", "two"]
    assert heard == [
        ("first", "shop", {"signal": signal, "source": 5}),
        ("second", "shop"),
    ]
    assert repr(signal) == "<Signal: done>"


def test_a_receiver_may_hear_of_one_sender_only() -> None:
    signal = Signal("done")
    heard: list[str] = []
    shop = object()
    signal.connect(lambda **_: heard.append("shop"), sender=shop)
    signal.connect(lambda **_: heard.append("all"))
    signal.send(object())
    signal.send(shop)
    assert heard == ["all", "shop", "all"]


def test_a_receiver_is_told_once_however_often_it_is_connected() -> None:
    signal = Signal("done")
    heard: list[int] = []

    def receiver(**_: Any) -> None:
        heard.append(1)

    signal.connect(receiver)
    signal.connect(receiver)
    signal.send(None)
    assert heard == [1]
    assert signal.disconnect(receiver)
    assert not signal.disconnect(receiver)
    signal.send(None)
    assert heard == [1]


def test_what_a_receiver_raises_is_not_swallowed() -> None:
    signal = Signal("done")

    @signal.connect
    def broken(**_: Any) -> None:
        raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        signal.send(None)
