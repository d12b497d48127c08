"""Revoking: a task is not to run, or not to run on.

A revoke is a write to the task's own record. What waits ends there and then, and its message finds
that when it comes. A run is told by a flag, which its worker sees with the next heartbeat; one that
nobody can stop, as on Lambda, is fenced off: it goes on, and may record nothing any more.
"""

from __future__ import annotations

from contextlib import suppress
from signal import Signals
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from caraway import states
from caraway.core.codec import dumps
from caraway.core.errors import error_to_json
from caraway.core.ids import new_token
from caraway.core.lots import lots
from caraway.core.reading import get_items
from caraway.core.recalling import recall_all
from caraway.core.record import DONE, FAILED, LAMBDA, RETRY, RUNNING, Record, Written
from caraway.core.results import TOGETHER
from caraway.core.settle import Revoked
from caraway.exceptions import AccessDenied, InvalidOption, OperationalError, nearest
from caraway.lean import dataclass
from caraway.requests.dynamodb import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.dynamodb import UpdateItem

DEFAULT_SIGNAL: Final = "SIGTERM"
"""What terminates a task's process where nothing else is asked for, as in Celery."""
_REVOKE: Final = "revoke"
_TERMINATE: Final = "terminate:"

Happened: TypeAlias = Literal["revoked", "flagged", "terminating", "fenced", "ended"]

_SENTENCES: Final[dict[Happened, str]] = {
    "revoked": "it is revoked and does not run",
    "flagged": "it runs, to the end of this attempt; another one does not begin",
    "terminating": "it runs; its worker ends it with the next heartbeat",
    "fenced": "it is revoked; its function cannot be stopped and goes on, but records nothing",
    "ended": "it has ended already",
}


@dataclass(frozen=True)
class Revocation:
    """What a revoke has come to.

    Attributes
    ----------
    happened
        ``revoked``: it does not run. ``flagged``: it runs, and no attempt follows this one.
        ``terminating``: it runs, and its worker ends it. ``fenced``: it is revoked, and its
        function goes on without an effect on the record. ``ended``: it had ended before.
    state
        The task's state after that.
    """

    id: str
    happened: Happened
    state: str

    def __str__(self) -> str:
        """Return it as a sentence."""
        said = _SENTENCES[self.happened]
        return f"{said}: {self.state}" if self.happened == "ended" else said


def mode_of(signal: str | None) -> str:
    """Return what a record's ``revoked`` says of a revoke; with a signal it also ends a run."""
    return _REVOKE if signal is None else f"{_TERMINATE}{signal}"


def signal_of(mode: str | None) -> str | None:
    """Return the signal that is to end a run; None where it may go on."""
    if mode is None or not mode.startswith(_TERMINATE):
        return None
    name = mode.removeprefix(_TERMINATE)
    return name if name in Signals.__members__ else DEFAULT_SIGNAL


def signal_name(signal: str | int) -> str:
    """Return the name of a signal: of ``"SIGTERM"``, ``"term"``, 15 or ``signal.SIGTERM``.

    Raises
    ------
    InvalidOption
        If there is no such signal here.
    """
    if not isinstance(signal, str):
        with suppress(ValueError):
            return Signals(signal).name
    else:
        name = f"SIG{signal.upper().removeprefix('SIG')}"
        if name in Signals.__members__:
            return name
    near = nearest(str(signal).upper(), Signals.__members__)
    raise InvalidOption(f"no signal {signal!r}{near}: SIGTERM, SIGINT or SIGKILL, for example")


def chosen_signal(terminate: bool, signal: str | int) -> str | None:
    """Return the signal that is to end a run, None where it may go on.

    Raises
    ------
    InvalidOption
        If there is no such signal, also where none is asked for.
    """
    name = signal_name(signal)
    return name if terminate else None


def found_revoked(record: Record) -> Revoked | None:
    """Return the ending that a revoke has written, for the message that finds it; else None.

    None for one that expired: who found that has announced it.
    """
    if record.phase != DONE or record.state != states.REVOKED or record.revoked is None:
        return None
    return _ending(record.revoked)


async def revoke(aws: Aws, site: Site, id: str, signal: str | None = None) -> Revocation:
    """Revoke one task, as :func:`revoke_all` does.

    Raises
    ------
    OperationalError
        If AWS could not be asked, or refused.
    """
    (outcome,) = await revoke_all(aws, site, [id], signal)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def revoke_all(
    aws: Aws, site: Site, ids: Sequence[str], signal: str | None = None
) -> list[Revocation | Exception]:
    """Revoke tasks, and say of each what that has come to, or why AWS did not do it.

    Many cost two requests for a hundred of them to read, and one for 25 to write. In an app with a
    role for Scheduler each of those that do not run costs one more, to look for its schedule.

    Parameters
    ----------
    signal
        Ends what runs, by this signal where a process can be ended; None lets it finish.
    """
    done: dict[str, Revocation | Exception] = {}
    for several in lots(dict.fromkeys(ids), TOGETHER):
        done |= await _revoke_several(aws, site, several, signal)
    return [done[id] for id in ids]


