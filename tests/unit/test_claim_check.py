"""What is too large to travel waits in S3, and comes back unchanged."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from caraway.aws.memory import MemoryAws
from caraway.core.claim_check import INLINE_LIMIT_BYTES, Store, keep_text, load_text, pack, unpack
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.exceptions import ImproperlyConfigured, InvalidMessage, PayloadMissing
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
