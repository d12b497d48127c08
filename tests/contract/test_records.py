"""Every transition of the task record means on every engine what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caraway import states
from caraway.core.message import Message
from caraway.core.record import DONE, FAILED, RETRY, RUNNING, Record, Written
from caraway.core.transitions import Records
from caraway.requests.dynamodb import ConditionFailed

if TYPE_CHECKING:
    from caraway.requests.dynamodb import UpdateItem
    from caraway.requests.items import Item
    from tests.contract.conftest import Harness

RECORDS = Records("of no matter")
NOW = 1_767_225_600.25
EARLIER, LATER = NOW - 30, NOW + 30.5
FIRST = Message(id="i", task="shop.send", args=(1,), digest="digest")

tokens = st.sampled_from(["mine", "theirs"])
messages = st.builds(
    lambda attempt, digest, replaced_at: Message(
        "i", "shop.send", (1,), attempt=attempt, digest=digest, replaced_at=replaced_at
    ),
    st.integers(0, 2),
    st.sampled_from(["digest", "another digest"]),
    st.none() | st.integers(1, 2),
)
written = st.builds(
    Written,
    st.sampled_from([states.SUCCESS, states.FAILURE, states.RETRY]),
    st.none() | st.sampled_from(["null", '"\N{SEEDLING}"', "s3://bucket/results/i/mine"]),
    st.none() | st.just("Traceback"),
    st.none() | st.just('{"caraway":1}'),
)
expiries = st.none() | st.just(LATER)
booleans = st.booleans()


def optional(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[Item]:
    """Return items with some of these attributes."""
    return st.fixed_dictionaries({}, optional=known)


items = st.builds(
    lambda machine, shown: {**machine, **shown},
    optional(
        phase=st.sampled_from([RUNNING, RETRY, FAILED, DONE]),
        open_at=st.sampled_from([0, EARLIER, NOW, LATER]),
        attempt=st.integers(0, 3),
        token=tokens,
        held=st.integers(0, 1),
        lost=st.integers(0, 4),
        replaced=st.integers(1, 2),
        digest=st.just("digest"),
    ),
    optional(
        state=st.sampled_from([states.STARTED, states.RETRY, states.FAILURE, "MINE"]),
        result=st.just("1"),
        traceback=st.just("Traceback"),
        message=st.just("{}"),
        meta=st.just("{}"),
        retry=st.just('{"retries":1}'),
        revoked=st.just("terminate"),
        done_at=st.just(EARLIER),
        expires_at=st.just(LATER),
        ttl=st.just(int(LATER)),
        task=st.just("shop.send"),
    ),
)

TRANSITIONS: dict[str, st.SearchStrategy[UpdateItem]] = {
    "claim": st.builds(
        lambda message, token, **options: RECORDS.claim(message, token, NOW, 60.5, **options),
        messages,
        tokens,
        fifo=booleans,
        may_create=booleans,
        shown=st.none() | st.just({"state": states.STARTED, "queue": "q", "started_at": NOW}),
    ),
    "finish": st.builds(
        lambda message, token, kept, expires_at, claimed: RECORDS.finish(
            message, token, NOW, kept, expires_at, claimed=claimed
        ),
        messages,
        tokens,
        written,
        expiries,
        booleans,
    ),
    "retry": st.builds(
        lambda token, open_at, kept: RECORDS.retry(
            "i", token, NOW, attempt=2, open_at=open_at, changes='{"retries":2}', written=kept
        ),
        tokens,
        st.sampled_from([0, LATER]),
        written,
    ),
    "replace": st.builds(
        lambda token, kept: RECORDS.replace(
            "i", token, NOW, attempt=2, changes='{"replaced":[]}', written=kept
        ),
        tokens,
        written,
    ),
    "release": st.builds(lambda token: RECORDS.release("i", token, NOW), tokens),
    "give_up": st.builds(lambda token: RECORDS.give_up("i", token, NOW), tokens),
    "heartbeat": st.builds(lambda token: RECORDS.heartbeat("i", token, NOW, 60.5), tokens),
    "update_state": st.builds(
        lambda token: RECORDS.update_state("i", token, NOW, "MINE", '{"at":1}'), tokens
    ),
    "dead_letter": st.builds(
        lambda message, token, kept, claimed: RECORDS.dead_letter(
            message, token, NOW, kept, claimed=claimed
        ),
        messages,
        tokens,
        written,
        booleans,
    ),
    "fail_unsent": st.builds(
        lambda message, kept: RECORDS.fail_unsent(message, NOW, kept), messages, written
    ),
    "reopen": st.builds(
        lambda phase, attempt: RECORDS.reopen(
            "i", NOW, Record("i", phase, attempt=attempt), changes='{"retries":null}'
        ),
        st.sampled_from([DONE, FAILED]),
        st.integers(0, 3),
    ),
    "revoke": st.builds(
        lambda kept, expires_at, was_seen: RECORDS.revoke(
            "i", NOW, "revoke", kept, expires_at, was_seen=was_seen
        ),
        written,
        expiries,
        st.booleans(),
    ),
    "flag_revoked": st.just(RECORDS.flag_revoked("i", NOW, "terminate")),
    "fence_off": st.builds(
        lambda held_by, kept, expires_at: RECORDS.fence_off(
            "i", held_by, "fresh", NOW, "terminate:SIGTERM", kept, expires_at
        ),
        tokens,
        written,
        expiries,
    ),
    "forget": st.just(RECORDS.forget("i", NOW)),
}


def test_every_transition_is_tried() -> None:
    public = {name for name in vars(Records) if not name.startswith("_")} - {"table"}
    assert public == set(TRANSITIONS)


def test_every_transition_means_what_it_says(harness: Harness) -> None:
    table = harness.table()

    @settings(
        max_examples=80,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.none() | items, st.one_of(*TRANSITIONS.values()))
    def agree(before: Item | None, transition: UpdateItem) -> None:
        assert not set(transition.change.assign) & set(transition.change.remove)
        harness.check_write(table, before, transition.condition, transition.change)

    agree()


RUNS: Item = {
    "phase": RUNNING,
    "token": "mine",
    "attempt": 1,
    "open_at": LATER,
    "held": 1,
    "lost": 0,
    "digest": "digest",
}
SECOND = FIRST.next_attempt()
ENDED = Written(states.SUCCESS, "1")


@pytest.mark.parametrize(
    ("before", "transition", "allowed"),
    [
        (None, RECORDS.claim(FIRST, "new", NOW, 60), True),
        (None, RECORDS.claim(FIRST, "new", NOW, 60, may_create=False), False),
        (RUNS, RECORDS.claim(SECOND, "new", NOW, 60), False),
        (RUNS, RECORDS.claim(SECOND, "new", LATER, 60), True),
        (RUNS, RECORDS.claim(FIRST, "new", LATER, 60), False),
        (RUNS, RECORDS.claim(FIRST, "new", LATER, 60, fifo=True), True),
        ({**RUNS, "digest": "other"}, RECORDS.claim(SECOND, "new", LATER, 60), False),
        (RUNS, RECORDS.finish(SECOND, "mine", NOW, ENDED, None), True),
        (RUNS, RECORDS.finish(SECOND, "theirs", NOW, ENDED, None), False),
        ({**RUNS, "phase": DONE}, RECORDS.finish(SECOND, "mine", NOW, ENDED, None), False),
        (RUNS, RECORDS.revoke("i", NOW, "revoke", ENDED, None), False),
        (RUNS, RECORDS.flag_revoked("i", NOW, "terminate"), True),
        (None, RECORDS.revoke("i", NOW, "revoke", ENDED, None), True),
        ({**RUNS, "phase": RETRY}, RECORDS.revoke("i", NOW, "revoke", ENDED, None), True),
        (None, RECORDS.revoke("i", NOW, "revoke", ENDED, None, was_seen=True), False),
    ],
)
def test_the_cases_that_the_design_names(
    harness: Harness, before: Item | None, transition: UpdateItem, allowed: bool
) -> None:
    assert transition.condition.holds({} if before is None else {"id": "i", **before}) is allowed
    harness.check_write(harness.table(), before, transition.condition, transition.change)


def test_a_record_lives_through_its_phases(harness: Harness) -> None:
    records, id = Records(harness.table()), harness.unique_name()
    first = Message(id, "shop.send", (1,))
    second = first.next_attempt()

    claimed = Record.read(harness.perform(records.claim(first, "a", NOW, 60)))
    assert (claimed.phase, claimed.token, claimed.lost) == (RUNNING, "a", 0)
    taken_over = Record.read(harness.perform(records.claim(first, "b", NOW + 61, 60)))
    assert (taken_over.token, taken_over.lost) == ("b", 1)
    with pytest.raises(ConditionFailed) as fenced:
        harness.perform(records.finish(first, "a", NOW + 62, ENDED, None))
    assert fenced.value.item["token"] == "b"
    harness.perform(
        records.retry(
            id, "b", NOW + 62, attempt=1, open_at=0, changes="{}", written=Written(states.RETRY)
        )
    )
    with pytest.raises(ConditionFailed) as overtaken:
        harness.perform(records.claim(first, "c", NOW + 63, 60))
    assert overtaken.value.item["attempt"] == 1
    again = Record.read(harness.perform(records.claim(second, "d", NOW + 63, 60)))
    assert (again.attempt, again.lost) == (1, 1)
    harness.perform(records.finish(second, "d", NOW + 64, ENDED, LATER))
    with pytest.raises(ConditionFailed) as over:
        harness.perform(records.claim(second, "e", NOW + 900, 60))
    done = Record.read(over.value.item)
    assert (done.phase, done.state, done.result, done.open_at) == (DONE, states.SUCCESS, "1", None)
