"""What every part of an app stands on: its settings, its tasks, and its ways to AWS."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from caraway.core.claim_check import Store
from caraway.core.publish import Site
from caraway.core.routing import Router
from caraway.core.scheduling import Scheduling
from caraway.core.serializers import Accepted, Contents, other_than_json
from caraway.core.signing import Signing
from caraway.core.transitions import Records
from caraway.exceptions import ImproperlyConfigured, NotRegistered, nearest
from caraway.middleware import Middleware, Onion, layer_of
from caraway.settings import Settings

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from caraway.aws.asyncio_aws import AsyncioAws
    from caraway.aws.blocking_aws import BlockingAws
    from caraway.aws.clients import ClientSettings


M = TypeVar("M", bound="Middleware | type[Middleware] | str")


class TaskRegistry(dict[str, Any]):
    """The tasks of an app by name; those that every app has are found, and not listed."""

    def __init__(self) -> None:
        super().__init__()
        self.built_in: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """Return the task of a name."""
        return super().get(name) or self.built_in.get(name, default)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.built_in

    def __missing__(self, name: str) -> Any:
        if name in self.built_in:
            return self.built_in[name]
        raise NotRegistered(f"no task named {name!r} is registered{nearest(name, self)}")


class AppBase(ABC):
    """An app without the ways to declare tasks: what calls, results and workers need of it."""

    def __init__(self, main: str | None) -> None:
        self.main = main
        self.conf = Settings()
        self.tasks = TaskRegistry()
        """The registered tasks by name."""
        self._site: tuple[int, Site] | None = None
        self._added: tuple[Middleware | str, ...] = ()
        self._onion: tuple[int, tuple[Any, ...], Onion] | None = None
        self._blocking: BlockingAws | None = None
        self._asyncio: dict[AbstractEventLoop, AsyncioAws] = {}
        self._making = RLock()

    @abstractmethod
    def finalize(self) -> Any:
        """Import what the app names, and let its schedules be set up."""

    @abstractmethod
    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Send a task by its name; returns its result."""

    @abstractmethod
    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Send a task by its name, from asynchronous code; returns its result."""

    @abstractmethod
    def result_from_tuple(self, data: Any) -> Any:
        """Return the result that its ``as_tuple`` described."""

    @abstractmethod
    def send_workflow(self, canvas: Any) -> Any:
        """Send a canvas; returns its result."""

    @abstractmethod
    async def asend_workflow(self, canvas: Any) -> Any:
        """Send a canvas from asynchronous code; returns its result."""

    @abstractmethod
    def run_workflow(self, canvas: Any, throw: bool | None) -> Any:
        """Run a canvas in this process; returns its result."""

    @abstractmethod
    def frozen(self, signature: Any, id: str | None) -> Any:
        """Decide the ids of a signature; returns the result that it will have."""

    # -- where things are ---------------------------------------------------------------------

    @property
    def timezone(self) -> tzinfo:
        """The time zone of naive times and of schedules."""
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.conf.timezone)

    @property
    def site(self) -> Site:
        """Where the app's things are, by its settings as they are now."""
        version, known = self.conf.version, self._site
        if known is None or known[0] != version:
            # One value: another thread never sees the version of this site and an older one.
            site = replace(site_of(self.conf), carried_headers=self.onion.carries)
            known = self._site = (version, site)
        return known[1]

    @property
    def eager_site(self) -> Site:
        """The same for eager tasks, whose payloads stay in memory, as do delays of any length."""
        return replace(
            self.site,
            store=Store("memory"),
            keeps_results=True,
            result_expires_s=None,
            signing=None,
            scheduling=None,
            delay_limit_s=sys.maxsize,
        )

    # -- middleware ---------------------------------------------------------------------------

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        """What surrounds every send and every run, the outermost first: the setting of that name.

        Assign instances or subclasses of :class:`caraway.Middleware`, or their dotted paths.
        """
        return self.onion.layers

    @middleware.setter
    def middleware(self, several: Iterable[Middleware | type[Middleware] | str]) -> None:
        given = tuple(each if isinstance(each, str) else layer_of(each) for each in several)
        Onion([each for each in given if not isinstance(each, str)])  # says what is wrong now
        self.conf.middleware = given

    def add_middleware(self, middleware: M) -> M:
        """Add a middleware, within those of the setting; also a decorator of a class.

        Raises
        ------
        ImproperlyConfigured
            If it is no middleware, or cannot surround anything as it is written.
        """
        added = (*self._added, middleware if isinstance(middleware, str) else layer_of(middleware))
        Onion([each for each in added if not isinstance(each, str)])
        self._added = added
        self._site = self._onion = None
        return middleware

    @property
    def onion(self) -> Onion:
        """The middleware as one; paths are imported at the first use."""
        version, known = self.conf.version, self._onion
        if known is None or known[0] != version:
            known = self._made_onion(version)
        return known[2]

    def _made_onion(self, version: int) -> tuple[int, tuple[Any, ...], Onion]:
        given = (*self.conf.middleware, *self._added)
        with self._making:
            known = self._onion
            # Each is made once, however often other settings change.
            same = known is not None and known[1] == given
            onion = known[2] if known and same else Onion([layer_of(each) for each in given])
            self._onion = (version, given, onion)
            return self._onion

    def task_named(self, name: str) -> Any:
        """Return a task by its name.

        Raises
        ------
        NotRegistered
            If there is none; the message suggests the nearest.
        """
        return self.tasks[name]

    # -- the ways to AWS ----------------------------------------------------------------------

    @property
    def client_settings(self) -> ClientSettings:
        """How AWS clients are made."""
        from caraway.aws.clients import ClientSettings

        return ClientSettings(self.conf.aws_region, self.conf.aws_endpoint_url)

    @property
    def aws(self) -> BlockingAws:
        """The port for synchronous code; made at its first use, shared by all threads."""
        port = self._blocking
        if port is None:
            from caraway.aws.blocking_aws import BlockingAws

            with self._making:
                port = self._blocking = self._blocking or BlockingAws(self.client_settings)
        return port

    def swap(self, port: BlockingAws | None) -> BlockingAws | None:
        """Let synchronous code use another port; return the one before, which stays open."""
        with self._making:
            self._blocking, before = port, self._blocking
        return before

    @property
    def aio(self) -> AsyncioAws:
        """The port of the running event loop; it closes with the loop."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        port = self._asyncio.get(loop)
        if port is None:
            from caraway.aws.asyncio_aws import AsyncioAws

            with self._making:
                for ended in [each for each in self._asyncio if each.is_closed()]:
                    del self._asyncio[ended]
                port = self._asyncio[loop] = AsyncioAws(settings=self.client_settings)
        return port

    def share(self, loop: AbstractEventLoop, port: AsyncioAws) -> None:
        """Let the asynchronous code of an event loop use a port that its owner closes."""
        with self._making:
            self._asyncio[loop] = port

    def forget_clients(self) -> None:
        """Drop all connections without closing them: they belong to another process."""
        self._blocking = None
        self._asyncio = {}
        self._making = RLock()  # a thread that is not in this process may hold the other one

    def close(self) -> None:
        """Close the connections of synchronous code."""
        blocking, self._blocking = self._blocking, None
        if blocking is not None:
            blocking.close()


def site_of(conf: Settings) -> Site:
    """Return where the things are that settings name.

    Raises
    ------
    ImproperlyConfigured
        If settings contradict each other, name a serializer that is not there, or a key that is
        none.
    """
    return Site(
        router=Router(conf.task_queues, conf.task_routes, conf.task_default_queue),
        records=Records(conf.task_table),
        store=_store_of(conf),
        contents=_contents_of(conf),
        compression=conf.task_compression,
        queue_prefix=conf.queue_name_prefix,
        result_expires_s=conf.result_expires,
        max_deliveries=conf.task_max_deliveries,
        keeps_results=conf.result_backend != "disabled",
        keeps_calls=conf.result_extended,
        signing=Signing.of(
            conf.task_signing_keys, conf.task_signing_key_id, required=conf.task_require_signature
        ),
        scheduling=_scheduling_of(conf),
    )


def _scheduling_of(conf: Settings) -> Scheduling | None:
    role_arn = conf.scheduler_role_arn
    return None if role_arn is None else Scheduling(role_arn, conf.scheduler_group_name)


def _store_of(conf: Settings) -> Store:
    if conf.result_backend == "s3" and conf.payload_bucket is None:
        raise ImproperlyConfigured(
            "result_backend = 's3' keeps results in the bucket that payload_bucket (or "
            "CARAWAY_PAYLOAD_BUCKET) names, and it names none"
        )
    encryption = conf.s3_server_side_encryption or ("aws:kms" if conf.s3_kms_key_id else None)
    if encryption == "AES256" and conf.s3_kms_key_id:
        raise ImproperlyConfigured(
            "s3_server_side_encryption = 'AES256' uses no key of KMS: set it to 'aws:kms', or "
            "s3_kms_key_id to None"
        )
    storage = {
        "StorageClass": conf.s3_storage_class,
        "ServerSideEncryption": encryption,
        "SSEKMSKeyId": conf.s3_kms_key_id,
    }
    return Store(
        conf.payload_bucket,
        conf.message_inline_limit_bytes,
        conf.result_inline_limit_bytes,
        base_path=conf.s3_base_path,
        storage={name: value for name, value in storage.items() if value is not None},
        keeps_all_results=conf.result_backend == "s3",
        result_compression=conf.result_compression,
        compression_threshold_bytes=conf.compression_threshold_bytes,
    )


def _contents_of(conf: Settings) -> Contents:
    results = conf.result_accept_content
    accepted = Accepted.of(conf.accept_content, "accept_content")
    return Contents(
        other_than_json(conf.task_serializer),
        other_than_json(conf.result_serializer),
        accepted,
        accepted if results is None else Accepted.of(results, "result_accept_content"),
    )
