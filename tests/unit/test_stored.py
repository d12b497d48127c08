"""Names, marks and owners of what is stored."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.stored import DESCRIBED_LIMIT, DESCRIPTION_LIMIT, Mark, Owner, Stored, entry_of

OWNER = Owner("shop", "dev-")
STORED = Stored("clean", "cron(* * * * ? *)", "dev-default", '{"schedule":"clean"}', "shop.clean")
NAME = re.compile(r"[.\-_A-Za-z0-9]{1,64}")
entries = st.text(max_size=80) | st.sampled_from(["clean up", "clean:up", "naïve", "x" * 90, ""])


def test_a_rules_name_says_prefix_app_and_entry() -> None:
    assert OWNER.rule_name("clean.up_2") == "dev-shop-clean.up_2"


@given(entries)
def test_a_name_that_aws_does_not_take_is_changed_and_stays_unique(entry: str) -> None:
    name = OWNER.rule_name(entry)
    assert NAME.fullmatch(name)
    assert name.startswith(OWNER.rule_prefix)
    assert name != OWNER.rule_name(entry + " ")
    stored = replace(STORED, entry=entry)
    name = OWNER.schedule_name(stored, stored.digits())
    assert NAME.fullmatch(name)
    assert name.startswith(OWNER.schedule_prefix("code", entry))
    assert name.startswith(OWNER.schedule_prefix("code"))
    other = replace(stored, entry=entry + " ")
    assert name != OWNER.schedule_name(other, other.digits())


def test_long_app_names_keep_their_rules_apart() -> None:
    owner = Owner("a" * 80)
    assert owner.rule_name("x") != owner.rule_name("y")
    assert owner.rule_name("x").startswith(owner.rule_prefix)


def test_apps_and_environments_have_schedules_of_their_own() -> None:
    owners = [Owner("shop"), Owner("shop", "dev-"), Owner("dev-shop"), Owner("p", "sho")]
    assert len({owner.schedule_prefix("code") for owner in owners}) == 4
    assert OWNER.schedule_prefix("code")[1:] == OWNER.schedule_prefix("data")[1:]


@pytest.mark.parametrize(
    "change",
    [
        {"entry": "other"},
        {"expression": "cron(0 * * * ? *)"},
        {"queue": "dev-reports"},
        {"text": "{}"},
        {"description": "else"},
        {"enabled": False},
        {"group_id": "eu"},
    ],
)
def test_whatever_changes_has_other_digits(change: dict[str, str]) -> None:
    assert replace(STORED, **change).digits() != STORED.digits()  # type: ignore[arg-type]


@given(st.text(max_size=DESCRIBED_LIMIT), st.booleans(), st.sampled_from(["code", "data"]))
def test_a_mark_is_found_again_behind_any_description(text: str, on: bool, origin: str) -> None:
    stored = replace(STORED, enabled=on, origin=origin)  # type: ignore[arg-type]
    mark = Mark.of(stored, OWNER, stored.digits())
    written = mark.on(text)
    assert len(written) <= DESCRIPTION_LIMIT
    assert Mark.split(written) == (text, mark)


@pytest.mark.parametrize("text", ["", "shop.clean", "[code 1 2]", "[code 0123abcd 0123456789ab] x"])
def test_other_descriptions_have_no_mark(text: str) -> None:
    assert Mark.split(text) == (text, None)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schedule":5}'])
def test_a_text_that_is_no_message_of_a_schedule_is_of_no_entry(text: str) -> None:
    assert entry_of(text) is None
    assert entry_of(STORED.text) == "clean"