async def _revoke_several(
    aws: Aws, site: Site, ids: Sequence[str], signal: str | None
) -> dict[str, Revocation | Exception]:
    known = await _seen(aws, site, ids)
    done: dict[str, Revocation | Exception] = {
        id: ended(id, record) for id, record in known.items() if record.phase in (DONE, FAILED)
    }
    await _revoke_waiting(aws, site, known, done, signal)
    revoked = {
        id: known[id].attempt
        for id, outcome in done.items()
        if isinstance(outcome, Revocation) and outcome.happened == "revoked"
    }
    for id, error in (await recall_all(aws, site, revoked)).items():
        done[id] = _not_recalled(error)
    return done


async def _revoke_waiting(
    aws: Aws,
    site: Site,
    known: dict[str, Record],
    done: dict[str, Revocation | Exception],
    signal: str | None,
) -> None:
    """Revoke those that have not ended; ``known`` and ``done`` say of each what has come of it."""
    while waiting := [id for id in known if id not in done]:
        steps = [_step(aws, site, id, known[id], signal) for id in waiting]
        answers = await aws.perform_all([write for write, _ in steps])
        for id, (_, revocation), answer in zip(waiting, steps, answers, strict=True):
            if not isinstance(answer, Exception):
                known[id] = Record.read(answer)
                done[id] = revocation
            elif not isinstance(answer, ConditionFailed):
                done[id] = explained(answer)
            else:
                # The record has moved: what is to be done depends on where it is now.
                known[id] = Record.read(answer.item)
                if known[id].phase in (DONE, FAILED):
                    done[id] = ended(id, known[id])


async def _seen(aws: Aws, site: Site, ids: Sequence[str]) -> dict[str, Record]:
    """Return the records as they are: a write that knows what it finds travels with others.

    One task is written to at once. Who may not read, and is not answered, writes as well: what the
    write finds says the same.
    """
    known = dict.fromkeys(ids, Record())
    if len(ids) > 1:
        with suppress(OperationalError):
            items = await get_items(aws, site.records.table, ids)
            known |= {id: Record.read(item) for id, item in items.items()}
    return known


def _step(
    aws: Aws, site: Site, id: str, record: Record, signal: str | None
) -> tuple[UpdateItem, Revocation]:
    """Return the write for a record that was seen so, and what it comes to."""
    records, now = site.records, aws.now().timestamp()
    expires_at = None if site.result_expires_s is None else now + site.result_expires_s
    if record.phase != RUNNING or record.token is None:
        mode = mode_of(None)  # there is nothing to terminate
        waits = record.phase == RETRY
        write = records.revoke(id, now, mode, _written(mode), expires_at, was_seen=waits)
        return write, Revocation(id, "revoked", states.REVOKED)
    mode = mode_of(signal)
    if signal is None:
        return records.flag_revoked(id, now, mode), Revocation(id, "flagged", record.state)
    if record.door != LAMBDA:
        return records.flag_revoked(id, now, mode), Revocation(id, "terminating", record.state)
    write = records.fence_off(id, record.token, new_token(), now, mode, _written(mode), expires_at)
    return write, Revocation(id, "fenced", states.REVOKED)


def _ending(mode: str) -> Revoked:
    signal = signal_of(mode)
    return Revoked("revoked") if signal is None else Revoked("terminated", signal)


def _written(mode: str) -> Written:
    return Written(states.REVOKED, dumps(error_to_json(_ending(mode).error)))


def ended(id: str, record: Record) -> Revocation:
    """Return what a revoke comes to that finds an ending: of its own, or of another's revoke."""
    if record.state == states.REVOKED and record.revoked is not None:
        return Revocation(id, "revoked", record.state)
    return Revocation(id, "ended", record.state)


def _not_recalled(error: Exception) -> Exception:
    """Return why AWS did not let the message of a revoked task come, with what would."""
    if isinstance(error, AccessDenied):
        return AccessDenied(
            f"{error}; it is revoked, but a message of it that waits in a schedule comes at its "
            "ETA, and runs if that is 15 days ahead: attach the policies RevokerPolicyArn and "
            "ProducerPolicyArn of the stack, or allow scheduler:GetSchedule and "
            "scheduler:DeleteSchedule on the group and sqs:SendMessage on the queues, and revoke "
            "it again"
        )
    return error


def explained(error: Exception) -> Exception:
    """Return why AWS did not revoke, with what would allow it."""
    if isinstance(error, AccessDenied):
        return AccessDenied(
            f"{error}; to revoke is to write to the task table: attach the policy "
            "RevokerPolicyArn of the stack, or allow dynamodb:UpdateItem on the table"
        )
    return error
