"""The page about scaling, as Markdown: ``python -m caraway.planning.page``."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from caraway.planning import bill, capacity, counts, limits
from caraway.planning.estimate import DOORS, estimate
from caraway.planning.prices import US_EAST_1
from caraway.planning.report import dollars, duration, number
from caraway.planning.workload import CPU_SHARE, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from caraway.planning.counts import Door
    from caraway.planning.estimate import AtDoor

SIZES: Final = (1e5, 1e6, 1e7, 5e7, 1e8, 1e9)
PLANNED: Final = Workload(5e7)
FREE: Final[dict[str, Any]] = {"idempotent": True, "ignore_result": True}

KINDS: Final[Sequence[tuple[str, dict[str, Any]]]] = (
    ("as it is: a claim and a result", {}),
    ("sent ten together", {"sent_together": 10}),
    ("`ignore_result=True`", {"ignore_result": True}),
    ("`idempotent=True`", {"idempotent": True}),
    ("both", FREE),
    ("both, sent ten together", {**FREE, "sent_together": 10}),
    ("each result read once", {"result_reads": 1}),
    ("half of them members of chords", {"chord_share": 0.5}),
    ("one retry for ten tasks", {"retries": 0.1}),
    ("arguments of 20 KB", {"payload_kb": 20}),
    ("arguments of 400 KB, in S3", {"payload_kb": 400}),
    ("results of 3 KB", {"result_kb": 3}),
    ("results of 20 KB, in S3", {"result_kb": 20}),
    ("FIFO queues", {"fifo": True}),
    ("x86_64", {"architecture": "x86_64"}),
    ("ten tasks at a time in an invocation", {"lambda_concurrency": 10}),
    ("tasks of 20 ms", {"mean_ms": 20}),
    ("tasks of 2 s", {"mean_ms": 2_000}),
    ("tasks that only compute", {"cpu_ms": 200}),
    ("workers on Fargate Spot", {"spot": True}),
    ("workers behind a NAT gateway", {"network": "nat"}),
)

BURSTS: Final = ((2, 10), (3, 10), (10, 1), (10, 10), (50, 1))


def markdown() -> str:
    """Return ``docs/scaling.md``."""
    return _PAGE.format(
        as_of=US_EAST_1.as_of,
        region=US_EAST_1.region,
        cost=_table(
            ("tasks a day", "a second", "Lambda $", "ECS $", "$ a million: Lambda", "ECS"),
            map(_cost_row, SIZES),
        ),
        services=_services(),
        needs=_table(
            (
                "tasks a day",
                "invocations at a time",
                "workers",
                "DynamoDB write units a second, in the burst",
                "limits met: Lambda",
                "ECS",
            ),
            map(_need_row, SIZES),
        ),
        kinds=_table(("", "requests", "Lambda $", "ECS $"), (_kind_row(*kind) for kind in KINDS)),
        bursts=_table(
            ("burst", "door", "messages wait", "one that comes then waits", "none waits after"),
            (row for each in BURSTS for row in _burst_rows(*each)),
        ),
        limits=_table(("limit", "of", "door", "what to do"), _limit_rows()),
        largest=_table(("", "Lambda $", "ECS $"), _largest_rows()),
        cpu_share=number(100 * CPU_SHARE),
        used=number(100 * PLANNED.utilisation),
        slots=PLANNED.worker_concurrency,
        envelope=counts.ENVELOPE_BYTES,
        claim=counts.CLAIM_BYTES,
        ending=counts.ENDING_BYTES,
        round_trip=number(capacity.ROUND_TRIP_MS),
        invocation=number(capacity.INVOCATION_MS),
        ahead=number(capacity.CLAIMED_AHEAD_MS),
        task_cpu=number(capacity.TASK_CPU_MS),
        request_cpu=number(capacity.REQUEST_CPU_MS),
        starts=capacity.SOURCE_STARTS,
        grows=capacity.SOURCE_GROWS_A_MINUTE,
        source=number(capacity.SOURCE_LIMIT),
        lambda_log=bill.LOG_BYTES["lambda"],
        ecs_log=bill.LOG_BYTES["ecs"],
        in_flight=number(limits.IN_FLIGHT),
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cost_row(tasks_per_day: float) -> list[str]:
    work = replace(PLANNED, tasks_per_day=tasks_per_day)
    totals = [each.dollars for each in estimate(work).values()]
    millions = work.per_month / 1e6
    return [
        number(tasks_per_day),
        number(work.per_second),
        *map(dollars, totals),
        *(dollars(total / millions) for total in totals),
    ]


def _services() -> str:
    doors = estimate(PLANNED)
    names = dict.fromkeys(name for each in doors.values() for name in each.by_service)
    return _table(
        ("", "Lambda $", "ECS $"),
        (
            [name, *(dollars(each.by_service.get(name)) for each in doors.values())]
            for name in names
        ),
    )


def _need_row(tasks_per_day: float) -> list[str]:
    work = replace(PLANNED, tasks_per_day=tasks_per_day)
    doors = estimate(work)
    writes = doors["ecs"].burst.per_second * doors["ecs"].counts.write_units
    met = [str(sum(each.is_met for each in at.limits)) for at in doors.values()]
    units = [number(ceil(each.capacity.units)) for each in doors.values()]
    return [number(tasks_per_day), *units, number(writes), *met]


def _kind_row(name: str, options: dict[str, Any]) -> list[str]:
    doors = estimate(replace(PLANNED, **options))
    requests = " / ".join(f"{each.counts.requests:.2f}" for each in doors.values())
    return [name, requests, *(dollars(each.dollars) for each in doors.values())]


def _burst_rows(factor: float, minutes: float) -> list[list[str]]:
    doors = estimate(replace(PLANNED, burst_factor=factor, burst_minutes=minutes))
    name = f"{number(factor)} x for {number(minutes)} min"
    return [[name, door, *_burst_cells(each)] for door, each in doors.items()]


def _burst_cells(each: AtDoor) -> list[str]:
    left = each.burst
    return [number(left.depth), duration(left.waits_s), duration(left.drained_s)]


def _limit_rows() -> list[list[str]]:
    work = replace(PLANNED, fifo=True, chord_share=0.01)
    at: dict[str, tuple[float, str, list[Door]]] = {}
    for door, each in estimate(work).items():
        for limit in each.limits:
            at.setdefault(limit.what, (limit.limit, limit.remedy, []))[2].append(door)
    return [
        [what, number(limit), "both" if len(doors) == len(DOORS) else doors[0], remedy]
        for what, (limit, remedy, doors) in at.items()
    ]


def _largest_rows() -> list[list[str]]:
    steps: Sequence[tuple[str, dict[str, Any]]] = (
        ("as it is", {}),
        ("sent ten together", {"sent_together": 10}),
        ("and ten tasks at a time in an invocation", {"lambda_concurrency": 10}),
        ("and `idempotent=True`", {"idempotent": True}),
        ("and `ignore_result=True`", {"ignore_result": True}),
        ("and workers on Fargate Spot", {"spot": True}),
    )
    rows: list[list[str]] = []
    options: dict[str, Any] = {}
    for name, more in steps:
        options = {**options, **more}
        doors = estimate(replace(PLANNED, tasks_per_day=1e9, **options))
        rows.append([name, *(dollars(each.dollars) for each in doors.values())])
    return rows


_PAGE: Final = """\
# Scaling

