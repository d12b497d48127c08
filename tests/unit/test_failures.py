"""What an SDK raises becomes one line that says what is wrong and how to mend it."""

from __future__ import annotations

from typing import Any

import botocore.exceptions as sdk
import pytest
from botocore.parsers import ResponseParserError

from caraway.aws.failures import answer_of, translate
from caraway.exceptions import (
    AccessDenied,
    CredentialsMissing,
    EndpointUnreachable,
    OperationalError,
    PayloadMissing,
    RegionMissing,
    RequestFailed,
    ResourceMissing,
    Throttled,
)
from caraway.requests.dynamodb import BatchGetItem, ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import Absent, Change
from caraway.requests.s3 import GetObject, HeadBucket, PutObject
from caraway.requests.sqs import (
    ChangeMessageVisibility,
    DeleteMessage,
    GetQueueUrl,
    ReceiptExpired,
    SendMessage,
)

SEND = SendMessage("https://sqs.eu-central-1.amazonaws.com/1/orders", "body")


def refused(code: str, message: str = "the service says why") -> sdk.ClientError:
    """Return what an SDK raises for an error code."""
    return sdk.ClientError({"Error": {"Code": code, "Message": message}}, "SendMessage")


CODES: dict[type[OperationalError], list[str]] = {
    ResourceMissing: [
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "NoSuchBucket",
        "404",
    ],
    AccessDenied: ["AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException", "403"],
    CredentialsMissing: [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    ],
    Throttled: [
        "ProvisionedThroughputExceededException",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    ],
    EndpointUnreachable: [
        "InternalError",
        "InternalServerError",
        "ServiceUnavailable",
        "502",
        "503",
        "504",
    ],
    RequestFailed: ["ReceiptHandleIsInvalid", "ValidationException", "a code of tomorrow", ""],
}


@pytest.mark.parametrize(
    ("code", "expected"), [(code, kind) for kind, codes in CODES.items() for code in codes]
)
def test_a_code_becomes_the_exception_that_says_what_to_do(
    code: str, expected: type[OperationalError]
) -> None:
    raised = refused(code)
    translated = translate(raised, SEND)
    assert type(translated) is expected
    assert translated.__cause__ is raised
    if expected is not CredentialsMissing:
        assert "queue 'orders'" in str(translated)


def test_another_refusal_keeps_its_code_and_its_words() -> None:
    translated = translate(refused("ReceiptHandleIsInvalid", "it has expired"), SEND)
    assert isinstance(translated, RequestFailed)
    assert translated.code == "ReceiptHandleIsInvalid"
    assert str(translated).endswith("ReceiptHandleIsInvalid: it has expired")
    assert "sqs:send_message" in str(translated)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidParameterValue", "Value x for ReceiptHandle is invalid: it has expired."),
        ("AWS.SimpleQueueService.MessageNotInflight", "The message is not in flight."),
    ],
)
@pytest.mark.parametrize(
    "request_", [DeleteMessage("q", "r"), ChangeMessageVisibility("q", "r", 9)]
)
def test_a_receipt_that_has_expired_is_told_from_other_refusals(
    request_: Any, code: str, message: str
) -> None:
    assert isinstance(translate(refused(code, message), request_), ReceiptExpired)
    assert isinstance(translate(refused("InvalidParameterValue"), request_), RequestFailed)


