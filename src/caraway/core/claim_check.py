"""Claim check: what is too large to travel or to be kept inline waits in S3.

A message above the limit travels as an envelope with ``payload`` in place of its content, and so
does one that is compressed, which may fit again::

    {"caraway": 1, "id": "...", "task": "...", "attempt": 0,
     "payload": {"s3": "s3://bucket/messages/<id>/<attempt>-<digest>", "sha256": "...",
                 "bytes": 300000}}
    {"caraway": 2, "id": "...", "task": "...", "attempt": 0,
     "payload": {"compression": "gzip", "data": "<base64>"}}
    {"caraway": 2, "id": "...", "task": "...", "attempt": 0,
     "payload": {"compression": "gzip", "s3": "s3://...", "sha256": "...", "bytes": 300000}}

A record keeps a text as it is, as the address of an object, or, compressed, as a ``data:`` address
(RFC 2397). An object is named after its compression: ``results/<id>/<token>.gzip``.

A key is never written twice with different content. One attempt may be sent more than once, by
workers that do not know of each other, and each of these messages must find its own payload.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from caraway.core.codec import dumps
from caraway.core.decoding import from_base64
from caraway.core.encoding import to_base64
from caraway.core.envelope import COMPRESSED_VERSION, VERSION, parse_envelope
from caraway.core.message import Message, read_message
from caraway.core.signing import SIGNED_BYTES, sealed
from caraway.exceptions import DecodeError, ImproperlyConfigured, InvalidMessage
from caraway.lean import dataclass
from caraway.requests.s3 import GetObject, PutObject
from caraway.requests.sqs import MESSAGE_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.core.compression import Compression
    from caraway.core.port import Aws
    from caraway.core.signing import Signing
    from caraway.requests.base import Json

INLINE_LIMIT_BYTES: Final = {
    "result": 300_000,
    "added": 45_000,
    "meta": 280_000,
    "message": 200_000,
    "retry": 100_000,
}
"""Longest texts kept inline without a bucket, so that an item's 400 KB hold those that are kept
together: a result alone; a retry with the error of its attempt, or with the message of a failure,
or with a ``meta``."""
OBJECTS_AT_ONCE: Final = 16
"""Objects that are fetched at a time, which are in memory together."""
NOTHING: Final = "null"
"""The JSON of None, which is kept inline wherever results are: an object would hold nothing."""


@dataclass(frozen=True)
class Store:
    """Where large payloads go, and how they are kept.

    Attributes
    ----------
    bucket
        None when no bucket is configured: then a message may have what SQS takes (1 MiB) and a
        result what an item holds, and more raises.
    message_limit_bytes, result_limit_bytes
        Above these a message's body, or a result, goes to S3.
    base_path
        What every key begins with.
    storage
        How objects are kept: S3's own parameters, such as ``StorageClass``.
    keeps_all_results
        Every result goes to S3.
    result_compression
        How results, and the other texts of a record, are compressed.
    compression_threshold_bytes
        What is smaller is not compressed.
    """

    bucket: str | None = None
    message_limit_bytes: int = 262_144
    result_limit_bytes: int = 4_096
    base_path: str = ""
    storage: Mapping[str, str] = field(default_factory=dict)
    keeps_all_results: bool = False
    result_compression: str | None = None
    compression_threshold_bytes: int = 4_096

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

    def limit_of(self, kind: str) -> int:
        """Return how many bytes of a record's text are kept inline."""
        if self.bucket is None:
            return INLINE_LIMIT_BYTES[kind]
        return 0 if self.keeps_all_results and kind == "result" else self.result_limit_bytes

    def compressed(self, name: str | None, payload: bytes) -> tuple[Compression, bytes] | None:
        """Return how a payload is compressed, and to what; None where it stays as it is."""
        if name is None or len(payload) < self.compression_threshold_bytes:
            return None
        from caraway.core.compression import compression

        method = compression(name)
        smaller = method.compress(payload)
        return None if smaller is None else (method, smaller)


# -- what records keep -----------------------------------------------------------------------