<!-- Written by `python -m caraway.planning.page`; a test compares the two. -->

What a load costs on AWS, what it needs, and which limits it meets, from a few tasks to a billion a
day. The figures come from a model, which you can ask about your own load:

```console
$ caraway estimate --tasks-per-day 50e6 --mean-ms 200 --payload-kb 2
$ caraway estimate --tasks-per-day 1e9 --idempotent --ignore-result --sent-together 10
$ caraway estimate --tasks-per-day 5e6 --chord-share 0.5 --burst-factor 10 --json
```

It asks AWS for nothing. Prices are list prices of {region} as of {as_of}, without the free tier
(the first million requests to SQS and Lambda, 400,000 GB-seconds, 25 GB in DynamoDB, 5 GB of logs,
and 14 million messages of EventBridge Scheduler each month), savings plans and taxes. What your
tasks do on AWS themselves is not in it.

## What it costs

Tasks of 200 ms, {cpu_share}% of them CPU, with 1 KB of arguments, a claim and a result, sent by
lone `delay()` calls; the function and the workers as in the templates. Dollars a month:

{cost}

Fifty million a day, by service:

{services}

The workers are as many as the average load needs, day and night, used to {used}%. The function
costs nothing while nothing is to be done but the polls of its event source. So Lambda is cheaper
for small and for uneven loads, ECS for large and even ones, and for tasks that wait: a function is
billed for the time in which its task waits for others, and a worker runs {slots} tasks at a time
meanwhile.

