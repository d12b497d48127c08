"""Claim check: what is too large to travel or to be kept inline waits in S3.

A message above the limit travels as an envelope with ``payload`` in place of its content::

    {"caraway": 1, "id": "...", "task": "...", "attempt": 0,
     "payload": {"s3": "s3://bucket/messages/<id>/<attempt>-<digest>", "sha256": "...",
                 "bytes": 300000}}

A key is never written twice with different content. One attempt may be sent more than once, by
workers that do not know of each other, and each of these messages must find its own payload.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from caraway.core.message import VERSION, Message, parse_envelope, read_message
from caraway.exceptions import ImproperlyConfigured, InvalidMessage
from caraway.requests.s3 import GetObject, PutObject
from caraway.requests.sqs import MESSAGE_LIMIT_BYTES

if TYPE_CHECKING:
    from caraway.core.port import Aws

INLINE_LIMIT_BYTES: Final = {"result": 300_000, "message": 200_000, "retry": 100_000}
"""Longest texts kept inline without a bucket, so that an item's 400 KB hold those of one ending."""


@dataclass(frozen=True)
class Store:
    """Where large payloads go.

    Attributes
    ----------
    bucket
        None when no bucket is configured: then a message may have what SQS takes (1 MiB) and a
        result what an item holds, and more raises.
    message_limit_bytes, result_limit_bytes
        Above these a message's body, or a result, goes to S3.
    """

    bucket: str | None = None
    message_limit_bytes: int = 262_144
    result_limit_bytes: int = 4_096

    def key_of(self, uri: str) -> str:
        """Return the key of an ``s3://`` address in this store's bucket.

        Raises
        ------
        InvalidMessage
            If the address lies elsewhere: a message must not choose what is read.
        """
        prefix = f"s3://{self.bucket}/"
        if self.bucket is None or not uri.startswith(prefix):
            raise InvalidMessage(f"{uri!r} does not lie in the payload bucket {self.bucket!r}")
        return uri.removeprefix(prefix)


async def keep_text(
    aws: Aws, store: Store, id: str, token: str, text: str, kind: str = "result"
) -> str:
    """Return what a record keeps of a JSON text: the text, or the address where it was stored.

    The claim's token is in the address: a worker that was overtaken overwrites nothing.

    Parameters
    ----------
    kind
        The record's attribute: result, message or retry.

    Raises
    ------
    ImproperlyConfigured
        If it is larger than an item can hold and no bucket is configured.
    """
    limit = store.result_limit_bytes if store.bucket else INLINE_LIMIT_BYTES[kind]
    if len(text) * 4 <= limit or len(payload := text.encode()) <= limit:
        return text
    key = f"results/{id}/{token}" + ("" if kind == "result" else f".{kind}")
    return await put(aws, store, key, payload, f"the {kind} of task {id}")


async def load_text(aws: Aws, store: Store, kept: str) -> str:
    """Return the JSON text that :func:`keep_text` kept."""
    return (await get(aws, store, kept)).decode() if kept.startswith("s3://") else kept


async def put(aws: Aws, store: Store, key: str, payload: bytes, what: str) -> str:
    """Store a payload; return its ``s3://`` address.

    Raises
    ------
    ImproperlyConfigured
        If no bucket is configured.
    """
    if store.bucket is None:
        raise ImproperlyConfigured(
            f"{what} is {len(payload):,} bytes, too large to keep inline: set payload_bucket "
            "(or CARAWAY_PAYLOAD_BUCKET) to an S3 bucket"
        )
    await aws.perform(PutObject(store.bucket, key, payload))
    return f"s3://{store.bucket}/{key}"


async def get(aws: Aws, store: Store, uri: str) -> bytes:
    """Return a payload by its ``s3://`` address.

    Raises
    ------
    PayloadMissing
        If it is not there (any more).
    """
    key = store.key_of(uri)
    return await aws.perform(GetObject(store.bucket or "", key))


async def pack(aws: Aws, store: Store, message: Message) -> str:
    """Return the body to send for a message, its content stored in S3 when it is large."""
    body = message.to_body()
    limit = store.message_limit_bytes if store.bucket else MESSAGE_LIMIT_BYTES
    # Most bodies are small: characters * 4 bounds the bytes without encoding.
    if len(body) * 4 <= limit or len(payload := body.encode()) <= limit:
        return body
    sha256 = hashlib.sha256(payload).hexdigest()
    key = f"messages/{message.id}/{message.attempt}-{sha256[:16]}"
    uri = await put(aws, store, key, payload, f"the message of task {message.task}")
    pointer = {
        "caraway": VERSION,
        "id": message.id,
        "task": message.task,
        "attempt": message.attempt,
        "payload": {
            "s3": uri,
            "sha256": sha256,
            "bytes": len(payload),
        },
    }
    return json.dumps(pointer, separators=(",", ":"))


async def unpack(aws: Aws, store: Store, body: str) -> Message:
    """Return the message of a body, fetched from S3 when it travels by claim check.

    Raises
    ------
    InvalidMessage
        If the body, or what it points to, is not a task message.
    PayloadMissing
        If the payload is not in S3 any more.
    """
    envelope = parse_envelope(body)
    if "payload" not in envelope:
        return read_message(envelope)
    pointer = envelope["payload"]
    if not isinstance(pointer, dict) or not isinstance(pointer.get("s3"), str):
        raise InvalidMessage("payload: expected an object with 's3' and 'sha256'")
    payload = await get(aws, store, pointer["s3"])
    if hashlib.sha256(payload).hexdigest() != pointer.get("sha256"):
        raise InvalidMessage(f"the payload at {pointer['s3']} is not the one that was sent")
    message = read_message(parse_envelope(payload.decode(errors="replace")))
    if (message.id, message.task) != (envelope.get("id"), envelope.get("task")):
        raise InvalidMessage(f"the payload at {pointer['s3']} belongs to another task")
    return message