async def keep_text(
    aws: Aws, store: Store, id: str, token: str, text: str, kind: str = "result"
) -> str:
    """Return what a record keeps of a JSON text: the text, or an address that holds or names it.

    The claim's token is in the address: a worker that was overtaken overwrites nothing.

    Parameters
    ----------
    kind
        The record's attribute: result, message, retry, meta or added.

    Raises
    ------
    ImproperlyConfigured
        If it is larger than an item can hold and no bucket is configured.
    """
    limit = store.limit_of(kind)
    if text == NOTHING:
        return text
    if store.result_compression is None and len(text) * 4 <= limit:
        return text
    payload = text.encode()
    key = f"results/{id}/{token}" + ("" if kind == "result" else f".{kind}")
    if kind == "meta":  # one attempt shows several, and a reader may still look at an older one
        key += f"-{hashlib.sha256(payload).hexdigest()[:16]}"
    what = f"the {kind} of task {id}"
    compressed = store.compressed(store.result_compression, payload)
    if compressed is None:
        if len(payload) <= limit:
            return text
        return await put(aws, store, key, payload, what)
    method, smaller = compressed
    inline = f"data:{method.media_type};base64,{to_base64(smaller)}"
    if len(inline) <= limit:
        return inline
    return await put(aws, store, f"{key}.{method.name}", smaller, what, method.media_type)


async def load_text(aws: Aws, store: Store, kept: str) -> str:
    """Return the JSON text that :func:`keep_text` kept.

    Raises
    ------
    InvalidMessage
        If it cannot be read, or lies in another bucket.
    PayloadMissing
        If it is not in S3 any more.
    """
    return (await load_texts(aws, store, [kept]))[0]


async def load_texts(aws: Aws, store: Store, kept: Sequence[str]) -> list[str]:
    """Return the JSON texts that :func:`keep_text` kept, those in S3 some at a time.

    Raises as :func:`load_text` does.
    """
    texts = list(kept)
    places = [place for place, each in enumerate(kept) if each.startswith("s3://")]
    for start in range(0, len(places), OBJECTS_AT_ONCE):
        some = places[start : start + OBJECTS_AT_ONCE]
        gets = [GetObject(store.bucket or "", store.key_of(kept[place])) for place in some]
        for place, payload in zip(some, await aws.perform_all(gets), strict=True):
            if isinstance(payload, Exception):
                raise payload
            texts[place] = _text_of_object(kept[place], payload)
    for place, each in enumerate(kept):
        if each.startswith("data:"):
            texts[place] = _text_of_data(each)
    return texts


def _text_of_object(uri: str, payload: bytes) -> str:
    """Return the text of an object, which is named after its compression."""
    from caraway.core.compression import NAMES, compression

    suffix = uri.rpartition("/")[2].rpartition(".")[2]
    try:
        return (compression(suffix).decompress(payload) if suffix in NAMES else payload).decode()
    except _UNREADABLE as error:
        raise _not_readable(uri, error) from error


def _text_of_data(kept: str) -> str:
    """Return the text of a ``data:`` address."""
    from caraway.core.compression import by_media_type

    head, _, data = kept.removeprefix("data:").partition(";base64,")
    try:
        return by_media_type(head).decompress(from_base64(data)).decode()
    except _UNREADABLE as error:
        raise _not_readable(kept, error) from error


_UNREADABLE: Final = (DecodeError, ImproperlyConfigured, UnicodeDecodeError)


def _not_readable(kept: str, error: Exception) -> InvalidMessage:
    return InvalidMessage(f"what is kept at {kept:.80} cannot be read: {error}")


async def put(
    aws: Aws,
    store: Store,
    key: str,
    payload: bytes,
    what: str,
    content_type: str = "application/json",
) -> str:
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
    key = store.base_path + key
    await aws.perform(PutObject(store.bucket, key, payload, content_type, store.storage))
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


# -- messages --------------------------------------------------------------------------------


