"""The shorter way for what is asked for every task: what the SDK has said twice is said again.

For each request an SDK finds out anew where the service is, tells whoever may listen, writes the
arguments and reads the answer by the model of the service: four fifths of what a request costs.
For the few operations here all but the body, the time and the signature is the same in each.
So the first two go through the SDK, and are listened to (:mod:`caraway.aws.sayings`); those that
follow go from here to the SDK's own connections.

An answer that is no plain success, and an error, are handed to the SDK as if it had asked: it reads
them, waits, and asks again as always. So the shorter way knows nothing of failures.
"""

from __future__ import annotations

import json
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from caraway.aws.sayings import Sayings, asking
from caraway.aws.sdk_requests import compact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.aws.sayings import Saying

SHORT: Final = {
    "sqs": frozenset(
        {
            "change_message_visibility",
            "change_message_visibility_batch",
            "delete_message",
            "delete_message_batch",
            "receive_message",
            "send_message",
            "send_message_batch",
        }
    ),
    "dynamodb": frozenset({"batch_execute_statement", "batch_get_item", "get_item", "update_item"}),
}
"""Operations whose answers are what their JSON says: no times in them, and bytes are looked for."""
AFTERWARDS: Final = 30
"""Requests that go through the SDK after one that failed. It counts what it may repeat, in standard
mode ("Retry behavior", AWS SDKs and Tools Reference Guide): three tries take 28 at most, and each
success that it hears of gives 1 back."""
_BYTES: Final = {
    "sqs": (b'"BinaryValue"', b'"BinaryListValues"'),
    "dynamodb": (b'"B"', b'"BS"'),
}
"""Members that the SDK decodes."""
_NULLS: Final = tuple((f'":{gap}null'.encode(), f'\\":{gap}null'.encode()) for gap in ("", " "))
"""A member that is null, and one of JSON within a text, whose quotation marks have backslashes."""


class Shortcut:
    """The shorter way of one client.

    Parameters
    ----------
    client
        Of botocore or of aiobotocore, for one of the services of :data:`SHORT`; it has made no
        request yet.
    credentials
        Those that it signs with.
    """

    def __init__(self, client: Any, credentials: Any) -> None:
        self._client = client
        self._credentials = credentials
        service = client.meta.service_model.service_name
        self._short, self._bytes = SHORT[service], _BYTES[service]
        self._sayings = Sayings(client)
        self._afterwards = 0

    async def ask(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Perform one operation; of botocore it never suspends."""
        if operation not in self._short:
            return await self._sdk(operation, params)
        saying = self._sayings.find(operation, params)
        if saying is None:
            if not self._sayings.is_unheard(operation, params):
                return await self._sdk(operation, params)
            with asking() as heard:
                response = await self._sdk(operation, params)
            frozen = await _done(self._credentials.get_frozen_credentials())
            self._sayings.learn(operation, params, heard, frozen)
            return response
        if self._afterwards:
            self._afterwards -= 1
            return await self._sdk(operation, params)
        return await self._say(saying, operation, params)

    async def _say(
        self, saying: Saying, operation: str, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            body = compact(params).encode()
        except TypeError:  # bytes, which the SDK can write
            return await self._sdk(operation, params)
        frozen = await _done(self._credentials.get_frozen_credentials())
        request = saying.request(body, frozen)
        if request is None:
            return await self._sdk(operation, params)
        met: Any
        try:
            told = await _done(self._client.meta.events.emit(saying.event, request=request))
            met = next((answer for _, answer in told if answer is not None), None)
            if met is None:
                met = await _done(self._client._endpoint.http_session.send(request))  # noqa: SLF001
            if met.status_code == 200:
                read = answer(met.headers, await _done(met.content), self._bytes)
                if read is not None:
                    return read
            else:
                self._afterwards = AFTERWARDS
        except Exception as error:  # noqa: BLE001 - what it means is the SDK's to say
            met, self._afterwards = error, AFTERWARDS
        with asking(met):
            return await self._sdk(operation, params)

    async def _sdk(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = await _done(getattr(self._client, operation)(**params))
        return response


def shortcut_of(client: Any) -> Shortcut | None:
    """Return the shorter way of a client that has made no request yet, if it can have one."""
    credentials = getattr(client._request_signer, "_credentials", None)  # noqa: SLF001
    is_short = client.meta.service_model.service_name in SHORT
    return Shortcut(client, credentials) if is_short and credentials is not None else None


async def _done(value: Any) -> Any:
    """Return what aiobotocore has to be awaited for, and botocore gives at once."""
    return await value if isawaitable(value) else value


def answer(
    headers: Mapping[str, str], body: bytes, left: tuple[bytes, ...]
) -> dict[str, Any] | None:
    """Return a successful answer as the SDK reads it; None if the SDK is to read it.

    ``left`` are members that only the SDK reads. The headers stay as they are: the case of their
    names does not matter.
    """
    for member in left:
        if member in body:
            return None
    try:
        read = json.loads(body.decode()) if body else {}
    except ValueError:
        return None
    if not isinstance(read, dict):
        return None
    for null, told in _NULLS:
        if null in body and body.count(null) > body.count(told):
            read = _without_nulls(read)
    about: dict[str, Any] = {"HTTPStatusCode": 200, "HTTPHeaders": headers, "RetryAttempts": 0}
    request_id = headers.get("x-amzn-requestid")
    if request_id is not None:
        about["RequestId"] = request_id
    read["ResponseMetadata"] = about
    return read


def _without_nulls(value: Any) -> Any:
    """Return JSON without the members that are null: the SDK leaves them out."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value
