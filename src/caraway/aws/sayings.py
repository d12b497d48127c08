"""What an SDK says in its requests, heard twice, so that it can be said again.

What is believed has been proven: what would have been said here, of the same arguments at the same
time, is what the SDK has said, to the last character of the signature.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.handlers import add_recursion_detection_header

from caraway.aws.sigv4 import ALGORITHM, Signer
from caraway.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from caraway.aws.sigv4 import Credentials

    Key = tuple[str, str | None]

LISTENED_TO: Final = 5
"""Requests of an operation that are listened to at most; two are enough if they say the same."""
_EVENTS: Final = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-parse",
    "response-received",
    "needs-retry",
    "after-call",
)
"""What an SDK tells of a request, but for ``before-send``, which is told here, too."""
_HARMLESS: Final = ("aiobotocore.", "botocore.", "aws_lambda_powertools.shared.user_agent")
"""Modules whose handlers do the same to each request: the SDK's own, and what says in the user
agent of every client in a Lambda function that Powertools is there."""
_EACH_ANEW: Final = frozenset(
    {
        "amz-sdk-invocation-id",
        "authorization",
        "content-length",
        "x-amz-date",
        "x-amz-security-token",
        "x-amzn-trace-id",
    }
)
"""Headers that are new in each request."""


class Asking:
    """A request that an SDK makes, and what it is about to send in each try.

    Parameters
    ----------
    met
        What became of the first try already: an answer of HTTP, or an error.
    """

    def __init__(self, met: Any = None) -> None:
        self.heard: list[tuple[str, AWSPreparedRequest]] = []
        self._met = met

    def try_(self, event: str, request: AWSPreparedRequest) -> Any:
        """Hear what is about to be sent; return or raise what has become of it, if it was."""
        self.heard.append((event, request))
        met, self._met = self._met, None
        if isinstance(met, Exception):
            raise met
        return met


_asking: ContextVar[Asking | None] = ContextVar("asking", default=None)


@contextmanager
def asking(met: Any = None) -> Iterator[Asking]:
    """Listen to the request that an SDK makes meanwhile."""
    one = Asking(met)
    token = _asking.set(one)
    try:
        yield one
    finally:
        _asking.reset(token)


def _before_send(request: AWSPreparedRequest, event_name: str, **_about: Any) -> Any:
    one = _asking.get()
    return None if one is None else one.try_(event_name, request)


class Headers(dict[str, bytes]):
    """Headers as the SDK has them: bytes by their names, whose case does not matter."""

    def __missing__(self, name: str) -> bytes:
        wanted = name.lower()
        for each, value in self.items():
            if each.lower() == wanted:
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """Return a header, or the default."""
        try:
            return self[name]
        except KeyError:
            return default


class Saying:
    """What an SDK says in each request of an operation.

    Parameters
    ----------
    event
        The name of the event before it is sent.
    request
        One that it has made.

    Raises
    ------
    LookupError, ValueError
        If that is none of those that are known here: it is signed otherwise, for example.
    """

    def __init__(self, event: str, request: Any) -> None:
        parts = urlsplit(request.url)
        plain = _plain(request.headers)
        algorithm, _, told = plain["authorization"].partition(" ")
        fields = dict(each.split("=") for each in told.split(", "))
        _, _, *place = fields["Credential"].rsplit("/", 4)
        if (request.method, parts.path, parts.query, algorithm) != ("POST", "/", "", ALGORITHM):
            raise ValueError("it is no signed POST to the root")
        signed = fields["SignedHeaders"].split(";")
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        host = parts.hostname or ""
        self.event = event
        self._url: str = request.url
        self._headers = Headers(
            (name, plain[name.lower()].encode())
            for name in request.headers
            if name.lower() not in _EACH_ANEW
        )
        self._has_token = "x-amz-security-token" in plain
        self._signed = {name: plain[name] for name in signed if name in plain}
        self._signed["host"] = host if parts.port in {None, usual} else f"{host}:{parts.port}"
        self._place = place
        self._is_traced = "AWS_LAMBDA_FUNCTION_NAME" in os.environ  # where that header is for
        self._signer = Signer("/".join(place), signed)

    def says_the_same(self, other: Saying) -> bool:
        """Say whether two requests differ in nothing but what is new in each."""
        return self._fixed == other._fixed

    @property
    def _fixed(self) -> tuple[object, ...]:
        headers = dict(self._headers)
        return self.event, self._url, headers, self._has_token, self._signed.keys(), self._place

    def request(self, body: bytes, credentials: Credentials) -> AWSPreparedRequest | None:
        """Return a request as the SDK would make it, None if these credentials are of others."""
        if self._has_token != bool(credentials.token):
            return None
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers: Any = Headers(self._headers)
        headers["X-Amz-Date"] = at.encode()
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token.encode()
        headers["Authorization"] = self.authorization(body, credentials, at).encode()
        headers["amz-sdk-invocation-id"] = new_id().encode()
        headers["Content-Length"] = str(len(body)).encode()
        if self._is_traced:
            add_recursion_detection_header({"headers": headers})
        return AWSPreparedRequest("POST", self._url, headers, body, False, {})

    def is_of(self, request: Any, credentials: Credentials) -> bool:
        """Say whether what would have been said here is what a request of the SDK says."""
        plain = _plain(request.headers)
        again = self.authorization(request.body, credentials, plain["x-amz-date"])
        return plain["authorization"] == again

    def authorization(self, body: bytes, credentials: Credentials, at: str) -> str:
        """Return the signature of a request of that time."""
        signed = {**self._signed, "x-amz-date": at}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        return self._signer.authorization(signed, body, credentials, at)


class Sayings:
    """What a client of an SDK says, as far as it has been heard.

    Parameters
    ----------
    client
        One that has made no request yet.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._known: dict[Key, Saying] = {}
        self._first: dict[Key, Saying] = {}
        self._listened: Counter[Key] = Counter()
        client.meta.events.register("before-send", _before_send)

    def find(self, operation: str, params: Mapping[str, Any]) -> Saying | None:
        """Return what is known of an operation."""
        return self._known.get(_key(operation, params))

    def is_unheard(self, operation: str, params: Mapping[str, Any]) -> bool:
        """Say whether there is something to learn of an operation."""
        return self._listened[_key(operation, params)] < LISTENED_TO

    def learn(
        self, operation: str, params: Mapping[str, Any], heard: Asking, credentials: Credentials
    ) -> None:
        """Take note of a request that the SDK has made with success."""
        key = _key(operation, params)
        self._listened[key] += 1
        if len(heard.heard) != 1:  # it was repeated
            return
        ((event, request),) = heard.heard
        try:
            saying = Saying(event, request)
            if not saying.is_of(request, credentials):
                return
        except (LookupError, TypeError, ValueError):
            return
        first = self._first.get(key)
        if first is None or not saying.says_the_same(first):
            self._first[key] = saying
        elif self._is_alone(event):
            self._known[key] = saying
        else:
            self._listened[key] = LISTENED_TO

    def _is_alone(self, event: str) -> bool:
        """Say whether nobody hears of its requests on their way who may treat them differently.

        Tracers, for example, listen to its events or put themselves around its method.
        """
        about = event.partition(".")[2]
        method = type(self._client)._make_api_call  # noqa: SLF001
        try:
            found = self._client.meta.events._emitter._handlers.prefix_search  # noqa: SLF001
        except AttributeError:  # another SDK than is known here
            return False
        modules = {each.__module__ for name in _EVENTS for each in found(f"{name}.{about}")}
        return (
            isinstance(method, FunctionType)
            and all(each.startswith(_HARMLESS) for each in modules)
            and "botocore.monitoring" not in modules
        )


def _key(operation: str, params: Mapping[str, Any]) -> Key:
    """Return on what it depends where a request goes: a table may be of another account."""
    table = params.get("TableName") or next(iter(params.get("RequestItems", ())), None)
    return operation, table


def _plain(headers: Any) -> dict[str, str]:
    """Return headers as text, by their names in lower case."""
    return {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in headers.items()
    }
