"""The short form of ``make chaos``: both doors at once, with fixed seeds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.chaos.run import run
from tests.chaos.scenarios import SHORT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("unmeasured")

SEED = 7


@pytest.mark.e2e
def test_nothing_is_lost_and_nothing_is_recorded_twice_whatever_breaks(tmp_path: Path) -> None:
    folders = [tmp_path / scenario.name for scenario in SHORT]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(len(SHORT)) as threads:  # most of the time is waited for leases
        reports = list(
            threads.map(lambda scenario, folder: run(scenario, SEED, folder), SHORT, folders)
        )
    for report in reports:
        assert report.findings == [], (report.scenario.name, report.waited_for)
        assert sum(report.faults.values()) > 0, report.scenario.name
        assert set(report.exit_codes) <= {0}
    assert sum(report.tasks for report in reports) >= 360
