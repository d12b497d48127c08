"""Far ETAs: the same decisions on every engine, through every port."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.outcomes import all_done
from caraway.core.publish import Site, describe
from caraway.core.revoke import revoke
from caraway.core.routing import Queue, Router
from caraway.core.scheduling import Scheduling, eta_name
from caraway.core.sending import send_each
from caraway.core.transitions import Records
from caraway.requests.scheduler import DeleteSchedule, GetSchedule, ScheduleMissing, at
from caraway.requests.sqs import GetQueueUrl

if TYPE_CHECKING:
    from caraway.core.publish import Outgoing
    from tests.contract.conftest import Harness

ROLE = "arn:aws:iam::000000000000:role/scheduler"
AWKWARD = ["<aws.scheduler.execution-id>", "é 한 🌱", 'a "quoted" word\n\t\\', {"<k>": None}]


def a_site(harness: Harness) -> Site:
    queue = Queue(harness.queue_name())
    router, records = Router([queue], default=queue.name), Records(harness.table())
    return Site(router, records=records, scheduling=Scheduling(ROLE))


def a_call(harness: Harness, site: Site, id: str) -> Outgoing:
    now, options = harness.aws.now(), {"countdown": timedelta(days=30)}
    return describe(site, "task", AWKWARD, {}, options, now=now, new_id=lambda _: id)


def test_a_far_eta_waits_in_a_schedule_and_a_revoke_calls_it_back(harness: Harness) -> None:
    site, id = a_site(harness), harness.unique_name()
    call = a_call(harness, site, id)
    all_done(harness.run(send_each(harness.aws, site, [call], {})))
    schedule = harness.perform(GetSchedule(eta_name(id, 0), "default"))
    assert call.message.eta is not None
    assert schedule.expression == at(call.message.eta - timedelta(minutes=1))
    assert (schedule.after_completion, schedule.role_arn) == ("DELETE", ROLE)
    assert schedule.target_arn.endswith(f":{site.router.default}")
    assert read_message(parse_envelope(schedule.input)) == call.message
    assert harness.run(revoke(harness.aws, site, id)).happened == "revoked"
    with pytest.raises(ScheduleMissing):
        harness.perform(GetSchedule(schedule.name, "default"))
    url = harness.perform(GetQueueUrl(site.router.default))
    (received,) = harness.next_visible(url)
    assert read_message(parse_envelope(received.body)) == call.message


def test_a_call_that_is_sent_again_and_again_has_two_schedules_at_most(harness: Harness) -> None:
    site, id = a_site(harness), harness.unique_name()
    call = a_call(harness, site, id)
    for _ in range(3):
        all_done(harness.run(send_each(harness.aws, site, [call], {})))
    names = (eta_name(id, 0), f"{eta_name(id, 0)}-{call.message.digest[:12]}")
    first, second = (harness.perform(GetSchedule(name, "default")) for name in names)
    assert first.input == second.input
    for name in names:
        harness.perform(DeleteSchedule(name, "default"))


def test_many_far_etas_are_sent_together(harness: Harness) -> None:
    site = a_site(harness)
    ids = [harness.unique_name() for _ in range(40)]
    calls = [a_call(harness, site, id) for id in ids]
    all_done(harness.run(send_each(harness.aws, site, calls, {})))
    for id in ids:
        harness.perform(DeleteSchedule(eta_name(id, 0), "default"))