PAGE = {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html; charset=utf-8"}}}


@pytest.mark.parametrize(
    "request_",
    [
        GetQueueUrl("orders"),
        SEND,
        DeleteMessage("q", "r"),
        UpdateItem("tasks", "id", Change({}), Absent("id")),
        GetItem("tasks", "id"),
        BatchGetItem("tasks", ("id", "another")),
        PutObject("bucket", "key", b""),
    ],
    ids=lambda request: request.operation,
)
def test_the_page_of_a_proxy_is_no_answer_of_aws(request_: Any) -> None:
    with pytest.raises(EndpointUnreachable, match=r"does not speak as AWS.*AWS_ENDPOINT_URL"):
        answer_of(request_, PAGE)


def test_an_answer_without_its_parts_is_none_of_aws() -> None:
    with pytest.raises(EndpointUnreachable, match="does not speak as AWS"):
        answer_of(GetQueueUrl("orders"), {})
    with pytest.raises(EndpointUnreachable):
        answer_of(PutObject("bucket", "key", b""), {})


def test_what_the_sdk_cannot_parse_is_no_answer_of_aws() -> None:
    error = ResponseParserError("Unable to parse response, invalid XML:\n<html>")
    translated = translate(error, PutObject("bucket", "key", b""))
    assert isinstance(translated, EndpointUnreachable)
    assert "\n" not in str(translated)


def test_what_is_not_allowed_names_the_action() -> None:
    translated = translate(refused("AccessDenied"), GetItem("tasks", "i"))
    assert "dynamodb:GetItem on table 'tasks'" in str(translated)  # as a policy spells it
    assert "s3:ListBucket" in str(translate(refused("403"), HeadBucket("payloads")))


SDK_EXCEPTIONS: list[tuple[sdk.BotoCoreError, type[OperationalError], str]] = [
    (sdk.NoRegionError(), RegionMissing, "AWS_REGION"),
    (sdk.InvalidRegionError(region_name="eu central"), RegionMissing, "eu central"),
    (sdk.NoCredentialsError(), CredentialsMissing, "aws configure"),
    (
        sdk.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        CredentialsMissing,
        "AWS_SECRET_ACCESS_KEY",
    ),
    (
        sdk.CredentialRetrievalError(provider="process", error_msg="exit 1"),
        CredentialsMissing,
        "exit 1",
    ),
    (sdk.ProfileNotFound(profile="shop"), CredentialsMissing, "shop"),
    (sdk.UnauthorizedSSOTokenError(), CredentialsMissing, "aws sso login"),
    (sdk.SSOTokenLoadError(error_msg="no cache"), CredentialsMissing, "aws sso login"),
    (
        sdk.TokenRetrievalError(provider="sso", error_msg="expired"),
        CredentialsMissing,
        "aws sso login",
    ),
    (
        sdk.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
        EndpointUnreachable,
        "http://127.0.0.1:1",
    ),
    (sdk.ConnectTimeoutError(endpoint_url="http://h"), EndpointUnreachable, "AWS_ENDPOINT_URL"),
    (sdk.ReadTimeoutError(endpoint_url="http://h"), EndpointUnreachable, "check the network"),
    (sdk.ConnectionClosedError(endpoint_url="http://h"), EndpointUnreachable, "http://h"),
    (sdk.SSLError(endpoint_url="http://h", error=OSError("bad")), EndpointUnreachable, "http://h"),
    (sdk.ProxyConnectionError(proxy_url="http://p"), EndpointUnreachable, "http://p"),
    (sdk.HTTPClientError(error="strange"), EndpointUnreachable, "strange"),
    (
        sdk.ParamValidationError(report="QueueUrl: too short,\n  valid min length: 1"),
        RequestFailed,
        "sqs:send_message",
    ),
    (sdk.UnknownServiceError(service_name="x", known_service_names=""), OperationalError, "x"),
]


@pytest.mark.parametrize(
    ("raised", "expected", "part"), SDK_EXCEPTIONS, ids=lambda value: type(value).__name__
)
def test_what_the_sdk_raises_becomes_one_line_with_a_remedy(
    raised: sdk.BotoCoreError, expected: type[OperationalError], part: str
) -> None:
    translated = translate(raised, SEND)
    assert type(translated) is expected
    assert part in str(translated)
    assert "\n" not in str(translated)
    assert translated.__cause__ is raised


def test_an_answer_of_several_lines_becomes_one() -> None:
    translated = translate(refused("AccessDenied", "User: x\n is not\r\n  authorized"), SEND)
    assert "(User: x is not authorized)" in str(translated)


def test_an_endpoint_that_is_no_address_is_named() -> None:
    translated = translate(ValueError("Invalid endpoint: localhost:4566"), SEND)
    assert isinstance(translated, EndpointUnreachable)
    assert "localhost:4566: set AWS_ENDPOINT_URL" in str(translated)


@pytest.mark.parametrize(
    "raised", [ValueError("of another kind"), TypeError("a bug"), RequestFailed("ours already")]
)
def test_what_no_sdk_raised_comes_back_as_it_is(raised: Exception) -> None:
    assert translate(raised, SEND) is raised
    assert raised.__cause__ is None


def test_a_failed_condition_brings_the_item() -> None:
    raised = refused("ConditionalCheckFailedException")
    raised.response["Item"] = {"id": {"S": "i"}, "n": {"N": "1.5"}}  # type: ignore[typeddict-unknown-key]
    translated = translate(raised, UpdateItem("tasks", "i", Change({"n": 2}), Absent("id")))
    assert isinstance(translated, ConditionFailed)
    assert translated.item == {"id": "i", "n": 1.5}


def test_a_failed_condition_without_an_item_says_that_there_is_none() -> None:
    write = UpdateItem("tasks", "i", Change({"n": 2}), Absent("id"))
    translated = translate(refused("ConditionalCheckFailedException"), write)
    assert isinstance(translated, ConditionFailed)
    assert translated.item == {}


@pytest.mark.parametrize(
    ("request_", "code", "expected", "part"),
    [
        (GetObject("b", "k"), "NoSuchKey", PayloadMissing, "s3://b/k"),
        (GetObject("b", "k"), "NoSuchBucket", ResourceMissing, "bucket 'b' does not exist"),
        (HeadBucket("b"), "404", ResourceMissing, "bucket 'b' does not exist"),
        (HeadBucket("b"), "403", AccessDenied, "bucket 'b'"),
        (GetQueueUrl("q"), "QueueDoesNotExist", ResourceMissing, "queue 'q' does not exist"),
    ],
)
def test_what_is_missing_is_named(
    request_: Any, code: str, expected: type[OperationalError], part: str
) -> None:
    translated = translate(refused(code), request_)
    assert type(translated) is expected
    assert part in str(translated)
