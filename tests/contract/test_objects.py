"""S3 keeps what is too large, on every engine through every port."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from caraway.exceptions import PayloadMissing
from caraway.requests.s3 import GetObject, HeadBucket, PutObject

if TYPE_CHECKING:
    from tests.contract.conftest import Harness


@pytest.mark.parametrize("body", [b"", b'{"caraway":1}', bytes(range(256)) * 5_000], ids=len)
def test_an_object_comes_back_as_it_was_put(harness: Harness, body: bytes) -> None:
    bucket = harness.bucket()
    harness.perform(PutObject(bucket, "messages/an id/0", body))
    assert harness.perform(GetObject(bucket, "messages/an id/0")) == body


def test_an_object_is_replaced_by_the_next_of_its_key(harness: Harness) -> None:
    bucket = harness.bucket()
    for body in (b"first", b"second"):
        harness.perform(PutObject(bucket, "results/i/token", body))
    assert harness.perform(GetObject(bucket, "results/i/token")) == b"second"


def test_an_object_is_kept_as_it_was_asked_for(harness: Harness) -> None:
    bucket = harness.bucket()
    storage = {"StorageClass": "STANDARD_IA", "ServerSideEncryption": "AES256"}
    harness.perform(PutObject(bucket, "results/i/token", b"5", storage=storage))
    assert harness.perform(GetObject(bucket, "results/i/token")) == b"5"
    head = harness.ask("s3", "head_object", Bucket=bucket, Key="results/i/token")
    if head is not None:  # the account in memory has one way of keeping things
        assert {name: head.get(name) for name in storage} == storage


def test_what_is_compressed_comes_back_byte_by_byte(harness: Harness) -> None:
    """No client on the way may take gzip data for what it is to unpack by itself."""
    bucket, body = harness.bucket(), gzip.compress(b"5" * 1_000)
    harness.perform(PutObject(bucket, "results/i/token.gzip", body, "application/gzip"))
    assert harness.perform(GetObject(bucket, "results/i/token.gzip")) == body


def test_many_objects_are_read_each_with_its_own_answer(harness: Harness) -> None:
    bucket = harness.bucket()
    puts = [PutObject(bucket, f"k/{number}", b"%d" % number) for number in range(12)]
    assert harness.run(harness.aws.perform_all(puts)) == [None] * 12
    gets = [GetObject(bucket, f"k/{number}") for number in range(13)]
    *bodies, missing = harness.run(harness.aws.perform_all(gets))
    assert bodies == [b"%d" % number for number in range(12)]
    assert isinstance(missing, PayloadMissing)


def test_an_object_that_is_not_there_is_named(harness: Harness) -> None:
    bucket = harness.bucket()
    with pytest.raises(PayloadMissing, match=f"s3://{bucket}/results/i/t does not exist"):
        harness.perform(GetObject(bucket, "results/i/t"))


def test_a_bucket_that_is_there_has_nothing_to_say(harness: Harness) -> None:
    harness.perform(HeadBucket(harness.bucket()))
