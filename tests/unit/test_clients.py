"""How AWS clients are made: what every request says, and what it is spared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.useragent import UserAgentString

from caraway import __version__
from caraway.aws.clients import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "http://127.0.0.1:9/1/a"


class _Body:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, *_: object) -> Iterator[bytes]:
        yield self.content


class Client:
    """A client whose requests go nowhere."""

    def __init__(self, service: str = "sqs") -> None:
        settings = ClientSettings("us-east-1", "http://127.0.0.1:9")
        self.sent: list[AWSPreparedRequest] = []
        self.sdk: Any = boto3.session.Session("test", "test").client(
            **settings.client_arguments(service), config=settings.config(Config, service)
        )
        self.sdk.meta.events.register(f"before-send.{service}", self._answer)

    def _answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        self.sent.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), _Body(b'{"MessageId": "m"}'))

    @property
    def user_agent(self) -> list[str]:
        said = self.sent[-1].headers["User-Agent"]
        return (said.decode() if isinstance(said, bytes) else str(said)).split()


def test_a_request_says_who_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.12")
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "my shop\r\nX: y")
    client = Client()
    client.sdk.send_message(QueueUrl=URL, MessageBody="a")
    assert f"caraway/{__version__}" in client.user_agent
    assert "exec-env/AWS_Lambda_python3.12" in client.user_agent
    assert "app/my-shop--X--y" in client.user_agent


def test_the_sdk_does_not_put_its_user_agent_together_for_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client()
    monkeypatch.delattr(UserAgentString, "_build_sdk_metadata")
    client.sdk.send_message(QueueUrl=URL, MessageBody="a")
    assert len(client.sent) == 1


@pytest.mark.parametrize(
    ("service", "checks"), [("sqs", False), ("dynamodb", False), ("s3", True), ("scheduler", True)]
)
def test_only_services_that_are_asked_rarely_have_their_parameters_checked_twice(
    service: str, checks: bool
) -> None:
    assert vars(ClientSettings().config(Config, service))["parameter_validation"] is checks
