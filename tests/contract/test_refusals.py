"""What is wrong around the requests is said in one line that names it and how to mend it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.retries.standard import ExponentialBackoff

from caraway.exceptions import (
    CredentialsMissing,
    EndpointUnreachable,
    OperationalError,
    RegionMissing,
    RequestFailed,
    ResourceMissing,
)
from caraway.requests.dynamodb import BatchGetItem, DescribeTable, GetItem, UpdateItem
from caraway.requests.items import Absent, Change
from caraway.requests.s3 import GetObject, HeadBucket, PutObject
from caraway.requests.sqs import (
    DeleteMessage,
    GetQueueAttributes,
    GetQueueUrl,
    ReceiveMessages,
    SendMessage,
)
from tests.ports import closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.requests.base import Request
    from tests.contract.conftest import Harness

pytestmark = pytest.mark.without("memory", because="nothing is ever wrong around it")

WRITE = Change({"a": 1})


def said_in_one_line(error: OperationalError, *parts: str) -> bool:
    """Say whether a message is one line and has these parts."""
    return "\n" not in str(error) and all(part in str(error) for part in parts)


@pytest.mark.parametrize(
    ("missing", "request_"),
    [
        ("queue 'absent'", GetQueueUrl("absent")),
        ("table 'absent'", GetItem("absent", "i")),
        ("table 'absent'", BatchGetItem("absent", ("i", "j"))),
        ("table 'absent'", UpdateItem("absent", "i", WRITE, Absent("id"))),
        ("table 'absent'", DescribeTable("absent")),
        ("bucket 'absent'", GetObject("absent", "k")),
        ("bucket 'absent'", PutObject("absent", "k", b"")),
        ("bucket 'absent'", HeadBucket("absent")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_missing_is_named(harness: Harness, missing: str, request_: Request[Any]) -> None:
    with pytest.raises(ResourceMissing) as refused:
        harness.perform(request_)
    assert said_in_one_line(refused.value, f"{missing} does not exist", "deploy the stack")


def test_a_queue_that_was_removed_is_named(harness: Harness) -> None:
    url = harness.queue()
    name = url.rpartition("/")[2]
    harness.ask("sqs", "delete_queue", QueueUrl=url)
    for request in (
        SendMessage(url, "late"),
        ReceiveMessages(url, wait_s=0),
        DeleteMessage(url, "handle"),
        GetQueueAttributes(url),
    ):
        with pytest.raises(ResourceMissing) as refused:
            harness.perform(request)
        assert said_in_one_line(refused.value, f"queue {name!r} does not exist", "deploy")


def test_a_request_that_cannot_be_put_says_what_is_wrong_with_it(harness: Harness) -> None:
    with pytest.raises(RequestFailed) as refused:
        harness.perform(GetObject("bucket", 7))  # type: ignore[arg-type]
    assert said_in_one_line(refused.value, "s3:get_object", "Key")


@pytest.fixture
def without_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK ask again at once."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Yield an endpoint where nobody listens."""
    with closed_port() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.usefixtures("without_back_off")
def test_an_endpoint_that_is_down_is_named(harness: Harness, nowhere: str) -> None:
    settings = replace(harness.settings, endpoint_url=nowhere)
    cut_off = harness.another_port(settings)
    for request in (GetQueueUrl("q"), GetItem("t", "i"), GetObject("b", "k")):
        with pytest.raises(EndpointUnreachable) as refused:
            cut_off.perform(request)
        assert said_in_one_line(refused.value, nowhere, "AWS_ENDPOINT_URL")
    sends = [SendMessage("http://q/1/q", "1"), SendMessage("http://q/1/q", "2")]
    for answer in cut_off.run(cut_off.aws.perform_all(sends)):
        assert isinstance(answer, EndpointUnreachable)


def test_an_endpoint_that_is_no_address_is_named(harness: Harness) -> None:
    settings = replace(harness.settings, endpoint_url="localhost:4566")
    with pytest.raises(EndpointUnreachable) as refused:
        harness.another_port(settings).perform(GetQueueUrl("q"))
    assert said_in_one_line(refused.value, "localhost:4566", "set AWS_ENDPOINT_URL")


def test_no_region_is_said_so(harness: Harness) -> None:
    port = harness.another_port(replace(harness.settings, region=None))
    for request in (GetQueueUrl("q"), GetItem("t", "i")):
        with pytest.raises(RegionMissing) as refused:
            port.perform(request)
        assert said_in_one_line(refused.value, "set AWS_REGION")


def test_a_region_that_cannot_be_is_named(harness: Harness) -> None:
    settings = replace(harness.settings, region="eu central", endpoint_url=None)
    with pytest.raises(RegionMissing) as refused:
        harness.another_port(settings).perform(GetQueueUrl("q"))
    assert said_in_one_line(refused.value, "eu central", "set AWS_REGION")


def test_no_credentials_are_said_so(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(CredentialsMissing) as refused:
        harness.another_port(harness.settings).perform(GetQueueUrl("q"))
    assert said_in_one_line(refused.value, "aws configure", "AWS_PROFILE")


def test_a_profile_that_does_not_exist_is_named(harness: Harness) -> None:
    settings = replace(harness.settings, profile="nobody")
    with pytest.raises(CredentialsMissing) as refused:
        harness.another_port(settings).perform(GetQueueUrl("q"))
    assert said_in_one_line(refused.value, "nobody", "AWS_PROFILE")


def test_the_region_may_come_from_the_environment(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", harness.settings.region or "")
    if harness.settings.endpoint_url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", harness.settings.endpoint_url)
    name = harness.queue_name()
    port = harness.another_port(replace(harness.settings, region=None, endpoint_url=None))
    assert port.perform(GetQueueUrl(name)).endswith(name)
    port.perform(HeadBucket(harness.bucket()))
