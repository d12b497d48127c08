"""Sessions of the SDK that read its data files lightly: the models of services, all endpoints.

A session reads them when it makes its clients, into ordered dictionaries, and keeps the endpoints
of some four hundred services. Plain dictionaries hold the same in the same order, in half the time
and two thirds of the memory; of the endpoints a client needs those of its own service, and of the
models all but what is written for people.
"""

from __future__ import annotations

import gc
import gzip
import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.loaders import JSONFileLoader, Loader, create_loader
from botocore.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway.aws.clients import ClientSettings

S = TypeVar("S", bound=Session)

SERVICES: Final = frozenset(
    {
        *("dynamodb", "events", "iam", "lambda", "monitoring", "s3", "scheduler", "sqs", "sts"),
        *("oidc", "portal.sso"),  # where credentials may come from
    }
)
"""Those that have clients here, by the names that the list of endpoints has for them. Of any other
the SDK supposes what it supposes of a service that is newer than its list: that its endpoints have
the names that they usually have."""
_PLAIN: Final[dict[str, Callable[[bytes], bytes]]] = {".json": bytes, ".json.gz": gzip.decompress}

_TOLD: Final = re.compile(rb'"documentation":"[^"\\]*(?:\\.[^"\\]*)*"')
"""What a model tells its readers: two thirds of it, from which the SDK makes the help of clients. A
quote within a text has a backslash before it, so that no text looks like this."""
_NOTHING: Final = b'"documentation":""'


def new_session(settings: ClientSettings) -> Session:
    """Return a session for blocking clients.

    It is botocore's. boto3 makes the same clients, and adds what is not used here, such as
    resources and the transfers of S3: a quarter of what its import takes.
    """
    return lightened(Session(profile=settings.profile))


def lightened(session: S) -> S:
    """Return a session that reads its data lightly; it has made no client yet."""
    places = create_loader(session.get_config_variable("data_path")).search_paths
    loader = _Data(places, _Files(), include_default_search_paths=False)
    session.register_component("data_loader", loader)
    return session


class _Data(Loader):
    """Finds data files."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - see there
        """Return the names of all services.

        The SDK asks before it loads a model, and would look into four hundred folders for those
        that hold a file of that type. What a service does not have is then found missing.
        """
        places = [Path(each) for each in self.search_paths]
        return sorted({each.name for place in places if place.is_dir() for each in place.iterdir()})


class _Files(JSONFileLoader):
    """Reads a data file into plain dictionaries."""

    def load_file(self, file_path: str) -> Any:
        """Return what the file of a name without its ending has, None if there is none."""
        for ending, plain in _PLAIN.items():
            file = Path(file_path + ending)
            if file.is_file():
                with _no_garbage():
                    data = json.loads(_TOLD.sub(_NOTHING, plain(file.read_bytes())))
                return _of_services(data) if file.stem == "endpoints" else data
        return None


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Let the garbage collector rest.

    It would go through what is read thirty times, and then through all there is, and find nothing.
    """
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def _of_services(endpoints: dict[str, Any]) -> dict[str, Any]:
    """Return the list of endpoints with those of our services only."""
    for partition in endpoints.get("partitions", ()):
        services = partition.get("services", {})
        partition["services"] = {name: services[name] for name in SERVICES & services.keys()}
    return endpoints
