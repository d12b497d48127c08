"""Chords: which options are the body's and which the header's, also as JSON and in chains."""

from __future__ import annotations

from typing import Any

import pytest

from caraway import Signature, chain, chord, group
from tests.yard import Yard


@pytest.mark.parametrize("json", [False, True])
def test_links_and_the_id_of_a_chord_stay_its_bodys_when_something_comes_after(json: bool) -> None:
    yard = Yard()
    first = chord([yard.ident.s(1)], yard.ident.s(), link=[yard.told.s()], task_id="the-body")
    workflow = first | yard.total.s()
    if json:
        workflow = Signature.from_dict(workflow.to_dict(), yard.app)
    result = workflow.delay()
    yard.work()
    assert result.parent.id == "the-body"
    assert result.id != "the-body"
    assert result.get(timeout=1) == 1
    assert ("told", [1]) in yard.runs


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("how", ["sent", "json", "callback", "before a task"])
def test_an_errback_of_a_chord_is_its_headers_too_where_that_is_allowed(
    how: str, allowed: bool
) -> None:
    yard = Yard()
    yard.app.conf.update(task_allow_error_cb_on_chord_header=allowed)
    workflow: Signature[Any] = chord([yard.fail.si("no"), yard.ident.si(1)], yard.total.s())
    workflow.link_error(yard.told.s())
    if how == "json":
        workflow = Signature.from_dict(workflow.to_dict(), yard.app)
    if how == "before a task":
        workflow = workflow | yard.ident.s()
    if how == "callback":
        yard.ident.s(0).set(link=[workflow]).delay()
    else:
        workflow.delay()
    yard.work()
    assert yard.ran("told") == 1 + allowed


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("how", ["sent", "json", "callback", "before a task", "in a chain"])
def test_an_errback_of_a_chain_is_its_headers_too_where_that_is_allowed(
    how: str, allowed: bool
) -> None:
    yard = Yard()
    yard.app.conf.update(task_allow_error_cb_on_chord_header=allowed)
    header = group([yard.fail.si("no"), yard.ident.si(1)])
    workflow: Signature[Any] = chain(yard.add.s(0), header, yard.total.s())
    if how == "in a chain":
        workflow = chain(chain(yard.add.s(0), header), yard.total.s())
    workflow.link_error(yard.told.s())
    if how == "json":
        workflow = Signature.from_dict(workflow.to_dict(), yard.app)
    if how == "before a task":
        workflow = workflow | yard.ident.s()
    if how == "callback":
        yard.ident.s(0).set(link=[workflow]).delay()
    else:
        workflow.delay()
    yard.work()
    assert yard.ran("told") == 1 + allowed


def test_the_id_of_a_frozen_header_survives_json() -> None:
    yard = Yard()
    workflow = chord([yard.ident.s(1), yard.ident.s(2)], yard.total.s())
    frozen = workflow.freeze()
    yard.app.signature("ident", args=(0,), link=[_closed(workflow)]).delay()
    yard.work()
    assert frozen.get(timeout=1) == 3
    groups = {key[1].split("\t")[1] for key in yard.aws.items if key[1].startswith("group\t")}
    assert groups == {frozen.parent.id}


def _closed(canvas: Signature[Any]) -> Signature[Any]:
    canvas.set_immutable(True)
    return canvas
