"""Stamps: what a visitor gives the calls of a canvas, and where that is seen again."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from caraway import (
    Caraway,
    Queue,
    Signature,
    StampingVisitor,
    chain,
    chord,
    chunks,
    group,
    signals,
)
from caraway.core.events import Received
from caraway.core.port import run_now
from caraway.core.workflow import Call, Group, all_steps_of
from caraway.exceptions import InvalidOption, Reject, UnknownOption
from tests.stage import Stage
from tests.support import FakeTask, World, doing
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable


class Named(StampingVisitor):
    """Says of each call which it is, and of which canvas."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def _see(self, what: str) -> dict[str, Any]:
        self.seen.append(what)
        return {}

    def on_signature(self, sig: Signature[Any], **headers: Any) -> dict[str, Any]:
        return self._see(sig.task) or {"name": sig.task}

    def on_group_start(self, group: Any, **headers: Any) -> dict[str, Any]:
        return self._see("group") or {"within": "group"}

    def on_group_end(self, group: Any, **headers: Any) -> None:
        self._see("/group")

    def on_chain_start(self, chain: Any, **headers: Any) -> dict[str, Any]:
        return self._see("chain") or {"within": "chain"}

    def on_chain_end(self, chain: Any, **headers: Any) -> None:
        self._see("/chain")

    def on_chord_body(self, sig: Any, **header: Any) -> dict[str, Any]:
        return self._see("body") or {"role": "body"}

    def on_callback(self, callback: Any, **header: Any) -> dict[str, Any]:
        return self._see("callback") or {"role": "callback"}

    def on_errback(self, errback: Any, **header: Any) -> dict[str, Any]:
        return self._see("errback") or {"role": "errback"}


