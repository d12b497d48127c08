"""What is stored in EventBridge is fired: each once, in order of time, whatever the looks are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from caraway.core.ids import occurrence_id
from caraway.core.policies import jitter_of
from caraway.core.signing import Signing
from caraway.exceptions import ImproperlyConfigured, LocalError
from caraway.local.firing import Fired, Firing
from caraway.local.virtual import Virtual

if TYPE_CHECKING:
    from collections.abc import Iterable

UTC = timezone.utc
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
ACCOUNT = "us-east-1:123456789012"
MINUTE = timedelta(minutes=1)


@dataclass
class Account:
    """As much of EventBridge as firing asks for, and what arrived."""

    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    invoked: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    changes: int = 0

    def rule(
        self, name: str, expression: str, state: str = "ENABLED", queue: str = "work", **target: Any
    ) -> None:
        arn = f"arn:aws:events:{ACCOUNT}:rule/{name}"
        target = {"Id": "1", "Arn": f"arn:aws:sqs:{ACCOUNT}:{queue}", **target}
        self.rules[name] = {
            "wire": {"Name": name, "Arn": arn, "ScheduleExpression": expression, "State": state},
            "targets": [target],
        }

    def schedule(self, name: str, expression: str, text: str = "", **more: Any) -> None:
        self.changes += 1
        target = {"Arn": f"arn:aws:sqs:{ACCOUNT}:work", "RoleArn": "role", "Input": text}
        self.schedules[name] = {
            "Name": name,
            "GroupName": "default",
            "Arn": f"arn:aws:scheduler:{ACCOUNT}:schedule/default/{name}",
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "State": "ENABLED",
            "Target": target,
            "CreationDate": NOON - timedelta(days=1),
            "LastModificationDate": NOON + timedelta(seconds=self.changes),
            **more,
        }

    def __call__(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(operation)
        match operation:
            case "list_rules":
                return {"Rules": [each["wire"] for each in self.rules.values()]}
            case "list_targets_by_rule":
                return {"Targets": self.rules[params["Rule"]]["targets"]}
            case "list_schedules":
                found = [each for each in self.schedules.values() if each["State"] == "ENABLED"]
                return {"Schedules": found}
            case "get_schedule":
                return self.schedules[params["Name"]]
            case "delete_schedule":
                if self.schedules.pop(params["Name"], None) is None:
                    raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, operation)
                return {}
            case "get_queue_url":
                return {"QueueUrl": f"queue:{params['QueueName']}"}
            case "send_message":
                self.sent.append(params)
                return {}
            case "invoke":
                self.invoked.append(params)
                return {}
        raise AssertionError(f"{service}: {operation}")


def times(fired: Iterable[Fired], name: str | None = None) -> list[str]:
    return [f"{each.sent_at:%d %H:%M:%S}" for each in fired if name in (None, each.name)]


TRANSFORMED: dict[str, Any] = {
    "InputTransformer": {
        "InputPathsMap": {"time": "$.time"},
        "InputTemplate": '{"caraway":1,"task":"t","schedule":"s","scheduled_time":"<time>"}',
    }
}


def message(**fields: Any) -> str:
    return json.dumps({"caraway": 1, "task": "tick", "args": [], **fields})


def entry(when: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a target as beat makes it: ``<time>`` is the rule's time."""
    text = message(schedule="entry", when=when, scheduled_time="<time>", **fields)
    return {
        "InputTransformer": {
            "InputPathsMap": {"time": "$.time"},
            "InputTemplate": text,
        }
    }


def same(moment: datetime) -> datetime:
    return moment


