"""The plan of a load: its bill, what it needs, what a burst does, and the limits it meets."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caraway.exceptions import InvalidOption
from caraway.planning.capacity import SOURCE_STARTS, Capacity, burst, capacity
from caraway.planning.estimate import DOORS, estimate
from caraway.planning.prices import TB, US_EAST_1, Tiers
from caraway.planning.workload import Workload

if TYPE_CHECKING:
    from caraway.planning.counts import Door

MILLION = 1e6
FREE: dict[str, Any] = {"idempotent": True, "ignore_result": True}


def a_million_a_month(**options: Any) -> Workload:
    return Workload(MILLION * 24 / 730, **options)


def costs(door: Door, work: Workload) -> dict[tuple[str, str], float]:
    return {(line.service, line.item): line.dollars for line in estimate(work)[door].lines}


# -- the bill ---------------------------------------------------------------------------------


def test_the_cheapest_task_costs_three_tenths_of_a_request_a_log_line_and_its_time() -> None:
    cost = costs("lambda", a_million_a_month(mean_ms=100, sent_together=10, **FREE))
    assert set(cost) == {
        ("SQS", "requests"),
        ("Lambda", "requests"),
        ("Lambda", "GB-seconds"),
        ("CloudWatch Logs", "GB"),
    }
    polls = 15 * 60 * 730 * 0.40 / MILLION
    assert cost["SQS", "requests"] == pytest.approx(0.12 + polls)
    assert cost["Lambda", "requests"] == pytest.approx(0.02)
    assert cost["Lambda", "GB-seconds"] == pytest.approx(100_300 * 0.5 * 13.3334 / MILLION)


def test_a_record_costs_two_writes_and_fifteen_days_of_storage() -> None:
    cost = costs("lambda", a_million_a_month())
    assert cost["DynamoDB", "writes"] == pytest.approx(1.25)
    assert 0.01 < cost["DynamoDB", "GB-months"] < 0.1


def test_a_worker_costs_its_hours() -> None:
    cost = costs("ecs", a_million_a_month(vcpus=1, worker_gb=2, architecture="x86_64"))
    assert cost["Fargate", "vCPU-hours"] == pytest.approx(730 * 0.04048)
    assert cost["Fargate", "GB-hours"] == pytest.approx(730 * 2 * 0.004445)
    assert cost["VPC", "address-hours"] == pytest.approx(3.65)


def test_spot_workers_cost_about_a_third() -> None:
    usual, spot = costs("ecs", Workload(MILLION)), costs("ecs", Workload(MILLION, spot=True))
    assert spot["Fargate", "vCPU-hours"] == pytest.approx(0.3 * usual["Fargate", "vCPU-hours"])


@pytest.mark.parametrize(
    ("network", "items"),
    [
        ("public", {"address-hours"}),
        ("nat", {"NAT gateway-hours", "NAT GB"}),
        ("endpoints", {"endpoint-hours", "endpoint GB"}),
    ],
)
def test_the_way_to_aws_is_billed_for_workers_only(network: Any, items: set[str]) -> None:
    work = Workload(MILLION, network=network)
    assert {item for service, item in costs("ecs", work) if service == "VPC"} == items
    assert not [item for service, item in costs("lambda", work) if service == "VPC"]


def test_traffic_through_endpoints_gets_cheaper_with_its_volume() -> None:
    assert US_EAST_1.endpoint_gb.cost(1_000) == pytest.approx(10)
    assert US_EAST_1.endpoint_gb.cost(2 * 1_024 * TB) == pytest.approx(1_024 * TB * 0.016)


def test_a_payload_in_the_bucket_costs_a_write_a_read_and_a_month() -> None:
    cost = costs("lambda", a_million_a_month(payload_kb=300))
    assert cost["S3", "writes"] == pytest.approx(5.0)
    assert cost["S3", "reads"] == pytest.approx(0.4)
    assert cost["S3", "GB-months"] == pytest.approx(0.023 * 300 * MILLION / 1024**2 * 720 / 730)


def test_the_scheduler_is_billed_by_the_message() -> None:
    work = a_million_a_month()
    cost = costs("lambda", replace(work, scheduled_per_day=work.tasks_per_day))
    assert cost["EventBridge", "Scheduler"] == pytest.approx(1.0)


def test_fifo_requests_cost_more() -> None:
    usual, fifo = costs("ecs", Workload(1e8)), costs("ecs", Workload(1e8, fifo=True))
    assert fifo["SQS", "requests"] == pytest.approx(1.25 * usual["SQS", "requests"])


def test_a_price_falls_with_the_volume() -> None:
    tiers = Tiers(((10, 1.0), (20, 0.5), (inf, 0.1)))
    assert [tiers.cost(units) for units in (0, 4, 10, 14, 20, 30)] == [0, 4, 10, 12, 15, 16]


def test_messages_that_come_one_by_one_cost_more() -> None:
    for each in estimate(Workload(MILLION)).values():
        assert each.dollars_one_by_one > each.dollars
        assert each.dollars == pytest.approx(sum(each.by_service.values()))


# -- what it needs ----------------------------------------------------------------------------


def test_invocations_at_a_time_are_the_rate_times_how_long_each_takes() -> None:
    work = Workload(86_400 * 100, mean_ms=1_000, cpu_ms=0, **FREE)
    having = capacity(work, "lambda")
    assert having.unit_ms == pytest.approx(10_003)
    assert having.units == pytest.approx(100.03)


def test_tasks_that_wait_share_an_invocation_and_tasks_that_compute_do_not() -> None:
    waiting = Workload(MILLION, mean_ms=1_000, cpu_ms=0, lambda_concurrency=10)
    computing = replace(waiting, cpu_ms=1_000)
    assert capacity(waiting, "lambda").unit_ms == pytest.approx(1_013)
    assert capacity(computing, "lambda").unit_ms > 10 * 1_000 * 1_769 / 512


def test_workers_are_as_many_as_their_slots_or_their_cpu_ask_for() -> None:
    slots = Workload(86_400 * 100, mean_ms=1_000, cpu_ms=0, utilisation=0.5, **FREE)
    assert capacity(slots, "ecs").units == 25
    cpu = replace(slots, cpu_ms=100)
    assert capacity(cpu, "ecs").units == pytest.approx(100 * 0.1006 / 0.5 / 0.5, abs=1)


@pytest.mark.parametrize(
    ("idempotent", "mean_ms", "slot_ms"),
    [(False, 50, 50), (False, 1_000, 1_005), (True, 1_000, 1_000)],
)
def test_a_slot_is_held_for_the_function_and_for_a_claim_that_is_not_made_ahead(
    idempotent: bool, mean_ms: float, slot_ms: float
) -> None:
    work = Workload(MILLION, mean_ms=mean_ms, idempotent=idempotent)
    assert capacity(work, "ecs").unit_ms == slot_ms


# -- a burst ----------------------------------------------------------------------------------


def simulated(work: Workload, having: Capacity) -> tuple[float, float]:
    """Return the greatest depth, and when nothing waits any more, moment by moment."""
    step, waiting, most, second, over_s = 0.25, 0.0, 0.0, 0.0, 0.0
    starts = SOURCE_STARTS if having.grows_per_second else 0
    units = min(having.most, max(having.units, starts))
    while second < 60 * work.burst_minutes or waiting > 0:
        is_burst = second < 60 * work.burst_minutes
        rate = work.per_second * (work.burst_factor if is_burst else 1)
        waiting = max(0.0, waiting + (rate - units * having.unit_per_second) * step)
        most = max(most, waiting)
        units = min(having.most, units + having.grows_per_second * step)
        second += step
        over_s = second if waiting else over_s
    return most, over_s


@settings(max_examples=40)
@given(
    tasks_per_day=st.floats(1e5, 1e8),
    mean_ms=st.floats(20, 2_000),
    burst_factor=st.floats(1.5, 20),
    burst_minutes=st.floats(0.5, 5),
    account_concurrency=st.integers(100, 2_000),
)
def test_a_burst_leaves_what_it_would_leave_moment_by_moment(**options: Any) -> None:
    work = Workload(**options)
    for door in DOORS:
        having = capacity(work, door)
        if having.most * having.unit_per_second < 1.3 * work.per_second:
            continue
        depth, over_s = simulated(work, having)
        left = burst(work, having)
        assert left.depth == pytest.approx(depth, rel=0.05, abs=0.5 * left.per_second)
        if left.depth > left.per_second:
            assert left.drained_s == pytest.approx(over_s, rel=0.05, abs=3)


def test_without_a_burst_nothing_waits() -> None:
    for door in DOORS:
        work = Workload(MILLION, burst_factor=1)
        left = burst(work, capacity(work, door))
        assert (left.depth, left.drained_s, left.waits_s) == (0, 0, 0)


def test_a_queue_that_is_never_empty_again_is_told() -> None:
    at_lambda = estimate(Workload(1e9))["lambda"]
    assert at_lambda.burst.drained_s == inf
    assert "the queue grows for ever" in [each.remedy.split(": ")[-1] for each in at_lambda.limits]


# -- limits -----------------------------------------------------------------------------------


def met(door: Door, work: Workload) -> set[str]:
    return {each.what for each in estimate(work)[door].limits if each.is_met}


def test_a_small_load_meets_no_limit() -> None:
    for door in DOORS:
        assert met(door, Workload(MILLION)) == set()


@pytest.mark.parametrize(
    ("door", "options", "what"),
    [
        ("lambda", {"tasks_per_day": 1e9}, "invocations at a time of an event source"),
        ("lambda", {"tasks_per_day": 1e9}, "invocations at a time of the account"),
        ("lambda", {"mean_ms": 100_000}, "seconds that an invocation takes"),
        ("lambda", {"tasks_per_day": 1e9}, "write units a second of a table"),
        ("ecs", {"tasks_per_day": 2e8}, "write units a second of a new table"),
        ("ecs", {"tasks_per_day": 1e8}, "vCPUs of Fargate in a new account"),
        ("ecs", {"tasks_per_day": 1e10}, "workers of an ECS service"),
        (
            "ecs",
            {"tasks_per_day": 1e9, "worker_concurrency": 500, "mean_ms": 60_000, "cpu_ms": 1},
            "messages in flight on a queue",
        ),
        ("ecs", {"tasks_per_day": 1e8, "fifo": True}, "calls a second on a FIFO queue"),
        ("ecs", {"tasks_per_day": 3e9, "fifo": True}, "the same with high throughput"),
    ],
)
def test_a_limit_that_is_met_is_told(door: Door, options: dict[str, Any], what: str) -> None:
    assert what in met(door, Workload(**{"tasks_per_day": MILLION, **options}))


def test_queues_share_the_limits_of_one() -> None:
    one = Workload(3e8, account_concurrency=100_000)
    what = "invocations at a time of an event source"
    assert what in met("lambda", one)
    assert what not in met("lambda", replace(one, queues=4))


# -- nonsense ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tasks_per_day": 0}, "tasks_per_day = 0: expected 1 to"),
        ({"tasks_per_day": float("nan")}, "tasks_per_day = nan"),
        ({"tasks_per_day": inf}, "tasks_per_day = inf"),
        ({"mean_ms": -1}, "mean_ms = -1"),
        ({"mean_ms": 100, "cpu_ms": 200}, "a task that takes 100 ms computes for 0 to 100"),
        ({"cpu_ms": float("nan")}, "cpu_ms = nan"),
        ({"chord_share": 1.5}, "chord_share = 1.5: expected 0 to 1"),
        ({"batch_size": 11}, "batch_size = 11: expected 1 to 10"),
        ({"burst_factor": 0.5}, "burst_factor = 0.5"),
        ({"ignore_result": True, "result_reads": 1}, "there is no result to read"),
        ({"scheduled_per_day": 2e6}, "some of the 1e"),
        ({"vcpus": 1, "worker_gb": 16}, "1 vCPU between 2 and 8 GB"),
    ],
)
def test_nonsense_is_refused_with_what_is_expected(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        Workload(**{"tasks_per_day": MILLION, **options})
    assert said in str(raised.value)
