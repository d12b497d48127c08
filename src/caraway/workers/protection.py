"""ECS task protection: while tasks run, scaling in and deployments leave this container alone."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from caraway.exceptions import ImproperlyConfigured
from caraway.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

logger = get_logger("worker")

AGENT_VARIABLE: Final = "ECS_AGENT_URI"
"""Set by ECS in every container; "Amazon ECS task scale-in protection endpoint"."""
PATH: Final = "/task-protection/v1/state"
EXPIRES_MIN: Final = 15
"""Minutes that a protection holds. A worker that hangs is protected no longer than that."""
RENEW_S: Final = EXPIRES_MIN * 60 / 3
"""Two renewals may fail before a protection runs out."""
LONG_S: Final = 20.0
"""A task that has run for so long is worth protecting. Shorter ones end within the shutdown
timeout; if they counted, a worker with much to do would never be replaced, not even by a
deployment."""
IDLE_S: Final = 60.0
"""Seconds without a long task until the protection is given up: between two tasks it stays."""
RETRY_S: Final = 30.0
"""Seconds until a request that failed is made again."""
TICK_S: Final = 5.0
PATIENCE_S: Final = 5.0
"""What the agent gets to answer; it asks ECS in turn."""


@dataclass
class Protecting:
    """Decides when to ask for what; knows no clock and no network.

    Attributes
    ----------
    protected
        What ECS was last told, as far as it answered.
    """

    protected: bool = False
    _busy_at: float = float("-inf")
    _told_at: float = float("-inf")
    _not_before: float = float("-inf")

    def wanted(self, now: float, *, busy: bool) -> bool | None:
        """Return what ECS is to be told now, or None for nothing."""
        if busy:
            self._busy_at = now
        if now < self._not_before:
            return None
        if self.protected and now - self._busy_at >= IDLE_S:
            return False
        if busy and (not self.protected or now - self._told_at >= RENEW_S):
            return True
        return None

    def told(self, now: float, *, protected: bool) -> None:
        """Note what ECS was told."""
        self.protected, self._told_at = protected, now

    def failed(self, now: float) -> None:
        """Note that ECS could not be told."""
        self._not_before = now + RETRY_S


class TaskProtection:
    """Keeps the container protected while its worker is busy.

    Parameters
    ----------
    agent
        Where the agent of ECS listens, as ``ECS_AGENT_URI`` says it.
    busy
        Says whether a task runs that is worth protecting.
    """

    def __init__(self, agent: str, busy: Callable[[], bool]) -> None:
        self._agent = agent
        self._busy = busy
        self._state = Protecting()
        self._is_said = False

    async def run(self) -> None:
        """Tell ECS what is so, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            wanted = self._state.wanted(loop.time(), busy=self._busy())
            if wanted is not None:
                await self._tell(wanted)
            await asyncio.sleep(TICK_S)

    async def _tell(self, protected: bool) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, put, self._agent, protected)
        except Exception as error:  # noqa: BLE001 - whatever it is, tasks run without it
            self._state.failed(loop.time())
            if not self._is_said:
                logger.warning(
                    "ECS does not protect this task, so scaling in may stop it while it is busy: "
                    "%s. Its role needs ecs:UpdateTaskProtection, or start the worker with "
                    "--no-task-protection",
                    error,
                )
            self._is_said = True
        else:
            self._is_said = False
            self._state.told(loop.time(), protected=protected)
            logger.debug("task protection is %s", "on" if protected else "off")


def put(agent: str, protected: bool) -> None:
    """Tell the agent whether the task is to be protected.

    Raises
    ------
    OSError, HTTPException
        If the agent does not answer.
    ValueError
        If it refuses.
    """
    place = urlsplit(agent)
    body: dict[str, object] = {"ProtectionEnabled": protected}
    if protected:
        body["ExpiresInMinutes"] = EXPIRES_MIN
    # Not urllib: the agent is link-local, and a proxy that the environment names is not for it.
    connection = HTTPConnection(place.hostname or "", place.port or 80, timeout=PATIENCE_S)
    try:
        path = place.path.rstrip("/") + PATH
        headers = {"Content-Type": "application/json"}
        connection.request("PUT", path, json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read() or b"{}")
    finally:
        connection.close()
    told = answer.get("protection") if isinstance(answer, dict) else None
    if response.status != 200 or told is None:
        raise ValueError(f"the ECS agent answered {response.status}: {json.dumps(answer)[:300]}")


def agent_of(wanted: bool | None) -> str | None:
    """Return where the agent is, or None if the task is not to be protected.

    Parameters
    ----------
    wanted
        None: where there is an agent.

    Raises
    ------
    ImproperlyConfigured
        If it is wanted and there is no agent.
    """
    if wanted is False:
        return None
    agent = os.environ.get(AGENT_VARIABLE)
    if agent is None and wanted:
        raise ImproperlyConfigured(
            f"--task-protection needs an ECS task: {AGENT_VARIABLE}, which ECS sets, is not there"
        )
    return agent