def test_a_rule_is_sent_as_its_transformer_says() -> None:
    account = Account()
    account.rule("hourly", "cron(0 * * * ? *)", **TRANSFORMED)
    (fired,) = Firing(account, NOON).fire(NOON + timedelta(minutes=90))
    assert (fired.name, fired.task, fired.target) == ("s", "t", "work")
    assert fired.sent_at == fired.scheduled_time == NOON + timedelta(hours=1)
    (sent,) = account.sent
    assert json.loads(sent["MessageBody"])["scheduled_time"] == "2026-07-01T13:00:00Z"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"Input": '{"a": 1}'}, {"a": 1}),
        ({"InputPath": "$.source"}, "aws.events"),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"at": "$.time", "none": "$.detail.none"},
                    "InputTemplate": '{"at": <at>, "said": "at <at> by <aws.events.rule-name>", '
                    '"none": "<none>", "literal": "<other>"}',
                }
            },
            {
                "at": "2026-07-01T12:01:00Z",
                "said": "at 2026-07-01T12:01:00Z by r",
                "none": "",
                "literal": "<other>",
            },
        ),
    ],
)
def test_a_rule_of_somebody_elses_is_sent_as_eventbridge_would(
    target: dict[str, Any], expected: Any
) -> None:
    account = Account()
    account.rule("r", "rate(1 minute)", **target)
    Firing(account, NOON).fire(NOON + MINUTE)
    assert json.loads(account.sent[0]["MessageBody"]) == expected


def test_a_rule_that_says_nothing_of_the_input_sends_the_event() -> None:
    account = Account()
    account.rule("r", "rate(1 minute)")
    Firing(account, NOON).fire(NOON + MINUTE)
    event = json.loads(account.sent[0]["MessageBody"])
    assert event["detail-type"] == "Scheduled Event"
    assert event["time"] == "2026-07-01T12:01:00Z"
    assert event["resources"] == [f"arn:aws:events:{ACCOUNT}:rule/r"]
    assert (event["account"], event["region"]) == ("123456789012", "us-east-1")


def test_the_context_attributes_of_a_schedule_are_filled_in() -> None:
    account = Account()
    attributes = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")
    text = json.dumps({each: f"<aws.scheduler.{each}>" for each in attributes})
    account.schedule("s", "rate(1 hour)", text)
    Firing(account, NOON).fire(NOON + timedelta(hours=2))
    first, second = (json.loads(each["MessageBody"]) for each in account.sent)
    assert first["scheduled-time"] == "2026-07-01T13:00:00Z"
    assert first["schedule-arn"].endswith("schedule/default/s")
    assert first["attempt-number"] == "1"
    assert first["execution-id"] != second["execution-id"]


def test_a_schedule_is_met_in_its_zone_and_between_its_dates() -> None:
    account = Account()
    account.schedule(
        "s",
        "cron(0 9 * * ? *)",
        ScheduleExpressionTimezone="Asia/Seoul",
        StartDate=NOON + timedelta(days=1),
        EndDate=NOON + timedelta(days=3),
    )
    fired = Firing(account, NOON).fire(NOON + timedelta(days=9))
    assert times(fired) == ["03 00:00:00", "04 00:00:00"]


def test_what_is_disabled_does_not_fire() -> None:
    account = Account()
    account.rule("r", "rate(1 minute)", "DISABLED")
    account.schedule("s", "rate(1 minute)", State="DISABLED")
    assert Firing(account, NOON).fire(NOON + timedelta(hours=1)) == []


def test_a_fifo_queue_gets_the_group() -> None:
    account = Account()
    account.rule("r", "rate(1 minute)", queue="w.fifo", SqsParameters={"MessageGroupId": "g"})
    Firing(account, NOON).fire(NOON + MINUTE)
    assert account.sent[0]["MessageGroupId"] == "g"
    assert account.sent[0]["QueueUrl"] == "queue:w.fifo"


def test_a_lambda_function_is_invoked_without_waiting_for_it() -> None:
    account = Account()
    arn = f"arn:aws:lambda:{ACCOUNT}:function:f"
    account.rule("r", "rate(1 minute)", Arn=arn, Input="{}")
    Firing(account, NOON).fire(NOON + MINUTE)
    (call,) = account.invoked
    assert call == {"FunctionName": "f", "InvocationType": "Event", "Payload": b"{}"}


