"""Signatures in a message that nobody can read: a dead letter with the reason, and no crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from caraway.core.fields import signature_fault
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.requests.sqs import SendMessage
from tests.yard import Yard

if TYPE_CHECKING:
    from caraway.requests.base import Json

GOOD: Json = {"task": "ident", "immutable": True}
BAD: dict[str, Json] = {
    "nothing": None,
    "a number": 5,
    "text": "ident",
    "no task": {},
    "a task without a name": {"task": None},
    "arguments that are none": {"task": "ident", "args": 5},
    "keyword arguments that are none": {"task": "ident", "kwargs": ["x"]},
    "options that are none": {"task": "ident", "options": ["queue"]},
    "a kind that is no name": {"task": "ident", "subtask_type": [1]},
    "an errback that is none": {"task": "ident", "options": {"link_error": 5}},
    "a callback in a list that is none": {"task": "ident", "options": {"link": [GOOD, {}]}},
    "headers that are none": {"task": "ident", "options": {"headers": 5}},
    "an id that is none": {"task": "ident", "options": {"task_id": 5}},
}


def _canvas(kind: str, **kwargs: Json) -> Json:
    return {"task": f"caraway.{kind}", "subtask_type": kind, "kwargs": kwargs}


AROUND = {
    "by itself": lambda each: each,
    "in a chain": lambda each: _canvas("chain", tasks=[GOOD, each]),
    "as the tasks of a chain": lambda each: _canvas("chain", tasks=each),
    "in a group": lambda each: _canvas("group", tasks=[GOOD, each]),
    "as the tasks of a group": lambda each: _canvas("group", tasks=each),
    "in a header": lambda each: _canvas("chord", header=[GOOD, each], body=GOOD),
    "as a header": lambda each: _canvas("chord", header=each, body=GOOD),
    "as a body": lambda each: _canvas("chord", header=[GOOD], body=each),
    "deep down": lambda each: _canvas("group", tasks=[_canvas("chain", tasks=[GOOD, each])]),
}
MAY_BE_NOTHING = ("as the tasks of a chain", "as the tasks of a group", "as a header", "as a body")


@pytest.mark.parametrize("field", ["link", "link_error", "chain", "then"])
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", BAD)
def test_a_signature_that_cannot_be_read_makes_its_message_a_dead_letter(
    name: str, around: str, field: str
) -> None:
    if name == "nothing" and around in MAY_BE_NOTHING:
        return
    wire = AROUND[around](BAD[name])
    yard = Yard()
    changes: dict[str, Any] = {field: (wire,)}
    if field == "then":
        changes = {"group": "g", "group_index": 0, "chord": {"size": 1, "then": [wire]}}
    task = "fail" if field == "link_error" else "ident"
    body = Message(id="one", task=task, args=(1,), **changes).to_body()
    run_now(yard.aws.perform(SendMessage("memory://default", body)))
    yard.work()
    (letter,) = yard.aws.queues["default-dlq"]
    assert letter.request.attributes["reason"].startswith("chord: " if field == "then" else field)
    assert yard.runs == []


@pytest.mark.parametrize("around", AROUND)
def test_a_signature_that_can_be_read_has_no_fault(around: str) -> None:
    good = [GOOD] if around.startswith("as the tasks") else GOOD
    assert signature_fault(AROUND[around](good)) is None
    assert signature_fault(_canvas("chord", header=None, body=None)) is None
    assert signature_fault({"task": "t", "options": {"link": GOOD, "link_error": [GOOD]}}) is None


@pytest.mark.parametrize("several", [False, True])
def test_a_link_that_stands_alone_is_joined_with_those_of_the_canvas_around_it(
    several: bool,
) -> None:
    told = {"task": "told", "args": ["of its own"], "immutable": True}
    more = {"task": "told", "args": ["of the chain"], "immutable": True}
    wire = _canvas("chain", tasks=[{**GOOD, "options": {"link": [told] if several else told}}])
    wire["options"] = {"link": [more] if several else more}
    yard = Yard()
    body = Message(id="one", task="ident", args=(1,), link=(wire,)).to_body()
    run_now(yard.aws.perform(SendMessage("memory://default", body)))
    yard.work()
    assert [run[1] for run in yard.runs if run[0] == "told"] == ["of its own", "of the chain"]