## What changes it

Fifty million tasks a day. "Requests" are those of producer and worker for a task, at the two doors;
dollars are a month's.

{kinds}

- **Sends.** A lone `delay()` is a request; ten messages that are sent together are one. A
  [group](canvas.md), many `adelay()` at once and a [batch](guide.md#many-calls-at-once) do that.
- **SQS bills 64 KB as a request**, so ten messages of 6 KB cost what one does. Plain code that
  sends a group or a batch cuts it so that these are full: nine messages of 7 KB, not ten.
- **DynamoDB bills each write by its kilobytes**, batched or not. A claim and an ending are a
  kilobyte each while the result is small. `idempotent=True` spares the claim, and with
  `ignore_result=True` the table is not asked at all.
- **In an invocation** tasks run one after the other. Ten of a few milliseconds share their claims
  and their endings: two requests. Of longer ones the ending of each travels with the claim of the
  next: eleven. With `lambda_handler(app, concurrency=10)` ten run together and share both; that
  pays for tasks that wait.
- **Logs** are a large line of the bill. Two lines a task are {lambda_log} bytes on Lambda and
  {ecs_log} on ECS; `LogLevel` of the template and `-l warning` leave them out.

## What it needs

The same tasks. A burst of three times the load for ten minutes decides on the limits.

{needs}

An event source begins with {starts} invocations at a time, adds {grows} a minute while messages
wait, and has {source} at most. The template holds it at `MaximumConcurrency` (10): raise that
first. The number of workers is taken as fixed in a burst, because a service takes minutes to start
more; `MaxWorkers` of `infra/ecs.yaml` shortens what follows.

Fifty million a day, in bursts:

{bursts}

Messages that wait cost nothing more and are lost only after 14 days.

## Limits

`caraway estimate` names those that a load comes near.

{limits}

Each queue has its own limits: tasks that are [routed](guide.md#queues-and-routing) to several
queues, each with its event source, have them several times. Records are spread by their ids, so no
partition of the table is hot: the busiest item is a chord's node, which takes a hundred writes in
its life.

## A billion a day

11,574 tasks a second, 34,722 in a burst. What to do, one after the other:

{largest}

- Ask for the quotas beforehand: Lambda's concurrent executions, Fargate's vCPUs, DynamoDB's write
  throughput of a table. A new table takes 4,000 write units a second until it is warmed up, then
  twice what it ever had within half an hour.
- Eight queues: an event source each, and {in_flight} messages in flight each. Standard queues have
  no limit of throughput; a FIFO queue takes 300 calls a second, or 70,000 with high throughput.
- Producers that send ten together make 1,157 requests a second, at about a millisecond of CPU each.
- One stack has one table. Two stacks, with prefixes of their own, share nothing; that is also how
  to try a new version on a part of the load.

## The model

- What a task asks of AWS is what the tests count: for each kind of task, retry and chord
  ([`test_planning_counts`](../tests/unit/test_planning_counts.py)) and for batches on both doors
  ([`test_requests_per_task`](../tests/integration/test_requests_per_task.py)). A model that says
  otherwise fails them.
- A message has {envelope} bytes besides its arguments, a record {claim} bytes after the claim and
  {ending} besides its result after the ending. Records stay 15 days, those of a chord's members 30,
  payloads in S3 30.
- Ten messages come with each receive while messages wait. If workers wait for messages instead,
  they come one by one: `caraway estimate` shows that bill too (`--batch-size 1`), and a real load
  lies between the two.
- A request to DynamoDB takes {round_trip} ms, an invocation {invocation} ms besides its tasks.
- A slot of a worker is held while the function runs, and by tasks of more than {ahead} ms for the
  claim before it; the ending is
  [written after that](adr/0015-a-slot-is-a-running-functions.md).
- A worker computes {task_cpu} ms for a task of its own, and {request_cpu} ms for each request
  (`make bench`). A function has a vCPU at 1,769 MB, and a part of it below.
- Workers are used to {used}% by the average load (`--utilisation`).
- Left out: what fair queues cost on top, the image in ECR, Container Insights, alarms, traffic
  between zones or out of AWS, KMS keys of your own, storage of logs.

The code is `caraway.planning`: plain arithmetic, a module for each of counts, capacity, bill and
limits.
"""


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
