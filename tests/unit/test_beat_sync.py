"""What AWS stores is made equal to the code, in either store, and nothing else is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caraway.core.beat import entries, schedules
from caraway.core.port import run_now
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.core.rule_store import TARGET_ID
from caraway.core.scheduling import Scheduling
from caraway.core.stored import Owner, Put, Stored
from caraway.core.stores import Stores, find, queue_arns
from caraway.exceptions import (
    AccessDenied,
    ImproperlyConfigured,
    OperationalError,
    ResourceMissing,
    Throttled,
)
from caraway.requests.eventbridge import (
    DeleteRule,
    ListRules,
    ListTagsForResource,
    PutRule,
    PutTargets,
    RemoveTargets,
    Target,
)
from caraway.requests.scheduler import CreateSchedule, DeleteSchedule, ListSchedules
from tests.timekeepers import ROLE, RULES, SCHEDULES, Timekeepers

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
SITE = Site(
    Router([Queue("default"), Queue("reports", consumer="ecs"), Queue("orders.fifo")]),
    queue_prefix="dev-",
)
both_stores = pytest.mark.parametrize("stores", [RULES, SCHEDULES], ids=["rules", "schedules"])


def made(beat_schedule: dict[str, Any], stores: Stores = RULES) -> list[Stored]:
    return schedules(SITE, stores.current, entries(beat_schedule), zone=timezone.utc, now=NOW)


def every(seconds: int = 60, **fields: Any) -> dict[str, Any]:
    return {"task": "shop.clean", "schedule": seconds, **fields}


THREE = made(
    {
        "clean": every(),
        "report": every(300, options={"queue": "reports"}),
        "off": every(86_400, enabled=False),
    }
)


# -- what is stored ------------------------------------------------------------------------------


def test_rules_have_their_targets_tags_and_marks() -> None:
    aws = Timekeepers()
    assert len(aws.sync(THREE).create) == 3
    put = aws.rules["dev-shop-off"]
    assert (put.expression, put.state) == ("cron(0 0 * * ? *)", "DISABLED")
    assert aws.tags["dev-shop-off"] == {
        "caraway:app": "shop",
        "caraway:prefix": "dev-",
        "caraway:entry": "off",
    }
    assert put.description.startswith("shop.clean <freq: 1.00 day> [code off ")
    target = aws.targets["dev-shop-report"][TARGET_ID]
    assert target.arn == "arn:aws:sqs:eu-central-1:1:dev-reports"
    assert json.loads(target.template)["scheduled_time"] == "<time>"
    assert target.paths == {"time": "$.time"}


def test_schedules_have_their_role_group_and_time() -> None:
    aws = Timekeepers()
    assert len(aws.sync(THREE, SCHEDULES).create) == 3
    assert aws.rules == {}
    kept = aws.schedule_of("report")
    assert (kept.group, kept.role_arn) == ("shop", ROLE)
    assert kept.target_arn == "arn:aws:sqs:eu-central-1:1:dev-reports"
    assert json.loads(kept.input)["scheduled_time"] == "<aws.scheduler.scheduled-time>"
    assert (kept.expression, kept.timezone) == ("cron(0/5 * * * ? *)", "UTC")
    assert aws.schedule_of("off").state == "DISABLED"


@both_stores
def test_a_second_sync_writes_nothing(stores: Stores) -> None:
    aws = Timekeepers(page_size=2)
    aws.sync(THREE, stores)
    aws.asked.clear()
    assert not aws.sync(THREE, stores)
    assert set(aws.asked) == {"ListRules", "ListSchedules"}


@both_stores
def test_to_compare_writes_nothing_and_asks_for_no_queue(stores: Stores) -> None:
    aws = Timekeepers(queues={})
    assert len(aws.compare(THREE, stores).create) == 3
    assert aws.writes == 0


@both_stores
def test_what_differs_is_changed_and_what_is_gone_is_deleted(stores: Stores) -> None:
    aws = Timekeepers()
    aws.sync(THREE, stores)
    changed = made({"clean": every(120)}, stores)
    decided = aws.sync(changed, stores)
    assert (len(decided.create), len(decided.update), len(decided.delete)) == (0, 1, 2)
    assert decided.lines()[0] == (
        "~ clean  expression: cron(* * * * ? *) -> cron(0/2 * * * ? *); description changes; "
        "message changes"
    )
    assert decided.lines()[1:] == [
        "- off  cron(0 0 * * ? *) -> dev-default",
        "- report  cron(0/5 * * * ? *) -> dev-reports",
    ]
    assert len(aws.rules) + len(aws.schedules) == 1
    assert not aws.sync(changed, stores)


@settings(deadline=None, max_examples=25)
@given(st.data(), st.sampled_from([RULES, SCHEDULES]), st.sampled_from([RULES, SCHEDULES]))
def test_after_a_sync_there_is_nothing_to_do(data: Any, first: Stores, second: Stores) -> None:
    names = ["a", "b", "c d", "c_d", "é"]
    some = st.dictionaries(
        st.sampled_from(names),
        st.builds(every, st.sampled_from([60, 120]), enabled=st.booleans()),
    )
    aws = Timekeepers(page_size=2)
    for stores in (first, second, first):
        wanted = made(data.draw(some), stores)
        aws.sync(wanted, stores)
        assert not aws.compare(wanted, stores)
        assert len(aws.rules) + len(aws.schedules) == len(wanted)


# -- how many requests ---------------------------------------------------------------------------


def many(count: int) -> dict[str, Any]:
    return {f"entry {number}": every(60, args=(number,)) for number in range(count)}


def test_ten_thousand_schedules_that_are_as_they_should_be_are_a_hundred_lists() -> None:
    aws = Timekeepers()
    wanted = made(many(10_000), SCHEDULES)
    put = [Put(each, "arn:aws:sqs:eu-central-1:1:dev-default", is_on=True) for each in wanted]
    run_now(SCHEDULES.current.put(aws, put))  # type: ignore[arg-type]
    aws.asked.clear()
    plan = aws.sync(wanted, SCHEDULES)
    assert len(plan.unchanged) == 10_000
    assert not plan
    # And one whether a rule is left over.
    assert aws.asked == {"ListSchedules": 100, "ListRules": 1}


def test_each_change_of_a_schedule_is_counted() -> None:
    aws = Timekeepers()
    lists = {"ListSchedules": 1, "ListRules": 1}
    queue = {"GetQueueUrl": 1, "GetQueueAttributes": 1}

    def asked(beat_schedule: dict[str, Any]) -> dict[str, int]:
        aws.asked.clear()
        aws.sync(made(beat_schedule, SCHEDULES), SCHEDULES)
        return dict(aws.asked)

    # The second list: whether anybody made an entry of that name at run time.
    assert asked({"a": every()}) == {**lists, "ListSchedules": 2, **queue, "CreateSchedule": 1}
    changed = {"GetSchedule": 1, "CreateSchedule": 1, "DeleteSchedule": 1}
    assert asked({"a": every(120)}) == {**lists, **queue, **changed}
    assert asked({}) == {**lists, "GetSchedule": 1, "DeleteSchedule": 1}


def test_each_change_of_a_rule_is_counted() -> None:
    aws = Timekeepers()
    lists = {"ListSchedules": 1, "ListRules": 1}
    queue = {"GetQueueUrl": 1, "GetQueueAttributes": 1}
    read = {"ListTagsForResource": 1, "ListTargetsByRule": 1}

    def asked(beat_schedule: dict[str, Any]) -> dict[str, int]:
        aws.asked.clear()
        aws.sync(made(beat_schedule))
        return dict(aws.asked)

    # The second list counts the rules of the bus; the mark comes last, by itself.
    new = {"ListRules": 2, "PutRule": 2, "PutTargets": 1}
    assert asked({"a": every()}) == {**lists, **queue, **new}
    assert asked({"a": every(120)}) == {**lists, **queue, **read, "PutRule": 1, "PutTargets": 1}
    assert asked({}) == {**lists, **read, "RemoveTargets": 1, "DeleteRule": 1}


# -- pausing -------------------------------------------------------------------------------------


@both_stores
def test_what_is_paused_stays_so_until_the_code_itself_says_otherwise(stores: Stores) -> None:
    aws = Timekeepers()
    store = stores.current

    def switch(entry: str, *, on: bool) -> None:
        (held,) = run_now(find(aws, store, entry))  # type: ignore[arg-type]
        assert run_now(store.switch(aws, [held], on=on)) == [None]  # type: ignore[arg-type]

    def is_on(beat_schedule: dict[str, Any]) -> list[bool]:
        aws.sync(made(beat_schedule, stores), stores)
        plan = aws.compare(made(beat_schedule, stores), stores)
        assert not plan
        return [each.is_on for each in plan.unchanged]

    assert is_on({"a": every(), "b": every(enabled=False)}) == [True, False]
    switch("a", on=False)
    switch("b", on=True)
    assert is_on({"a": every(), "b": every(enabled=False)}) == [False, True]
    assert is_on({"a": every(120), "b": every(120, enabled=False)}) == [False, True]
    assert is_on({"a": every(120, enabled=False), "b": every(120)}) == [False, True]
    assert is_on({"a": every(120), "b": every(120, enabled=False)}) == [True, False]


def test_what_is_paused_stays_so_when_it_moves() -> None:
    aws = Timekeepers()
    aws.sync(made({"a": every()}))
    aws.rules["dev-shop-a"] = replace(aws.rules["dev-shop-a"], state="DISABLED")
    aws.sync(made({"a": every()}, SCHEDULES), SCHEDULES)
    assert aws.schedule_of("a").state == "DISABLED"


# -- from one store to the other -----------------------------------------------------------------


def test_schedules_move_when_the_role_is_set_and_back_when_it_is_not() -> None:
    aws = Timekeepers()
    wanted = {"a": every(), "b": every(120)}
    aws.sync(made(wanted))
    plan = aws.sync(made(wanted, SCHEDULES), SCHEDULES)
    assert plan.lines() == ["~ a  rule moves", "~ b  rule moves"]
    assert (len(aws.rules), len(aws.schedules)) == (0, 2)
    assert not aws.sync(made(wanted, SCHEDULES), SCHEDULES)
    assert aws.sync(made(wanted)).lines() == ["~ a  schedule moves", "~ b  schedule moves"]
    assert (len(aws.rules), len(aws.schedules)) == (2, 0)


def test_what_cannot_be_created_in_the_new_store_stays_in_the_old_one() -> None:
    aws = Timekeepers(refuses=CreateSchedule, error=Throttled("slowly"))
    aws.rules, aws.tags = {}, {}
    aws.sync(made({"a": every()}))
    with pytest.raises(OperationalError, match=r"1 of 1 changes were not made.*\n'a': slowly"):
        aws.sync(made({"a": every()}, SCHEDULES), SCHEDULES)
    assert list(aws.rules) == ["dev-shop-a"]


def test_another_role_replaces_the_schedules() -> None:
    aws = Timekeepers()
    aws.sync(made({"a": every()}, SCHEDULES), SCHEDULES)
    other = Stores.of(Owner("shop", "dev-"), Scheduling(f"{ROLE}-2", "shop"))
    assert aws.sync(made({"a": every()}, other), other).lines() == [
        "~ a  where it is stored changes"
    ]
    assert aws.schedule_of("a").role_arn == f"{ROLE}-2"


def test_who_may_not_look_into_the_other_store_is_told_so() -> None:
    aws = Timekeepers(refuses=ListSchedules, error=AccessDenied("not allowed"))
    plan = aws.sync(THREE)
    assert plan.unseen == "whether a schedule is left over was not looked at: not allowed"
    assert len(aws.rules) == 3


def test_a_group_that_does_not_exist_has_nothing_left_but_cannot_be_used() -> None:
    aws = Timekeepers(groups=set())
    assert aws.sync(THREE).unseen == ""
    with pytest.raises(ResourceMissing, match="'shop' does not exist"):
        aws.sync(THREE, SCHEDULES)


# -- what is not ours ----------------------------------------------------------------------------


def test_nothing_is_touched_that_is_not_the_owners() -> None:
    aws = Timekeepers()
    others = {
        "dev-shop-by-hand": {},
        "dev-shop-front-clean": Owner("shop-front", "dev-").tags,
        "dev-shop-shop-clean": Owner("shop", "dev-shop-").tags,
    }
    for name, tags in others.items():
        aws.rules[name] = PutRule(name, "rate(1 minute)")
        aws.tags[name] = dict(tags)
    aws.sync(THREE)
    aws.sync([])
    assert set(aws.rules) == set(others)


def test_the_rules_of_an_app_of_a_longer_name_are_not_even_read() -> None:
    aws = Timekeepers()
    front = Stores.of(Owner("shop-front", "dev-"))
    aws.sync(made({"a": every()}, front), front)
    aws.sync(THREE)
    aws.asked.clear()
    assert not aws.sync(THREE)
    assert aws.asked["ListTagsForResource"] == 0
    aws.sync([])
    assert list(aws.rules) == ["dev-shop-front-a"]


def test_two_environments_share_a_group_of_schedules() -> None:
    aws = Timekeepers()
    live = Stores.of(Owner("shop", "live-"), Scheduling(ROLE, "shop"))
    for stores in (live, SCHEDULES):
        aws.sync(made({"a": every()}, stores), stores)
    aws.sync([], SCHEDULES)
    assert len(aws.schedules) == 1
    assert not aws.sync(made({"a": every()}, live), live)


def test_a_name_that_is_somebody_elses_is_refused_before_anything_is_changed() -> None:
    aws = Timekeepers()
    aws.rules["dev-shop-clean"] = PutRule("dev-shop-clean", "rate(9 minutes)")
    with pytest.raises(ImproperlyConfigured, match="'dev-shop-clean' exists and is not of app"):
        aws.sync(THREE)
    assert aws.writes == 0


def put_as_data(aws: Timekeepers, stores: Stores, entry: str) -> None:
    """Store an entry as whoever makes one at run time does."""
    wanted = [replace(each, origin="data") for each in made({entry: every()}, stores)]
    arns = run_now(queue_arns(aws, ["dev-default"]))  # type: ignore[arg-type]
    puts = [Put(each, arns[each.queue], is_on=True) for each in wanted]
    assert run_now(stores.current.put(aws, puts)) == [None]  # type: ignore[arg-type]
    aws.asked.clear()


@both_stores
def test_what_was_made_at_run_time_is_never_touched(stores: Stores) -> None:
    aws = Timekeepers()
    put_as_data(aws, stores, "of a customer")
    aws.sync(made({"a": every()}, stores), stores)
    aws.sync([], stores)
    (held,) = run_now(find(aws, stores.current, "of a customer"))  # type: ignore[arg-type]
    assert held.stored.origin == "data"


@pytest.mark.parametrize(("new", "customers", "lists"), [(40, 3, 2), (40, 25, 4), (2, 95, 4)])
def test_whether_new_entries_were_made_at_run_time_takes_few_lists(
    new: int, customers: int, lists: int
) -> None:
    # One for each page of these, or for each new entry: whichever is fewer.
    aws = Timekeepers(page_size=10)
    for number in range(customers):
        put_as_data(aws, SCHEDULES, f"of customer {number:03}")
    plan = aws.compare(made({f"a{n}": every() for n in range(new)}, SCHEDULES), SCHEDULES)
    assert len(plan.create) == new
    of_code = 1
    assert aws.asked["ListSchedules"] <= of_code + lists
    assert aws.asked["GetSchedule"] == 0
    clash = made({f"of customer {customers - 1:03}": every()}, SCHEDULES)
    with pytest.raises(ImproperlyConfigured, match=r"was made at run time"):
        aws.compare(clash, SCHEDULES)


@both_stores
def test_an_entry_that_was_made_at_run_time_is_refused_in_the_code(stores: Stores) -> None:
    aws = Timekeepers()
    put_as_data(aws, stores, "clean up")
    with pytest.raises(ImproperlyConfigured, match=r"'clean up'.*was made at run time"):
        aws.sync(made({"clean up": every()}, stores), stores)
    assert aws.writes == 0
    aws.sync(made({"clean_up": every()}, stores), stores)  # whose name is spelled alike


# -- what a template made ------------------------------------------------------------------------


def test_a_rule_without_a_mark_is_read_and_left_if_it_is_as_it_should_be() -> None:
    aws = Timekeepers()
    aws.sync(THREE)
    put = aws.rules["dev-shop-clean"]
    by_template = replace(put, description=put.description.partition(" [")[0], state="DISABLED")
    aws.rules["dev-shop-clean"] = by_template
    plan = aws.sync(THREE)
    assert not plan
    assert [each.is_on for each in plan.unchanged if each.stored.entry == "clean"] == [False]
    aws.targets["dev-shop-clean"].clear()
    assert aws.sync(THREE).lines() == ["~ clean  queue:  -> dev-default; message changes"]
    assert aws.rules["dev-shop-clean"].state == "DISABLED"


def test_an_expression_or_queue_that_was_changed_by_hand_is_mended() -> None:
    aws = Timekeepers()
    aws.sync(THREE)
    put = aws.rules["dev-shop-clean"]
    aws.rules["dev-shop-clean"] = replace(put, expression="rate(1 day)")
    assert aws.sync(THREE).lines() == ["~ clean  expression: rate(1 day) -> cron(* * * * ? *)"]
    assert aws.rules["dev-shop-clean"] == replace(put, tags={})
    aws.sync(made({"a": every()}, SCHEDULES), SCHEDULES)
    kept = aws.schedule_of("a")
    aws.schedules["shop", kept.name] = replace(kept, target_arn="arn:aws:sqs:eu:1:other")
    assert aws.sync(made({"a": every()}, SCHEDULES), SCHEDULES).lines() == [
        "~ a  queue: other -> dev-default"
    ]
    assert aws.schedule_of("a") == kept


def test_a_rule_that_others_gave_a_target_too_can_be_deleted() -> None:
    aws = Timekeepers()
    aws.sync(THREE)
    aws.targets["dev-shop-clean"]["theirs"] = Target("theirs", "arn:aws:lambda:::f")
    aws.sync([])
    assert aws.rules == {}


# -- failures ------------------------------------------------------------------------------------


def test_a_missing_queue_is_refused_before_anything_is_changed() -> None:
    aws = Timekeepers(queues={"dev-default": {}})
    with pytest.raises(ResourceMissing, match="dev-reports"):
        aws.sync(THREE)
    assert aws.writes == 0


@both_stores
def test_a_fifo_queue_must_deduplicate_by_content(stores: Stores) -> None:
    fifo = made({"o": every(options={"queue": "orders"})}, stores)
    aws = Timekeepers(queues={"dev-orders.fifo": {"FifoQueue": "true"}})
    with pytest.raises(ImproperlyConfigured, match="ContentBasedDeduplication is on"):
        aws.sync(fifo, stores)
    assert aws.writes == 0
    aws.queues["dev-orders.fifo"]["ContentBasedDeduplication"] = "true"
    aws.sync(fifo, stores)
    assert not aws.sync(fifo, stores)
    (held,) = run_now(find(aws, stores.current, "o"))  # type: ignore[arg-type]
    assert held.stored.group_id == "default"


@pytest.mark.parametrize("refused", [PutRule, PutTargets])
def test_each_failure_is_told_by_its_entry_and_the_next_sync_mends_it(refused: type) -> None:
    aws = Timekeepers(refuses=refused, error=Throttled("slowly"))
    with pytest.raises(OperationalError, match="3 of 3 changes were not made") as raised:
        aws.sync(THREE)
    told = str(raised.value).splitlines()[1:]
    assert told == [f"'{entry}': slowly" for entry in ("clean", "report", "off")]
    aws.refuses = None
    assert len(aws.sync(THREE).changes) == 3
    assert not aws.sync(THREE)


def test_a_target_that_eventbridge_did_not_take_is_a_failure() -> None:
    aws = Timekeepers(refuses=PutTargets)
    with pytest.raises(OperationalError, match="PutTargets on rule 'dev-shop-clean' failed"):
        aws.sync(THREE)
    aws.refuses = RemoveTargets
    aws.sync([])  # there is no target to remove
    aws.refuses = None
    aws.sync(THREE)
    aws.refuses = RemoveTargets
    with pytest.raises(OperationalError, match=r"RemoveTargets .*: InternalException: try again"):
        aws.sync([])


@pytest.mark.parametrize("refused", [DeleteRule, DeleteSchedule])
def test_what_could_not_be_deleted_is_left_over_for_the_next_sync(refused: type) -> None:
    stores = RULES if refused is DeleteRule else SCHEDULES
    aws = Timekeepers()
    aws.sync(made({"a": every(), "b": every()}, stores), stores)
    aws.refuses, aws.error = refused, Throttled("slowly")
    changed = made({"a": every(120)}, stores)
    with pytest.raises(OperationalError, match="slowly"):
        aws.sync(changed, stores)
    aws.refuses = None
    assert {each.stored.entry for each in aws.compare(changed, stores).delete} >= {"b"}
    aws.sync(changed, stores)
    assert len(aws.rules) + len(aws.schedules) == 1


@both_stores
def test_what_is_throttled_is_put_again_after_a_pause(stores: Stores) -> None:
    aws = Timekeepers(busy=5)
    assert len(aws.sync(THREE, stores).create) == 3
    assert 0 < len(aws.pauses) <= 5
    assert not aws.sync(THREE, stores)


def test_more_than_ten_failures_are_counted() -> None:
    aws = Timekeepers(refuses=CreateSchedule, error=Throttled("slowly"))
    with pytest.raises(OperationalError, match="12 of 12 changes") as raised:
        aws.sync(made(many(12), SCHEDULES), SCHEDULES)
    assert str(raised.value).splitlines()[-1] == "and 2 more"


def test_a_schedule_that_a_list_did_not_show_yet_is_replaced() -> None:
    aws = Timekeepers()
    wanted = made({"a": every()}, SCHEDULES)
    aws.sync(wanted, SCHEDULES)
    kept = aws.schedule_of("a")
    put = Put(wanted[0], kept.target_arn, is_on=False)
    assert run_now(SCHEDULES.current.put(aws, [put])) == [None]  # type: ignore[arg-type]
    assert aws.schedule_of("a") == replace(kept, state="DISABLED")


def test_what_is_not_a_schedule_of_ours_is_left_in_a_group() -> None:
    aws = Timekeepers()
    aws.sync(made({"a": every()}, SCHEDULES), SCHEDULES)
    kept = aws.schedule_of("a")
    for name, change in {"x": {"description": ""}, "y": {"input": "[]"}}.items():
        other = replace(kept, name=kept.name.replace("-a-", f"-{name}-"), **change)  # type: ignore[arg-type]
        aws.schedules["shop", other.name] = other
    aws.sync([], SCHEDULES)
    assert sorted(name.split("-")[1] for _, name in aws.schedules) == ["x", "y"]


# -- room ----------------------------------------------------------------------------------------


def with_rules_of_others(count: int) -> Timekeepers:
    aws = Timekeepers()
    for number in range(count):
        aws.rules[f"other-{number}"] = PutRule(f"other-{number}", "rate(1 day)")
    return aws


def test_more_rules_than_a_bus_takes_are_refused_before_anything_is_changed() -> None:
    aws = with_rules_of_others(298)
    with pytest.raises(ImproperlyConfigured, match="new rules: 3, beside 298 that") as told:
        aws.sync(THREE)
    assert aws.writes == 0
    for remedy in ("scheduler_role_arn", "Service Quotas", "--rule-limit"):
        assert remedy in str(told.value)
    aws.sync(THREE[:2])
    assert not aws.sync(THREE[:2])


def test_a_bus_with_a_raised_quota_takes_more() -> None:
    with_rules_of_others(301).sync(THREE)
    raised = Stores.of(Owner("shop", "dev-"), rule_limit=1_000)
    with_rules_of_others(299).sync(THREE, raised)


def test_scheduler_takes_more_than_a_bus() -> None:
    aws = with_rules_of_others(300)
    aws.sync(made({"a": every()}, SCHEDULES), SCHEDULES)
    assert aws.asked[ListTagsForResource.__name__] == 0
    assert aws.asked[ListRules.__name__] == 1