def test_everything_fires_in_order_of_time() -> None:
    account = Account()
    account.rule("b", "rate(2 minutes)", **TRANSFORMED)
    account.rule("a", "rate(3 minutes)", Input="a")
    account.schedule("c", "at(2026-07-01T12:02:30)")
    fired = Firing(account, NOON).fire(NOON + 6 * MINUTE)
    minutes = [f"{each.sent_at:%M:%S}" for each in fired]
    assert minutes == ["02:00", "02:30", "03:00", "04:00", "06:00", "06:00"]


def test_a_change_is_seen_at_the_next_look() -> None:
    account = Account()
    account.rule("r", "rate(1 minute)", Input="old")
    account.schedule("s", "rate(1 minute)", "old")
    firing = Firing(account, NOON)
    firing.fire(NOON + MINUTE)
    account.rule("r", "rate(2 minutes)", Input="new")
    account.schedule("s", "rate(2 minutes)", "new")
    firing.fire(NOON + 4 * MINUTE)
    assert [each["MessageBody"] for each in account.sent] == 2 * ["old"] + 4 * ["new"]
    account.rule("r", "rate(2 minutes)", "DISABLED")
    account.schedules.clear()
    assert firing.fire(NOON + 9 * MINUTE) == []


def test_a_schedule_that_has_not_changed_is_not_read_again() -> None:
    account = Account()
    account.schedule("s", "rate(1 day)")
    firing = Firing(account, NOON)
    for minutes in range(1, 5):
        firing.fire(NOON + minutes * MINUTE)
    assert account.asked.count("get_schedule") == 1


def test_a_schedule_fires_once_and_is_deleted_if_it_says_so() -> None:
    account = Account()
    account.schedule("kept", "at(2026-07-01T12:05:00)")
    account.schedule("gone", "at(2026-07-01T12:05:00)", ActionAfterCompletion="DELETE")
    account.schedule(
        "over", "rate(1 minute)", EndDate=NOON + 2 * MINUTE, ActionAfterCompletion="DELETE"
    )
    firing = Firing(account, NOON)
    fired = [each for until in range(1, 10) for each in firing.fire(NOON + until * MINUTE)]
    assert sorted(each.name for each in fired) == ["gone", "kept", "over", "over"]
    assert set(account.schedules) == {"kept"}


def test_what_fires_once_and_is_there_still_has_been_missed() -> None:
    account = Account()
    account.schedule("eta", "at(2026-07-01T11:00:00)", ActionAfterCompletion="DELETE")
    account.schedule("done", "at(2026-07-01T11:00:00)")
    assert [each.name for each in Firing(account, NOON).fire(NOON + MINUTE)] == ["eta"]
    assert set(account.schedules) == {"done"}


def test_a_flexible_window_is_decided_by_the_seed() -> None:
    def fire(seed: int) -> list[Fired]:
        account = Account()
        window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
        account.schedule("s", "rate(1 hour)", FlexibleTimeWindow=window)
        return Firing(account, NOON, seed=seed).fire(NOON + timedelta(days=1))

    fired = fire(1)
    assert fired == fire(1) != fire(2)
    late = [each.sent_at - each.scheduled_time for each in fired]
    assert all(timedelta() <= each < timedelta(minutes=15) for each in late)
    assert len(set(late)) > 5


def test_what_cannot_be_fired_is_told_once_and_the_others_fire() -> None:
    account = Account()
    account.schedule("odd", "cron(0 9 * * *)")
    account.schedule("nowhere", "rate(1 minute)", ScheduleExpressionTimezone="Mars/Base")
    account.rule("r", "rate(1 minute)", Input="{}")
    told: list[str] = []
    firing = Firing(account, NOON, told=lambda name, error: told.append(f"{name}: {error}"))
    fired = [*firing.fire(NOON + MINUTE), *firing.fire(NOON + 2 * MINUTE)]
    assert [each.name for each in fired] == ["r", "r"]
    assert len(told) == 2
    assert told[0].startswith("odd: 'cron(0 9 * * *)' is no schedule expression: cron has 6 fields")
    assert "'Mars/Base'" in told[1]


