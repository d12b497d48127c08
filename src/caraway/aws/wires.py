"""How requests reach AWS from an event loop: aiobotocore, or botocore in threads."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

from caraway.aws.blocking_aws import Botocore
from caraway.aws.clients import GIVEN_UP_S, IDLE_S, ClientSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor as Threads

    from caraway.aws.shortcut import Shortcut


class Wire(Protocol):
    """Puts one operation to an SDK."""

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one operation; a streamed body comes back read."""
        ...

    async def renew(self) -> None:
        """Read the credentials anew, for the requests that follow."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class AiobotocoreWire:
    """aiobotocore clients, made at their first use; they belong to one event loop."""

    def __init__(self, settings: ClientSettings) -> None:
        from aiobotocore.session import AioSession

        from caraway.aws.sdk_data import lightened

        self._new_session: Callable[[], Any] = lambda: lightened(
            AioSession(profile=settings.profile)
        )
        self._session: Any = None  # made in the first request, whose error a wrong profile is
        self._settings = settings
        self._retired: list[tuple[float, Any]] = []
        self._clients: dict[str, Any] = {}
        self._shortcuts: dict[str, Shortcut | None] = {}
        self._opened: list[Any] = []
        self._lock = asyncio.Lock()

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one operation."""
        client = self._clients.get(service) or await self._client(service)
        shortcut = self._shortcuts.get(service)
        if shortcut is not None:
            return await shortcut.ask(operation, params)
        response: dict[str, Any] = await getattr(client, operation)(**params)
        if "Body" in response:
            async with response["Body"] as stream:
                response["Body"] = await stream.read()
        return response

    async def _client(self, service: str) -> Any:
        from aiobotocore.config import AioConfig

        from caraway.aws.sdk_requests import lightened
        from caraway.aws.shortcut import shortcut_of

        async with self._lock:
            if service not in self._clients:
                self._session = self._session or self._new_session()
                opening = self._session.create_client(
                    **self._settings.client_arguments(service),
                    config=self._settings.config(
                        AioConfig, service, connector_args={"keepalive_timeout": IDLE_S}
                    ),
                )
                client = lightened(await opening.__aenter__(), service)
                self._opened.append(opening)
                self._shortcuts[service] = shortcut_of(client)
                self._clients[service] = client
            return self._clients[service]

    async def renew(self) -> None:
        """Read the credentials anew; requests that are under way end with the old clients."""
        now = time.monotonic()
        self._session = None
        self._clients.clear()
        self._shortcuts.clear()
        self._retired += [(now, each) for each in self._opened]
        self._opened.clear()
        while self._retired and now - self._retired[0][0] > GIVEN_UP_S:
            await self._retired.pop(0)[1].__aexit__(None, None, None)

    async def close(self) -> None:
        """Close the connections; another loop may open new ones."""
        self._clients.clear()
        self._shortcuts.clear()
        self._lock = asyncio.Lock()
        self._opened += [each for _, each in self._retired]
        self._retired.clear()
        while self._opened:
            await self._opened.pop().__aexit__(None, None, None)


class ThreadWire:
    """Calls of botocore in threads: no further dependency, and the SDK that Lambda has already.

    Parameters
    ----------
    threads
        Requests in flight at a time; the loop's own threads when None.
    """

    def __init__(self, settings: ClientSettings, threads: Threads | None = None) -> None:
        self._botocore = Botocore(settings)
        self._threads = threads

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one operation."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._botocore, service, operation, params)

    async def renew(self) -> None:
        """Read the credentials anew."""
        self._botocore.renew()

    async def close(self) -> None:
        """Close the connections."""
        self._botocore.close()


def best_wire(settings: ClientSettings) -> Wire:
    """Return aiobotocore's wire where it is installed, else botocore in threads."""
    try:
        return AiobotocoreWire(settings)
    except ModuleNotFoundError:
        return ThreadWire(settings)
