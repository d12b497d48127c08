"""The page of the benchmarks: a function of the figures, which judges the aims."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import aims, figures, page
from benchmarks.figures import Figures
from benchmarks.peers.profiling import profiled
from benchmarks.systems import BY_NAME, SYSTEMS, WIDER

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"caraway": "1.2.3", "python": "3.11", "versions": {"celery": "5"}, "load": 0.1}


def worked(system: str, *, cpu_s: float = 1.0, wall_s: float = 1.0, **more: Any) -> dict[str, Any]:
    """Return a row of 1,000 tasks with 0.2 requests each."""
    requests = {"sqs:ReceiveMessage": 100, "sqs:DeleteMessageBatch": 100}
    row = {"round": 0, "system": system, "ms": 0, "tasks": 1_000, "requests": requests}
    return {**row, "cpu_s": cpu_s, "wall_s": wall_s, **more}


def kept(folder: Path, **sections: list[dict[str, Any]]) -> Figures:
    """Return figures that have been written and read."""
    for name, rows in sections.items():
        figures.save(folder, name, {"machine": MACHINE, "rounds": 3, "part": 1.0, "rows": rows})
    return Figures(folder)


@pytest.mark.parametrize(("cpu_s", "is_met"), [(0.4, True), (0.41, False)])
def test_an_aim_against_a_peer_is_judged_by_the_figures_of_the_same_run(
    tmp_path: Path, cpu_s: float, is_met: bool
) -> None:
    rows = [
        worked("caraway-cheapest", cpu_s=cpu_s),
        worked("celery", cpu_s=3.0),
        worked("celery-tuned", cpu_s=2.0),
    ]
    (aim,) = aims.aims(kept(tmp_path, work=rows))
    assert aim.is_met is is_met
    assert "1/5 of Celery on SQS (2.00)" in aim.aim


def test_what_a_worker_costs_is_judged_by_the_cheapest_of_its_pools_as_the_peers_is(
    tmp_path: Path,
) -> None:
    rows = [
        worked("caraway-cheapest", cpu_s=0.5),
        worked("caraway-cheapest-threads", cpu_s=0.4),
        worked("celery", cpu_s=3.0),
        worked("celery-tuned", cpu_s=2.0),
    ]
    (aim,) = aims.aims(kept(tmp_path, work=rows))
    assert aim.is_met
    assert aim.measured == "0.400, 1/5.0 (no record, threads)"


def test_a_slow_worker_is_excused_by_a_busy_cpu_only(tmp_path: Path) -> None:
    def fast(cpu_s: float, wall_s: float) -> bool:
        row = worked("caraway-cheapest", ms=20, cpu_s=cpu_s, wall_s=wall_s)
        (aim,) = aims.aims(kept(tmp_path, work=[row]))
        return aim.is_met

    assert fast(0.1, 0.5)
    assert fast(0.95, 1.0)
    assert not fast(0.5, 1.0)


def test_how_fast_a_worker_is_is_judged_by_the_fastest_of_its_pools_and_settings(
    tmp_path: Path,
) -> None:
    rows = [
        worked("caraway", ms=20, cpu_s=0.5, wall_s=2.0),
        worked("caraway-100", ms=20, cpu_s=0.5, wall_s=0.9),
        worked("caraway-threads-100", ms=20, cpu_s=0.5, wall_s=0.8),
    ]
    figures = kept(tmp_path, work=rows)
    (aim,) = aims.aims(figures)
    assert aim.is_met
    assert aim.measured == "1,250, 62% of a CPU (default, threads, 100 at a time)"
    text = page.text(figures)
    assert "| Caraway, default, 100 at a time | 1,111 |" in text
    assert text.count("Caraway, default, 100 at a time") == 1  # where requests take long only


def test_the_wider_settings_of_a_system_differ_in_nothing_but_a_number() -> None:
    assert [system.name for system in WIDER] == [
        *("caraway-cheapest-100", "caraway-100", "caraway-cheapest-threads-100"),
        *("caraway-threads-100", "celery-tuned-100", "celery-dynamodb-tuned-100"),
        *("dramatiq-100", "taskiq-100"),
    ]
    for system in WIDER:
        narrow = BY_NAME[system.like]
        assert [
            (before, now)
            for before, now in zip(narrow.worker, system.worker, strict=True)
            if before != now
        ] == [("20", "100")]


def test_medians_and_ranges_of_the_rounds_are_shown(tmp_path: Path) -> None:
    rows = [worked("caraway", cpu_s=each) for each in (0.5, 0.25, 0.75)]
    text = page.text(kept(tmp_path, work=rows))
    assert "| Caraway, default | 0.500 (0.250 to 0.750) | 1.00 |" in text
    assert "Caraway 1.2.3, Python 3.11, celery 5." in text
    assert "in 3 rounds" in text


def test_each_section_that_was_measured_is_on_the_page_and_no_other(tmp_path: Path) -> None:
    sent = {"mode": "group", "cpu_s": 0.1, "wall_s": 0.1, "tasks": 1_000}
    figures = kept(
        tmp_path,
        work=[worked(system.name) for system in SYSTEMS],
        local=[worked("caraway")],
        producers=[
            {**sent, "system": "caraway", "ms": ms, "requests": {"sqs:SendMessageBatch": 100}}
            for ms in (0, 20)
        ],
        latency=[{"system": "caraway", "seconds": [0.010, 0.011, 0.012]}],
        growth=[
            worked("caraway", memory_mb=[[500, 50.0], [1_000, 50.5]], producer_mb=40.0)
            | {"sent": {"cpu_s": 0.1, "requests": {"sqs:SendMessageBatch": 100}}}
        ],
        profile=[
            {"tasks": 10, "seconds": {"caraway.aws.sigv4": 0.1, "caraway.calls": 0.3, "zlib": 0.1}}
        ],
        handler=[{**worked("caraway"), "concurrency": 1, "ms": 20}],
        package=[{"part": "boto3", "mb": 3.0}],
    )
    text = page.text(figures)
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "## Aims",
        "## Requests of a worker",
        "## CPU of a worker",
        "## Throughput",
        "## On the local engine",
        "## Producers",
        "## From call to result",
        "## Growth",
        "## Memory",
        "## Where a producer's CPU goes",
        "## A Lambda function",
        "## The Lambda package",
    ]
    assert page.text(figures) == text
    assert "| Caraway: describing the call | 60% | `caraway.calls` 60.0% |" in text
    assert "| the rest | 20% | `zlib` 20.0% |" in text


def test_a_profile_counts_what_is_written_in_c_for_the_module_that_called_it() -> None:
    def spend(count: int) -> None:
        json.dumps(sorted(range(count)))

    seconds = profiled(spend, 100_000)
    assert set(seconds) == {"json", "json.encoder", __name__}
    assert all(each > 0 for each in seconds.values())