async def pack(aws: Aws, store: Store, message: Message, signing: Signing | None = None) -> str:
    """Return the body to send for a message: compressed, or its content in S3, when it is large.

    It is signed as it is sent: a pointer with what it points to.
    """
    envelope = message.to_json()
    body = dumps(envelope)
    limit = store.message_limit_bytes if store.bucket else MESSAGE_LIMIT_BYTES
    if signing is not None:
        limit -= SIGNED_BYTES
    # Most bodies are small: characters * 4 bounds the bytes without encoding.
    if message.compression is None and len(body) * 4 <= limit:
        return sealed(signing, envelope, body)
    payload = body.encode()
    compressed = store.compressed(message.compression, payload)
    if compressed is None:
        if len(payload) <= limit:
            return sealed(signing, envelope, body)
        stored = await _stored(aws, store, message, payload)
        return _pointer(message, VERSION, stored, signing)
    method, smaller = compressed
    said = {"compression": method.name}
    inline = {**said, "data": to_base64(smaller)}
    if len(body := _pointer(message, COMPRESSED_VERSION, inline, signing)) <= limit:
        return body
    stored = await _stored(aws, store, message, smaller, method.media_type)
    return _pointer(message, COMPRESSED_VERSION, {**said, **stored}, signing)


async def _stored(
    aws: Aws, store: Store, message: Message, payload: bytes, content_type: str = "application/json"
) -> dict[str, Json]:
    """Return the pointer to a message's payload, which is in S3 by then."""
    sha256 = hashlib.sha256(payload).hexdigest()
    key = f"messages/{message.id}/{message.attempt}-{sha256[:16]}"
    what = f"the message of task {message.task}"
    uri = await put(aws, store, key, payload, what, content_type)
    return {"s3": uri, "sha256": sha256, "bytes": len(payload)}


def _pointer(
    message: Message, version: int, payload: dict[str, Json], signing: Signing | None
) -> str:
    envelope = {
        "caraway": version,
        "id": message.id,
        "task": message.task,
        "attempt": message.attempt,
        "payload": payload,
    }
    return sealed(signing, envelope, json.dumps(envelope, separators=(",", ":")))


async def unpack(aws: Aws, store: Store, body: str, signing: Signing | None = None) -> Message:
    """Return the message of a body: fetched from S3 and decompressed, where it says so.

    The signature is looked at first.

    Raises
    ------
    InvalidMessage
        If the body, or what it points to, is not a task message, or its signature is not accepted.
    PayloadMissing
        If the payload is not in S3 any more.
    """
    envelope = parse_envelope(body)
    if signing is not None:
        signing.verify(envelope, aws.now())
    if "payload" not in envelope:
        return read_message(envelope)
    pointer = envelope["payload"]
    if not isinstance(pointer, dict):
        raise InvalidMessage("payload: expected an object")
    try:
        text = await _content(aws, store, pointer)
    except (DecodeError, ImproperlyConfigured) as error:
        raise InvalidMessage(f"payload: {error}") from error
    content = parse_envelope(text.decode(errors="replace"))
    if "payload" in content:
        raise InvalidMessage("payload: it holds no message, but another payload")
    message = read_message(content)
    if (message.id, message.task) != (envelope.get("id"), envelope.get("task")):
        raise InvalidMessage("payload: it belongs to another task")
    return message


async def _content(aws: Aws, store: Store, pointer: Mapping[str, Any]) -> bytes:
    """Return the bytes of the message that a payload holds or points to."""
    uri, method = pointer.get("s3"), pointer.get("compression")
    if isinstance(uri, str):
        payload = await get(aws, store, uri)
        if hashlib.sha256(payload).hexdigest() != pointer.get("sha256"):
            raise InvalidMessage(f"the payload at {uri} is not the one that was sent")
    elif method is not None:
        payload = from_base64(pointer.get("data"))
    else:
        raise InvalidMessage("payload: expected an object with 's3' and 'sha256'")
    if method is None:
        return payload
    if not isinstance(method, str):
        raise InvalidMessage(f"payload: {method!r:.80} is no compression")
    from caraway.core.compression import compression

    return compression(method).decompress(payload)
