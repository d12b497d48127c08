"""Waiting for the end of a run: on a machine that is busy nothing is given up too early."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from tests.chaos.stage import SLOWEST, slowness
from tests.chaos.waiting import PATIENCE_S, Patience


@dataclass
class Machine:
    time: float = 1_000.0
    slowness: float = 1.0

    def patience(self) -> Patience:
        return Patience(lambda: self.time, lambda: self.slowness)


def gives_up_after(machine: Machine, patience: Patience, state: object) -> float:
    """Look each second at something that stays as it is; return when it is given up."""
    began = machine.time
    while not patience.ends(state):
        machine.time += 1
    return machine.time - began


@pytest.mark.parametrize("slowness", [1.0, 2.0, 8.0])
def test_what_does_not_move_is_given_up_the_later_the_busier_the_machine_is(
    slowness: float,
) -> None:
    machine = Machine(slowness=slowness)
    assert gives_up_after(machine, machine.patience(), "still") == PATIENCE_S * slowness


def test_what_moves_is_not_given_up() -> None:
    machine = Machine()
    patience = machine.patience()
    for state in range(10):
        assert not patience.ends(state)
        machine.time += PATIENCE_S - 1
        assert not patience.ends(state)
        machine.time += 0.5
    assert gives_up_after(machine, patience, "still") == PATIENCE_S


def test_a_machine_that_becomes_busy_has_more_time_from_then_on() -> None:
    machine = Machine()
    patience = machine.patience()
    assert not patience.ends("still")
    machine.time += PATIENCE_S / 2
    assert not patience.ends("still")
    machine.slowness = 4.0
    assert gives_up_after(machine, patience, "still") == PATIENCE_S / 2 * 4


@pytest.mark.parametrize(
    ("wanting", "expected"), [(0.1, 1.0), (1.0, 1.0), (2.5, 2.5), (50, SLOWEST)]
)
def test_a_machine_is_as_slow_as_processes_want_each_cpu_within_limits(
    wanting: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (2 * wanting, 0.0, 0.0))
    assert slowness() == expected
