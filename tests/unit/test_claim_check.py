"""What is too large to travel waits in S3, and comes back unchanged."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import string
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.aws.memory import MemoryAws
from caraway.core import compression
from caraway.core.claim_check import INLINE_LIMIT_BYTES, Store, keep_text, load_text, pack, unpack
from caraway.core.compression import NAMES
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.exceptions import ImproperlyConfigured, InvalidMessage, PayloadMissing
from caraway.requests.s3 import PutObject
from caraway.requests.sqs import MESSAGE_LIMIT_BYTES

STORE = Store("bucket", message_limit_bytes=1_000, result_limit_bytes=100)
LARGE = Message("i", "t", ("x" * 2_000,), attempt=3)


def packed(message: Message, store: Store = STORE) -> tuple[MemoryAws, str]:
    aws = MemoryAws()
    return aws, run_now(pack(aws, store, message))


def unpacked(aws: MemoryAws, body: str | dict[str, Any], store: Store = STORE) -> Message:
    text = body if isinstance(body, str) else json.dumps(body)
    return run_now(unpack(aws, store, text))


# -- messages --------------------------------------------------------------------------------


def test_a_small_message_travels_as_it_is() -> None:
    message = Message("i", "t", (1,))
    aws, body = packed(message)
    assert body == message.to_body()
    assert aws.objects == {}
    assert unpacked(aws, body) == message


def test_a_large_message_travels_as_an_envelope_that_says_where_it_is() -> None:
    aws, body = packed(LARGE)
    payload = LARGE.to_body().encode()
    sha256 = hashlib.sha256(payload).hexdigest()
    key = f"messages/i/3-{sha256[:16]}"
    assert json.loads(body) == {
        "caraway": 1,
        "id": "i",
        "task": "t",
        "attempt": 3,
        "payload": {"s3": f"s3://bucket/{key}", "sha256": sha256, "bytes": len(payload)},
    }
    assert aws.objects == {("bucket", key): payload}
    assert unpacked(aws, body) == LARGE


def test_the_limit_is_of_bytes_and_not_of_characters() -> None:
    store = Store("bucket", message_limit_bytes=1_000)
    small, large = Message("i", "t", ("x" * 800,)), Message("i", "t", ("서" * 400,))
    assert len(small.to_body()) > len(large.to_body())
    assert packed(small, store)[0].objects == {}
    assert len(packed(large, store)[0].objects) == 1


def test_without_a_bucket_a_message_may_have_what_sqs_takes_and_more_raises() -> None:
    _, body = packed(Message("i", "t", ("x" * 300_000,)), Store())
    assert len(body) > 300_000
    with pytest.raises(ImproperlyConfigured, match="payload_bucket"):
        packed(Message("i", "t", ("x" * MESSAGE_LIMIT_BYTES,)), Store())


def test_two_messages_of_one_attempt_do_not_share_a_payload() -> None:
    aws, first = packed(LARGE)
    second = run_now(pack(aws, STORE, Message("i", "t", ("y" * 2_000,), attempt=3)))
    assert unpacked(aws, first).args == ("x" * 2_000,)
    assert unpacked(aws, second).args == ("y" * 2_000,)


def test_a_payload_that_is_not_the_one_that_was_sent_is_refused() -> None:
    aws, body = packed(LARGE)
    (key,) = aws.objects
    aws.objects[key] += b" "
    with pytest.raises(InvalidMessage, match="not the one that was sent"):
        unpacked(aws, body)


def test_a_payload_of_another_task_is_refused() -> None:
    aws, body = packed(LARGE)
    with pytest.raises(InvalidMessage, match="another task"):
        unpacked(aws, {**json.loads(body), "id": "another"})


def test_a_message_does_not_choose_what_is_read() -> None:
    aws, body = packed(LARGE)
    envelope = json.loads(body)
    envelope["payload"]["s3"] = "s3://bucketful/secrets"
    with pytest.raises(InvalidMessage, match="does not lie in the payload bucket"):
        unpacked(aws, envelope)
    with pytest.raises(InvalidMessage, match="does not lie in the payload bucket None"):
        unpacked(aws, body, Store())


@pytest.mark.parametrize("payload", [None, 5, [], {}, {"s3": 5}, {"sha256": "x"}])
def test_a_payload_that_is_no_pointer_is_refused(payload: Any) -> None:
    with pytest.raises(InvalidMessage, match="payload"):
        unpacked(MemoryAws(), {"caraway": 1, "id": "i", "task": "t", "payload": payload})


def test_a_payload_that_is_gone_is_missing() -> None:
    _, body = packed(LARGE)
    with pytest.raises(PayloadMissing, match="s3://bucket/messages/i/3-"):
        unpacked(MemoryAws(), body)


def test_a_payload_that_is_no_envelope_is_refused() -> None:
    aws = MemoryAws()
    payload = b"\xff"
    aws.objects["bucket", "k"] = payload
    pointer = {"s3": "s3://bucket/k", "sha256": hashlib.sha256(payload).hexdigest()}
    with pytest.raises(InvalidMessage, match="not JSON"):
        unpacked(aws, {"caraway": 1, "id": "i", "task": "t", "payload": pointer})


# -- compression -----------------------------------------------------------------------------


def compressible(size: int, **fields: Any) -> Message:
    return Message("i", "t", ("x" * size,), attempt=3, **{"compression": "gzip", **fields})


SQUEEZED = replace(STORE, compression_threshold_bytes=500, result_compression="gzip")


@pytest.mark.parametrize("name", NAMES)
def test_a_compressed_message_travels_as_an_envelope_that_says_so(name: str) -> None:
    message = compressible(5_000, compression=name)
    aws, body = packed(message, SQUEEZED)
    envelope = json.loads(body)
    payload = envelope.pop("payload")
    assert envelope == {"caraway": 2, "id": "i", "task": "t", "attempt": 3}
    assert payload == {"compression": name, "data": payload["data"]}
    assert len(body) < 400
    assert aws.objects == {}
    assert unpacked(aws, body, SQUEEZED) == message
    assert packed(message, SQUEEZED)[1] == body


def test_what_is_too_large_though_compressed_waits_in_s3_compressed() -> None:
    message = Message("i", "t", tuple(range(5_000)), compression="gzip")
    aws, body = packed(message, SQUEEZED)
    ((key, payload),) = aws.objects.items()
    pointer = json.loads(body)["payload"]
    assert json.loads(body)["caraway"] == 2
    assert gzip.decompress(payload).decode() == message.to_body()
    assert pointer == {
        "compression": "gzip",
        "s3": f"s3://bucket/{key[1]}",
        "sha256": hashlib.sha256(payload).hexdigest(),
        "bytes": len(payload),
    }
    assert unpacked(aws, body, SQUEEZED) == message
    (request,) = [each for each in aws.requests if isinstance(each, PutObject)]
    assert request.content_type == "application/gzip"


def test_small_messages_and_those_that_do_not_shrink_travel_as_they_are() -> None:
    shrinkable = compressible(900)
    size = len(shrinkable.to_body())
    noise = "".join(random.Random(0).choices(string.printable, k=900))
    unshrinkable = Message("i", "t", (noise,), compression="gzip")
    for message, threshold in ((shrinkable, size + 1), (unshrinkable, 500)):
        store = replace(STORE, message_limit_bytes=5_000, compression_threshold_bytes=threshold)
        aws, body = packed(message, store)
        assert body == message.to_body()
        assert unpacked(aws, body, store) == message
    at_the_threshold = replace(STORE, compression_threshold_bytes=size)
    assert '"caraway":2' in packed(shrinkable, at_the_threshold)[1]


def test_without_a_bucket_a_message_may_shrink_to_what_sqs_takes() -> None:
    message = compressible(5_000_000)
    aws, body = packed(message, Store())
    assert len(body) < 50_000
    assert unpacked(aws, body, Store()) == message


def payload_of(**fields: Any) -> dict[str, Any]:
    return {"caraway": 2, "id": "i", "task": "t", "payload": fields}


def squeezed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"compression": "gzip"}, "base64"),
        ({"compression": "gzip", "data": "!"}, "base64"),
        ({"compression": "gzip", "data": "aGVsbG8="}, "not gzip data"),
        ({"compression": "gzipp", "data": "aGVsbG8="}, "no compression named 'gzipp'"),
        ({"compression": ["gzip"], "data": "aGVsbG8="}, "is no compression"),
        ({"compression": "gzip", "data": squeezed("hello")}, "not JSON"),
        ({"compression": "gzip", "data": squeezed('{"caraway":1,"task":"t"}')}, "neither an id"),
        (
            {"compression": "gzip", "data": squeezed('{"caraway":1,"task":"u","id":"i"}')},
            "another task",
        ),
        (
            {"compression": "gzip", "data": squeezed(json.dumps(payload_of(data="")))},
            "another payload",
        ),
        ({"compression": "gzip", "data": squeezed("[" * 100_000)}, "not JSON"),
        ({"data": "aGVsbG8="}, "expected an object with 's3'"),
    ],
)
def test_a_payload_that_cannot_be_read_is_refused(payload: Any, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        unpacked(MemoryAws(), payload_of(**payload))


def test_a_payload_that_stands_for_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "LIMIT_BYTES", 10_000)
    bomb = payload_of(compression="gzip", data=squeezed("x" * 10_001))
    with pytest.raises(InvalidMessage, match="payload: its gzip data stands for more than 10,000"):
        unpacked(MemoryAws(), bomb)


@pytest.mark.parametrize("name", ["gzipp", 5, ""])
def test_a_message_that_asks_for_an_unknown_compression_is_refused(name: Any) -> None:
    with pytest.raises(InvalidMessage, match="compression"):
        unpacked(MemoryAws(), {"caraway": 1, "id": "i", "task": "t", "compression": name})


# -- what records keep -----------------------------------------------------------------------


def kept(text: str, store: Store = STORE, kind: str = "result") -> tuple[MemoryAws, str]:
    aws = MemoryAws()
    return aws, run_now(keep_text(aws, store, "i", "token", text, kind))


def test_a_short_text_is_kept_inline() -> None:
    aws, text = kept('"short"')
    assert (text, aws.objects) == ('"short"', {})
    assert run_now(load_text(aws, STORE, text)) == '"short"'


@pytest.mark.parametrize(
    ("kind", "key"), [("result", "results/i/token"), ("retry", "results/i/token.retry")]
)
def test_a_long_text_is_kept_in_s3_under_the_claims_token(kind: str, key: str) -> None:
    long = json.dumps("서울" * 100, ensure_ascii=False)
    aws, text = kept(long, kind=kind)
    assert text == f"s3://bucket/{key}"
    assert run_now(load_text(aws, STORE, text)) == long


@pytest.mark.parametrize("kind", INLINE_LIMIT_BYTES)
def test_without_a_bucket_an_item_keeps_what_it_can_hold_and_more_raises(kind: str) -> None:
    limit = INLINE_LIMIT_BYTES[kind]
    assert kept("x" * limit, Store(), kind)[1] == "x" * limit
    with pytest.raises(ImproperlyConfigured, match=f"the {kind} of task i is .* bytes"):
        kept("x" * (limit + 1), Store(), kind)


def test_the_address_of_a_text_is_never_a_text() -> None:
    """JSON never begins as an address does, so a record needs no mark of which it holds."""
    assert not json.dumps("s3://bucket/key").startswith("s3://")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", INLINE_LIMIT_BYTES)
@pytest.mark.parametrize("bucket", [None, "bucket"])
def test_a_compressed_text_is_kept_as_a_data_address_or_in_s3(
    name: str, kind: str, bucket: str | None
) -> None:
    store = replace(SQUEEZED, bucket=bucket, result_compression=name, result_limit_bytes=200)
    short, long = json.dumps("x" * 5_000), json.dumps(list(range(5_000)))
    aws, text = kept(short, store, kind)
    assert text.startswith("data:application/")
    assert len(text) < 200
    assert run_now(load_text(aws, store, text)) == short
    aws, text = kept(long, store, kind)
    assert text.startswith("s3://bucket/" if bucket else "data:")
    assert text.endswith(f".{name}") or bucket is None
    assert run_now(load_text(aws, store, text)) == long


def test_a_short_text_is_not_compressed() -> None:
    text = json.dumps("x" * 450)
    assert kept(text, replace(SQUEEZED, result_limit_bytes=1_000)) == (MemoryAws(), text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data:application/gzip;base64,aGVsbG8=", "not gzip data"),
        ("data:application/gzip;base64,?", "base64"),
        ("data:text/plain;base64,aGVsbG8=", "no compression named"),
        ("data:", "no compression named"),
        ("s3://another/key", "does not lie in the payload bucket"),
    ],
)
def test_a_kept_text_that_cannot_be_read_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        run_now(load_text(MemoryAws(), STORE, text))


@given(st.text().map(lambda text: "data:" + text) | st.text().map(lambda t: f"s3://bucket/{t}"))
def test_any_address_is_read_or_refused(text: str) -> None:
    with suppress(InvalidMessage, PayloadMissing):
        run_now(load_text(MemoryAws(), STORE, text))


# -- how objects are kept --------------------------------------------------------------------


def test_every_key_begins_with_the_base_path() -> None:
    store = replace(STORE, base_path="shop/payloads/")
    aws, body = packed(LARGE, store)
    ((_, key),) = aws.objects
    assert key.startswith("shop/payloads/messages/i/3-")
    assert unpacked(aws, body, store) == LARGE
    aws, text = kept("x" * 200, store)
    assert text == "s3://bucket/shop/payloads/results/i/token"
    assert run_now(load_text(aws, store, text)) == "x" * 200


def test_objects_are_put_with_the_storage_that_is_asked_for() -> None:
    storage = {"StorageClass": "STANDARD_IA", "ServerSideEncryption": "aws:kms"}
    for aws, _ in (
        packed(LARGE, replace(STORE, storage=storage)),
        kept("x" * 200, replace(STORE, storage=storage)),
    ):
        (request,) = [each for each in aws.requests if isinstance(each, PutObject)]
        assert request.params().items() >= storage.items()


@pytest.mark.parametrize("text", ["0", "false", '""', "[]"])
def test_a_store_of_all_results_keeps_even_short_ones_in_s3(text: str) -> None:
    store = replace(STORE, keeps_all_results=True)
    aws, address = kept(text, store)
    assert address == "s3://bucket/results/i/token"
    assert run_now(load_text(aws, store, address)) == text


def test_a_store_of_all_results_keeps_what_is_no_result_as_ever() -> None:
    store = replace(STORE, keeps_all_results=True)
    assert kept("null", store) == (MemoryAws(), "null")  # an object would hold nothing
    assert kept('{"retries":1}', store, "retry")[1] == '{"retries":1}'
    assert kept('{"caraway":1}', store, "message")[1] == '{"caraway":1}'
