"""Signatures are those of the SDK."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from caraway.aws.sigv4 import Signer

PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
NAMES = ("content-type", "host", "x-amz-date", "x-amz-target")


def signed_by_the_sdk(
    headers: dict[str, str], body: bytes, credentials: Any, place: str
) -> tuple[str, str]:
    """Return the SDK's signature, and its time."""
    region, service, _ = place.split("/")
    url = f"https://{headers['host']}/"
    told = {name: value for name, value in headers.items() if name != "host"}
    request = AWSRequest("POST", url, headers=told, data=body)
    auth.SigV4Auth(credentials, service, region).add_auth(request)
    return request.headers["Authorization"], request.context["timestamp"]


@given(
    body=st.binary(),
    target=PLAIN,
    key=PLAIN,
    secret=PLAIN,
    token=st.none() | PLAIN,
    place=st.sampled_from(["eu-central-1/sqs/aws4_request", "us-east-1/dynamodb/aws4_request"]),
)
def test_a_signature_is_that_of_the_sdk(
    body: bytes, target: str, key: str, secret: str, token: str | None, place: str
) -> None:
    credentials: Any = ReadOnlyCredentials(key, secret, token, None)
    headers = {"content-type": "application/x-amz-json-1.0", "host": "a.b", "x-amz-target": target}
    own, at = signed_by_the_sdk(headers, body, credentials, place)
    names = sorted({*NAMES, *(["x-amz-security-token"] if token else [])})
    told = {**headers, "x-amz-date": at, "x-amz-security-token": token or ""}
    signer = Signer(place, names)
    assert signer.authorization(told, body, credentials, at) == own
    assert signer.authorization(told, body, credentials, at) == own  # with the key of before


@pytest.mark.parametrize(("days", "secret"), [(1, "a"), (0, "b"), (0, "a")])
def test_the_key_of_a_day_and_a_secret_is_not_that_of_others(days: int, secret: str) -> None:
    place = "eu-central-1/sqs/aws4_request"
    headers = {"content-type": "c", "host": "a.b", "x-amz-target": "t"}
    signer = Signer(place, sorted(NAMES))
    first: Any = ReadOnlyCredentials("key", "a", None, None)
    _, at = signed_by_the_sdk(headers, b"{}", first, place)
    signer.authorization({**headers, "x-amz-date": at}, b"{}", first, at)

    later: Any = ReadOnlyCredentials("key", secret, None, None)
    then = get_current_datetime() + timedelta(days=days)
    with patch.object(auth, "get_current_datetime", lambda: then):
        own, at = signed_by_the_sdk(headers, b"{}", later, place)
    assert signer.authorization({**headers, "x-amz-date": at}, b"{}", later, at) == own