class Answering(StampingVisitor):
    """Answers what it was given, for every call."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer

    def on_signature(self, sig: Signature[Any], **headers: Any) -> dict[str, Any]:
        return self.answer


def call(name: str = "t", **options: Any) -> Signature[Any]:
    return Signature(name, (), {}, options)


def stamps(signature: Signature[Any]) -> Any:
    return signature.options.get("stamps")


# -- giving stamps --------------------------------------------------------------------------------


def test_headers_are_stamps_of_every_call() -> None:
    several = group(call("a"), call("b") | call("c"))
    assert several.stamp(customer=17) is several
    first, rest = several.tasks
    assert isinstance(rest, chain)
    assert [stamps(each) for each in (first, *rest.tasks)] == [{"customer": 17}] * 3


def test_a_visitor_goes_through_a_chain_a_group_and_a_chord() -> None:
    visitor = Named()
    chain(call("a"), chord([call("b"), call("c")], call("d"))).stamp(visitor)
    assert visitor.seen == (["chain", "a", "group", "b", "c", "/group", "body", "d", "/chain"])


def test_what_is_inside_gets_the_stamps_of_what_is_around_it() -> None:
    whole = chord([call("a")], call("b")).stamp(Named(), customer=17)
    assert isinstance(whole, chord)
    assert whole.body is not None
    assert stamps(whole.tasks[0]) == {"customer": 17, "within": "group", "name": "a"}
    assert stamps(whole.body) == {
        "customer": 17,
        "within": "group",
        "role": "body",
        "name": "b",
    }


def test_callbacks_and_errbacks_are_stamped_with_their_own_and_not_with_the_calls() -> None:
    callback, errback = call("callback"), call("errback")
    signature = call("a")
    signature.link(callback)
    signature.link_error(errback)
    signature.stamp(Named(), customer=17)
    assert stamps(signature) == {"customer": 17, "name": "a"}
    assert stamps(callback) == {"customer": 17, "role": "callback", "name": "callback"}
    assert stamps(errback) == {"customer": 17, "role": "errback", "name": "errback"}


def test_a_link_that_is_json_is_stamped_as_well() -> None:
    signature = call(link={"task": "callback", "args": [1], "options": {}})
    signature.stamp(customer=17)
    (callback,) = signature.options["link"]
    assert (callback.task, callback.args, stamps(callback)) == ("callback", (1,), {"customer": 17})


@pytest.mark.parametrize(
    "make",
    [lambda first: first | call("b"), group, lambda first: chord([first], call("b"))],
    ids=["chain", "group", "chord"],
)
def test_the_links_of_a_canvas_are_stamped(make: Callable[[Any], Any]) -> None:
    canvas = make(call("a"))
    canvas.link(call("callback"))
    canvas.stamp(customer=17)
    assert [stamps(each) for each in canvas.options["link"]] == [{"customer": 17}]


def test_the_later_stamp_of_a_name_replaces_the_one_before() -> None:
    signature = call().stamp(customer=17, region="eu").stamp(Answering(customer=18), customer=19)
    assert stamps(signature) == {"customer": 18, "region": "eu"}


def test_append_stamps_makes_a_list_of_them_in_which_none_is_twice() -> None:
    signature = call().stamp(customer=17)
    signature.stamp(Answering(customer=[18, 17]), append_stamps=True, customer=19)
    assert stamps(signature) == {"customer": [17, 19, 18]}


def test_what_stamped_headers_leaves_out_is_an_option_or_a_header() -> None:
    answer = Answering(stamped_headers=["a"], a=1, other=2, queue="q")
    signature = call(headers={"own": 0}).stamp(answer)
    assert signature.options == {
        "stamps": {"a": 1},
        "headers": {"own": 0, "other": 2},
        "queue": "q",
    }


def test_stamped_headers_that_name_nothing_are_refused() -> None:
    with pytest.raises(InvalidOption, match="'b', and there is no such stamp"):
        call().stamp(Answering(stamped_headers=["b"], a=1))


def test_an_answer_that_is_no_dict_is_refused() -> None:
    visitor = Answering()
    visitor.answer = ["a"]  # type: ignore[assignment]
    with pytest.raises(InvalidOption, match="expected a dict"):
        call().stamp(visitor)


def test_an_option_without_a_meaning_is_refused_in_an_answer_too() -> None:
    with pytest.raises(UnknownOption, match="SQS has no priorities"):
        call().stamp(Answering(stamped_headers=[], priority=3))


def test_a_visitor_has_to_say_what_it_stamps_a_call_with() -> None:
    with pytest.raises(TypeError, match="on_signature"):
        StampingVisitor()  # type: ignore[abstract]


def test_a_group_of_a_generator_is_made_when_it_is_stamped() -> None:
    several = group(call(str(n)) for n in range(3)).stamp(customer=17)
    assert isinstance(several, group)
    assert [stamps(each) for each in several.tasks] == [{"customer": 17}] * 3


def test_chunks_and_maps_are_stamped_as_the_runs_that_they_are() -> None:
    pairs = [(1, 2), (3, 4), (5, 6)]
    made = chunks(call("add"), pairs, 2)
    assert made.stamp(customer=17) is made
    assert [stamps(each) for each in made.group().tasks] == [{"customer": 17}] * 2
    stamped = chunks(call("add").stamp(customer=18), pairs, 2)
    assert [stamps(each) for each in stamped.group().tasks] == [{"customer": 18}] * 2


def test_the_stamps_of_a_chord_are_not_those_of_what_comes_after_it() -> None:
    whole = chord([call("a")], call("b")).set(stamps={"customer": 17}) | call("c")
    header, body, after = whole.steps()
    assert isinstance(header, Group)
    ((first,),) = header.members
    assert isinstance(first, Call)
    assert isinstance(body, Call)
    assert isinstance(after, Call)
    assert [stamps(each.what) for each in (first, body, after)] == [
        {"customer": 17},
        {"customer": 17},
        None,
    ]


def test_a_clone_shares_no_stamps() -> None:
    signature = call().stamp(customer=17)
    cloned = signature.clone().stamp(customer=18)
    assert (stamps(signature), stamps(cloned)) == ({"customer": 17}, {"customer": 18})


# -- the option, and JSON -------------------------------------------------------------------------


def test_stamps_are_an_option_too_and_those_of_a_signature_stay() -> None:
    signature = call().stamp(customer=17, region="eu")
    assert stamps(signature.clone(stamps={"region": "us"})) == {"customer": 17, "region": "us"}


@pytest.mark.parametrize("given", [["a"], "a", {1: 2}, {"": 1}], ids=str)
def test_stamps_that_are_no_names_and_values_are_refused(given: Any) -> None:
    with pytest.raises(InvalidOption, match="a dict of stamps by their names"):
        Stage(task_queues=[Queue("default")]).app.send_task("t", stamps=given)


def test_celerys_way_to_write_the_option_says_what_ours_is() -> None:
    with pytest.raises(UnknownOption, match=r"stamps=\{'name': value\}"):
        call(stamped_headers=["a"], a=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: call("a"),
        lambda: call("a") | call("b") | call("c"),
        lambda: group(call("a"), call("b") | call("c")),
        lambda: chord([call("a"), call("b")], call("c")),
        lambda: call("a") | group(call("b"), call("c")),
    ],
    ids=["call", "chain", "group", "chord", "nested"],
)
def test_stamps_survive_json_and_are_everybodys(make: Callable[[], Any]) -> None:
    Stage()  # whose app is the current one
    stamp = UUID(int=5)
    by_visit, by_option = make().stamp(run=stamp), make().set(stamps={"run": stamp})
    for canvas in (by_visit, by_option):
        wire = json.loads(json.dumps(canvas.to_dict()))
        read = Signature.from_dict(wire)
        assert read == canvas
        assert _all_stamps(canvas.steps(), lambda each: stamps(each)) == [{"run": stamp}]
        assert _all_stamps(all_steps_of([wire]), lambda each: each["options"]["stamps"]) == [
            {"run": {"__type__": "uuid", "__value__": str(stamp)}}
        ]


def _all_stamps(steps: Any, look: Callable[[Any], Any]) -> list[Any]:
    """Return the stamps of all calls, those that are the same once."""
    found: list[Any] = []
    for step in steps:
        members = () if isinstance(step, Call) else step.members
        within = [_all_stamps(each, look) for each in members]
        for each in [look(step.what)] if isinstance(step, Call) else itertools.chain(*within):
            if each not in found:
                found.append(each)
    return found


# -- where they are seen --------------------------------------------------------------------------


class Seen:
    """A yard whose tasks note the stamps that they run with."""

    def __init__(self) -> None:
        self.yard = Yard()
        self.stamps: dict[str, Any] = {}
        self.tries = 0
        task = self.yard.app.task

        @task(name="see", bind=True)
        def see(self_: Any, *values: Any, name: str = "see") -> Any:
            assert self_.request.stamped_headers == list(self_.request.stamps)
            self.stamps[name] = dict(self_.request.stamps)
            return 1

        @task(name="again", bind=True, default_retry_delay=1)
        def again(self_: Any) -> None:
            self.tries += 1
            self.stamps[f"try {self.tries}"] = dict(self_.request.stamps)
            if self.tries < 3:
                raise self_.retry()

        @task(name="sends", bind=True)
        def sends(self_: Any) -> None:
            see.si(name="sent").delay()

        self.see, self.again, self.sends = see, again, sends

    def sig(self, name: str) -> Signature[Any]:
        signature: Signature[Any] = self.see.s(name=name)
        return signature


def test_each_task_of_a_workflow_sees_its_stamps() -> None:
    seen = Seen()
    whole = seen.sig("a") | chord([seen.sig("b"), seen.sig("c")], seen.sig("d"))
    whole.link(seen.sig("e"))
    whole.stamp(run=UUID(int=5)).apply_async()
    seen.yard.work()
    assert seen.stamps == {name: {"run": UUID(int=5)} for name in "abcde"}


def test_an_errback_sees_its_own_and_those_of_the_task_that_failed() -> None:
    seen = Seen()
    told: list[Any] = []

    @seen.yard.app.task(name="errback", bind=True)
    def errback(self: Any, request: Any, _error: Any, _traceback: Any) -> None:
        told.extend([dict(self.request.stamps), dict(request.stamps)])

    signature = seen.yard.fail.s(1).on_error(errback.s())
    signature.stamp(Named(), customer=17).apply_async()
    seen.yard.work()
    assert told == [
        {"customer": 17, "role": "errback", "name": "errback"},
        {"customer": 17, "name": "fail"},
    ]


def test_eager_runs_see_them() -> None:
    seen = Seen()
    (seen.sig("a") | seen.sig("b")).stamp(customer=17).apply()
    seen.see.apply(kwargs={"name": "c"}, stamps={"customer": 18})
    assert seen.stamps == {"a": {"customer": 17}, "b": {"customer": 17}, "c": {"customer": 18}}


def test_a_retry_keeps_them() -> None:
    seen = Seen()
    seen.again.s().stamp(customer=17).apply_async()
    seen.yard.work()
    assert seen.stamps == {f"try {n}": {"customer": 17} for n in (1, 2, 3)}


def test_a_replay_keeps_them() -> None:
    seen = Seen()
    sent = seen.yard.fail.s(1).stamp(customer=17).apply_async()
    seen.yard.work()
    run_now(_replayed(seen.yard.app, sent.id))
    seen.yard.work()
    received = [each.message for each in seen.yard.events if isinstance(each, Received)]
    assert [(each.attempt, each.stamps) for each in received] == [
        (0, {"customer": 17}),
        (1, {"customer": 17}),
    ]


async def _replayed(app: Caraway, id: str) -> None:
    from caraway.core.replay import replay

    await replay(app.aws, app.site, app.tasks, id)


def test_a_retry_on_a_fifo_queue_keeps_them() -> None:
    stage = Stage(task_queues=[Queue("orders.fifo")])
    seen: list[Any] = []

    @stage.app.task(name="again", bind=True, default_retry_delay=1, queue="orders.fifo")
    def again(self: Any) -> None:
        seen.append(dict(self.request.stamps))
        if len(seen) < 2:
            raise self.retry(headers={"h": 1})

    again.apply_async(stamps={"customer": 17})
    stage.work()
    assert seen == [{"customer": 17}] * 2


def test_a_dead_letter_keeps_them_for_its_redrive() -> None:
    world = World(FakeTask("task", doing(Reject("no"), "done")))
    world.send("task", stamps={"customer": 17})
    world.drain()
    world.redrive()
    world.drain()
    assert [dict(each.stamps) for each in world.tasks["task"].runs] == [{"customer": 17}] * 2


def test_what_a_task_sends_is_stamped_by_itself_alone() -> None:
    seen = Seen()
    seen.sends.s().stamp(customer=17).apply_async()
    seen.yard.work()
    assert seen.stamps == {"sent": {}}


def test_signals_of_a_send_show_them_and_refuse_others() -> None:
    seen, shown = Seen(), []

    def note(headers: Any, **_: Any) -> None:
        shown.append((dict(headers["stamps"]), headers["stamped_headers"]))

    def change(headers: Any, **_: Any) -> None:
        headers["stamps"] = {}

    signature = seen.sig("a").stamp(customer=17)
    signals.before_task_publish.connect(note)
    signals.after_task_publish.connect(note)
    try:
        signature.apply_async()
        assert shown == [({"customer": 17}, ["customer"])] * 2
        signals.before_task_publish.connect(change)
        with pytest.raises(InvalidOption, match="changed 'stamps'"):
            signature.apply_async()
    finally:
        signals.before_task_publish.disconnect(note)
        signals.after_task_publish.disconnect(note)
        signals.before_task_publish.disconnect(change)


def test_a_call_without_stamps_is_the_message_that_it_was() -> None:
    stage = Stage(task_queues=[Queue("default")])
    stage.app.send_task("t")
    assert "stamps" not in stage.sent()[0].to_json()
