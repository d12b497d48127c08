"""Calling back what waits in schedules: the messages of tasks that were revoked come now.

A task that was revoked has ended, but what waits for it, such as a chord, learns of that from its
message. So this is sent at once, and then its schedule is deleted. Each step may be repeated: two
messages of one task are one, and whoever revokes a task again finishes what was begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.core.patience import unhurried
from caraway.core.scheduling import eta_name, second_name
from caraway.exceptions import OperationalError
from caraway.requests.scheduler import DeleteSchedule, GetSchedule, Schedule, ScheduleMissing
from caraway.requests.sqs import GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.port import Aws
    from caraway.core.publish import Site


async def recall_all(aws: Aws, site: Site, attempts: Mapping[str, int]) -> dict[str, Exception]:
    """Let messages come that wait for their ETA in schedules, if there are any.

    Nothing says of a task whether its message waits: each costs a request that asks, in an app
    with a role for Scheduler.

    Parameters
    ----------
    attempts
        The attempt that each task waits for, by its id.

    Returns
    -------
    dict[str, Exception]
        What kept AWS from it, by the id.
    """
    to = site.scheduling
    if to is None:
        return {}
    failed: dict[str, Exception] = {}
    gets = [GetSchedule(eta_name(id, attempt), to.group) for id, attempt in attempts.items()]
    found: dict[str, Schedule] = {}
    for id, answer in zip(attempts, await unhurried(aws, gets), strict=True):
        if isinstance(answer, Schedule):
            found[id] = answer
        else:
            _note(failed, id, answer)
    sends: dict[str, SendMessage] = {}
    for id, schedule in found.items():
        queue = schedule.target_arn.rpartition(":")[2]
        try:
            sends[id] = SendMessage(await aws.perform(GetQueueUrl(queue)), schedule.input)
        except OperationalError as error:
            failed[id] = error
    for id, sent in zip(sends, await aws.perform_all(list(sends.values())), strict=True):
        _note(failed, id, sent)
    deletes = [
        (id, DeleteSchedule(name, to.group))
        for id in sends
        if id not in failed
        for name in (found[id].name, second_name(found[id]))
    ]
    gone = await unhurried(aws, [delete for _, delete in deletes])
    for (id, _), deleted in zip(deletes, gone, strict=True):
        _note(failed, id, deleted)
    return failed


def _note(failed: dict[str, Exception], id: str, answer: object) -> None:
    """Keep why AWS refused; what has fired meanwhile, or never was, is no failure."""
    if isinstance(answer, Exception) and not isinstance(answer, ScheduleMissing):
        failed[id] = answer