def test_a_target_that_is_no_queue_is_told() -> None:
    account = Account()
    account.rule("r", "rate(1 minute)", Arn=f"arn:aws:sns:{ACCOUNT}:topic")
    with pytest.raises(LocalError, match="neither a queue nor a Lambda function"):
        Firing(account, NOON).fire(NOON + MINUTE)


def test_what_could_not_be_sent_is_sent_at_the_next_look_if_it_fires_only_once() -> None:
    account = Account()
    account.schedule("s", "at(2026-07-01T12:01:00)", "x", ActionAfterCompletion="DELETE")
    failures = [ClientError({"Error": {"Code": "Throttling"}}, "SendMessage")]

    def call(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        if operation == "send_message" and failures:
            raise failures.pop()
        return account(service, operation, params)

    told: list[str] = []
    firing = Firing(call, NOON, told=lambda name, _error: told.append(name))
    assert firing.fire(NOON + MINUTE) == []
    assert told == ["s"]
    assert times(firing.fire(NOON + 2 * MINUTE)) == ["01 12:01:00"]


# -- the clock is not the real one ----------------------------------------------------------------


def test_a_guard_is_resolved_so_that_each_occurrence_is_sent_at_its_own_moment() -> None:
    account = Account()
    account.rule("r", "cron(* * * * ? *)", **entry({"every_s": 25, "covers_s": 60}))
    fired = Firing(account, NOON, virtual=Virtual(same)).fire(NOON + 2 * MINUTE)
    assert times(fired) == [
        "01 12:00:25",
        "01 12:00:50",
        "01 12:01:15",
        "01 12:01:40",
    ]
    sent = [json.loads(each["MessageBody"]) for each in account.sent]
    assert [each["id"] for each in sent] == [
        occurrence_id("entry", each.scheduled_time) for each in fired
    ]
    assert all("covers_s" not in each.get("when", {}) and "eta" not in each for each in sent)


def test_what_is_fired_too_often_is_not_sent_at_all() -> None:
    account = Account()
    when = {"crontab": "0 9 1-7 * mon", "tz": "UTC", "covers_s": 60}
    account.rule("r", "cron(0 9 ? * MON *)", **entry(when))
    fired = Firing(account, NOON, virtual=Virtual(same)).fire(NOON + timedelta(days=40))
    assert [f"{each.sent_at:%m-%d}" for each in fired] == ["07-06", "08-03"]


def test_jitter_is_decided_by_the_id_and_not_left_to_the_worker() -> None:
    account = Account()
    when = {"crontab": "0 * * * *", "tz": "UTC", "jitter_s": 600, "grace_s": 900}
    account.rule("r", "cron(0 * * * ? *)", **entry(when))
    fired = Firing(account, NOON, virtual=Virtual(same)).fire(NOON + timedelta(days=1))
    for each in fired:
        id = occurrence_id("entry", each.scheduled_time)
        assert each.sent_at == each.scheduled_time + jitter_of(id, 600)
    assert len({each.sent_at - each.scheduled_time for each in fired}) > 20
    body = json.loads(account.sent[0]["MessageBody"])
    assert body["when"] == {"crontab": "0 * * * *", "tz": "UTC"}
    assert "eta" not in body


def test_what_is_late_is_judged_by_workers_that_are_on_the_same_clock() -> None:
    account = Account()
    when = {"crontab": "0 * * * *", "tz": "UTC", "jitter_s": 600, "grace_s": 900}
    account.rule("r", "cron(0 * * * ? *)", **entry(when))
    Firing(account, NOON, virtual=Virtual()).fire(NOON + timedelta(hours=2))
    assert json.loads(account.sent[0]["MessageBody"])["when"] == when


def test_a_far_eta_is_due_as_long_after_it_was_made_as_it_says() -> None:
    # It was made an hour of real time ago, and then the clock stood at midnight.
    account, made = Account(), NOON - timedelta(hours=1)
    account.schedule(
        "eta-1",
        "at(2026-07-01T12:59:00)",
        message(id="a", eta=(made + timedelta(hours=2)).isoformat()),
        CreationDate=made,
        ActionAfterCompletion="DELETE",
    )
    midnight = NOON + timedelta(hours=12)
    firing = Firing(account, midnight, virtual=Virtual(lambda _real: midnight))
    assert firing.fire(midnight + timedelta(hours=1)) == []
    (fired,) = firing.fire(midnight + timedelta(hours=3))
    assert fired.sent_at == midnight + timedelta(hours=2)
    assert "eta" not in json.loads(account.sent[0]["MessageBody"])
    assert account.schedules == {}


def test_a_signed_message_is_signed_anew_or_told() -> None:
    signing = Signing.of({"k": "s" * 32}, "k", required=True)
    assert signing is not None
    envelope = {"caraway": 1, "task": "tick", "schedule": "entry", "when": {"every_s": 60}}
    text = json.dumps({**envelope, "signature": signing.value_of(envelope)})
    body = f'{text[:-1]}, "scheduled_time": "<aws.scheduler.scheduled-time>"}}'
    account = Account()
    account.schedule("s", "rate(1 minute)", body)
    Firing(account, NOON, virtual=Virtual(same, lambda: signing)).fire(NOON + MINUTE)
    sent = json.loads(account.sent[0]["MessageBody"])
    signing.verify(sent, NOON - timedelta(days=400))  # of a worker whose clock is another one
    only_reads = Signing.of({"k": "s" * 32}, None, required=False)
    for virtual in (Virtual(same), Virtual(same, lambda: only_reads)):
        with pytest.raises(ImproperlyConfigured, match="set task_signing_key_id, or leave"):
            Firing(account, NOON, virtual=virtual).fire(NOON + MINUTE)


# -- whatever the looks are -----------------------------------------------------------------------

steps = st.lists(st.integers(1, 4_000), max_size=6).map(sorted)


def crowded() -> Account:
    account = Account()
    account.rule("often", "cron(0/7 * * * ? *)", Input="{}")
    account.rule("guarded", "cron(* * * * ? *)", **entry({"every_s": 25, "covers_s": 60}))
    account.rule("spread", "cron(0/9 * * * ? *)", **entry({"every_s": 540, "jitter_s": 700}))
    account.schedule("zoned", "cron(0 18 * * ? *)", ScheduleExpressionTimezone="Asia/Kolkata")
    account.schedule("once", "at(2026-07-01T13:00:30)", ActionAfterCompletion="DELETE")
    account.schedule("missed", "at(2026-06-01T15:00:30)", ActionAfterCompletion="DELETE")
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 45}
    account.schedule("some time", "rate(1 hour)", FlexibleTimeWindow=window)
    return account


@settings(max_examples=10)
@given(steps, st.booleans(), st.booleans())
def test_the_firings_are_the_same_however_often_it_looks(
    looks: list[int], moved: bool, one_by_one: bool
) -> None:
    def fire(moments: list[datetime], *, one_by_one: bool) -> list[Fired]:
        firing = Firing(crowded(), NOON, virtual=Virtual(same) if moved else None)
        fired: list[Fired] = []
        for until in moments:
            if one_by_one:
                while firing.since < until:
                    fired += firing.fire_next(until)
            else:
                fired += firing.fire(until)
        return fired

    end = NOON + timedelta(seconds=4_000)
    several = [NOON + timedelta(seconds=each) for each in looks]
    once = fire([end], one_by_one=False)
    assert fire([*several, end], one_by_one=one_by_one) == once
    assert all(first.sent_at <= second.sent_at for first, second in pairwise(once))
