"""The shorter way to SQS and DynamoDB: what it says, and whom it leaves the rest to."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from aws_lambda_powertools.shared import user_agent
from botocore.exceptions import ClientError
from botocore.session import get_session

from caraway.aws import shortcut
from caraway.aws.blocking_aws import Botocore
from caraway.aws.clients import ClientSettings
from caraway.aws.shortcut import AFTERWARDS, SHORT
from caraway.aws.wires import AiobotocoreWire
from caraway.requests.dynamodb import GetItem, UpdateItem
from caraway.requests.items import Absent, Change
from caraway.requests.sqs import ReceiveMessages

READ = GetItem("tasks", "a").params()
EACH_ANEW = {"X-Amz-Date", "Authorization", "amz-sdk-invocation-id", "Content-Length"}
JSON = "application/x-amz-json-1.0"


@dataclass
class Answer:
    """What the fake AWS answers; nothing, and it hangs up, if the status is 0."""

    body: bytes = b"{}"
    status: int = 200
    kind: str = JSON


@dataclass
class FakeAws:
    """Takes notes of its requests; answers as told, and {} then."""

    url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda _: None)  # the SDK's pauses between two tries
    fake = FakeAws()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.headers.append(dict(self.headers.items()))
            fake.bodies.append(json.loads(body))
            answer = fake.answers.popleft() if fake.answers else Answer()
            self.close_connection = not answer.status
            if not answer.status:
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("x-amzn-RequestId", "an-id")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


class Way:
    """One of the two SDKs; counts the requests that it makes by itself."""

    def __init__(self, ask: Callable[..., Any], client: Any) -> None:
        self._ask = ask
        self.client = client
        self.own = 0
        own = client._serializer

        class Counting:
            def serialize_to_request(_, *args: Any) -> Any:
                self.own += 1
                return own.serialize_to_request(*args)

        client._serializer = Counting()

    def __call__(self, operation: str = "get_item", params: dict[str, Any] = READ) -> Any:
        return self._ask(self.client.meta.service_model.service_name, operation, params)

    def warm(self, *about: Any) -> None:
        """Go the long way until there is a shorter one."""
        self(*about)
        self(*about)
        self.own = 0


@pytest.fixture(params=["botocore", "aiobotocore"])
def make(request: pytest.FixtureRequest, aws: FakeAws) -> Iterator[Callable[..., Way]]:
    settings = ClientSettings("us-east-1", aws.url)
    if request.param == "botocore":
        botocore = Botocore(settings)
        yield lambda service="dynamodb": Way(botocore, botocore._client(service))
        botocore.close()
        return
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    wire = AiobotocoreWire(settings)

    def make(service: str = "dynamodb") -> Way:
        return Way(lambda *args: run(wire.send(*args)), run(wire._client(service)))

    yield make
    run(wire.close())
    loop.close()


@pytest.fixture
def way(make: Callable[..., Way]) -> Way:
    return make()


# -- what it says ---------------------------------------------------------------------------------


def test_the_third_request_says_what_the_sdk_has_said_twice(way: Way, aws: FakeAws) -> None:
    aws.answers.append(Answer(b'{"Item":{"id":{"S":"a"}}}'))
    answers = [way() for _ in range(3)]
    assert way.own == 2
    first, second, third = aws.headers
    assert third.keys() == first.keys()
    assert {name for name in first if first[name] != third[name]} <= EACH_ANEW
    assert len({each["amz-sdk-invocation-id"] for each in aws.headers}) == 3
    assert aws.bodies == [READ] * 3
    last = answers[-1]["ResponseMetadata"]
    told = answers[0]["ResponseMetadata"]
    assert (last.keys(), last["RequestId"]) == (told.keys(), "an-id")
    assert len(last["HTTPHeaders"]) == len(told["HTTPHeaders"])
    assert all(name in last["HTTPHeaders"] for name in told["HTTPHeaders"])
    assert answers[0]["Item"] == {"id": {"S": "a"}}
    assert "Item" not in answers[2]
    assert second["X-Amz-Target"] == third["X-Amz-Target"]


def test_a_signature_is_one_that_the_sdk_would_make(way: Way, aws: FakeAws) -> None:
    """What the signer does is told apart from the SDK's by nobody who checks it."""
    way.warm()
    way("get_item", GetItem("tasks", "ü another").params())
    assert way.own == 0
    *_, last = aws.headers
    scope = last["Authorization"].partition("Credential=")[2].partition(",")[0]
    assert scope == f"test/{last['X-Amz-Date'][:8]}/us-east-1/dynamodb/aws4_request"


def test_operations_and_tables_are_learned_apart(way: Way) -> None:
    way.warm()
    way("get_item", GetItem("others", "a").params())
    way("update_item", UpdateItem("tasks", "a", Change({"n": 1}), Absent("id")).params())
    assert way.own == 2


def test_an_operation_whose_answer_is_more_than_its_json_goes_the_long_way(way: Way) -> None:
    for _ in range(4):
        way("describe_time_to_live", {"TableName": "tasks"})
    assert way.own == 4


def test_arguments_with_bytes_go_the_long_way(way: Way, aws: FakeAws) -> None:
    write = UpdateItem("tasks", "a", Change({"n": 1}), Absent("id")).params()
    way.warm("update_item", write)
    way("update_item", UpdateItem("tasks", "a", Change({"b": b"\x00"}), Absent("id")).params())
    assert way.own == 1
    assert aws.bodies[-1]["ExpressionAttributeValues"] == {":0": {"B": "AA=="}}


def test_credentials_of_another_kind_go_the_long_way(
    way: Way, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    way.warm()
    monkeypatch.setattr(way.client._request_signer._credentials, "token", "a token")
    way()
    assert way.own == 1
    assert aws.headers[-1]["X-Amz-Security-Token"] == "a token"


def test_new_credentials_of_the_same_kind_sign_what_follows(
    way: Way, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    way.warm()
    monkeypatch.setattr(way.client._request_signer._credentials, "access_key", "another")
    way()
    assert way.own == 0
    assert "Credential=another/" in aws.headers[-1]["Authorization"]


def test_the_trace_of_a_lambda_invocation_is_its_own(
    way: Way, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    for number in range(3):
        monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={number}")
        way()
    assert way.own == 2
    assert [each["X-Amzn-Trace-Id"] for each in aws.headers] == ["Root=0", "Root=1", "Root=2"]


# -- what it reads --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"Item":{"id":{"S":"a"},"data":{"B":"AA=="}}}',
        b'{"Item":{"id":{"S":"a"},"data":{"L":[{"BS":["AA==","/w=="]}]}}}',
        b'{"Item": {"id": {"S": "\\u00fc \\"B\\" :null"}, "no": {"NULL": true}}, "Other": null}',
        b'{"Item":{"id":{"S":"{\\"B\\":null}"}},"ConsumedCapacity":null}',
        b'{"Item":{}}',
        b"{}",
        b"",
    ],
)
def test_an_answer_is_read_as_the_sdk_reads_it(way: Way, aws: FakeAws, body: bytes) -> None:
    way.warm()
    own: Any = get_session().create_client(
        "dynamodb", region_name="us-east-1", endpoint_url=aws.url
    )
    aws.answers += [Answer(body), Answer(body)]
    ours, theirs = way(), own.get_item(**READ)
    for each in (ours, theirs):
        del each["ResponseMetadata"]
    assert ours == theirs


def test_messages_are_read_as_the_sdk_reads_them(make: Callable[..., Way], aws: FakeAws) -> None:
    way = make("sqs")
    receive = ReceiveMessages(f"{aws.url}/1/a").params()
    way.warm("receive_message", receive)
    attributes = {"a": {"DataType": "String", "StringValue": "ü"}}
    messages = [{"MessageId": "m", "Body": '{"B":null}', "MessageAttributes": attributes}]
    aws.answers.append(Answer(json.dumps({"Messages": messages}).encode()))
    assert way("receive_message", receive)["Messages"] == messages
    assert way.own == 0


@pytest.mark.parametrize("body", [b"<html>", b"[1]"])
def test_an_answer_that_is_none_of_aws_is_the_sdks_to_judge(
    way: Way, aws: FakeAws, body: bytes
) -> None:
    def judged(ask: Callable[[], dict[str, Any]]) -> Any:
        aws.answers.append(Answer(body, kind="text/html"))
        try:
            return ask().keys()
        except Exception as error:
            return type(error)

    way.warm()
    own: Any = get_session().create_client(
        "dynamodb", region_name="us-east-1", endpoint_url=aws.url
    )
    assert judged(way) == judged(lambda: own.get_item(**READ))
    assert len(aws.bodies) == 4


@pytest.mark.parametrize(
    ("service", "operation"), [(name, each) for name in SHORT for each in sorted(SHORT[name])]
)
def test_answers_of_the_shorter_way_are_what_their_json_says(service: str, operation: str) -> None:
    client = get_session().create_client(service, region_name="us-east-1")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
    assert model.service_model.resolved_protocol == "json"
    seen: set[str] = set()
    shapes: list[Any] = [model.output_shape] if model.output_shape is not None else []
    while shapes:
        shape = shapes.pop()
        assert shape.type_name in {
            *("structure", "list", "map"),
            *("string", "boolean", "integer", "long", "double", "blob"),
        }, f"{shape} is read by the SDK in a way of its own"
        if shape.name in seen:
            continue
        seen.add(shape.name)
        if shape.type_name == "structure":
            assert not shape.is_tagged_union
            for name, member in shape.members.items():
                assert member.serialization.get("name", name) == name
                decoded = member.type_name == "blob" or (
                    member.type_name == "list" and member.member.type_name == "blob"
                )
                assert not decoded or f'"{name}"'.encode() in shortcut._BYTES[service]
                shapes.append(member)
        elif shape.type_name == "list":
            shapes.append(shape.member)
        elif shape.type_name == "map":
            shapes.append(shape.value)


# -- what fails -----------------------------------------------------------------------------------


def test_a_refusal_is_told_as_the_sdk_tells_it_and_is_not_asked_again(
    way: Way, aws: FakeAws
) -> None:
    way.warm()
    refusal = b'{"__type":"com.amazonaws#ResourceNotFoundException","message":"no table"}'
    aws.answers.append(Answer(refusal, 400))
    with pytest.raises(ClientError) as failed:
        way()
    assert failed.value.response["Error"] == {
        "Code": "ResourceNotFoundException",
        "Message": "no table",
    }
    assert isinstance(failed.value, way.client.exceptions.ResourceNotFoundException)
    assert failed.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert len(aws.bodies) == 3


@pytest.mark.parametrize(
    "failure",
    [
        Answer(status=0),
        Answer(status=503),
        Answer(b'{"__type":"ProvisionedThroughputExceededException"}', 400),
    ],
)
def test_what_passes_is_asked_again_as_often_as_the_sdk_asks(
    way: Way, aws: FakeAws, failure: Answer
) -> None:
    way.warm()
    aws.answers += [failure, failure, Answer(b'{"Item":{"id":{"S":"a"}}}')]
    response = way()
    assert response["Item"] == {"id": {"S": "a"}}
    assert response["ResponseMetadata"]["RetryAttempts"] == 2
    assert len(aws.bodies) == 5
    for number, headers in enumerate(aws.headers[2:], 1):
        assert f"attempt={number}" in headers["amz-sdk-request"]


def test_what_does_not_pass_is_given_up_after_three_tries(way: Way, aws: FakeAws) -> None:
    way.warm()
    aws.answers += [Answer(status=503)] * 3
    with pytest.raises(ClientError):
        way()
    assert len(aws.bodies) == 5


def test_after_a_failure_the_sdk_hears_of_enough_successes_to_repeat_again(
    way: Way, aws: FakeAws
) -> None:
    way.warm()
    aws.answers.append(Answer(status=503))
    way()
    for _ in range(AFTERWARDS):
        way()
    assert way.own == 1 + AFTERWARDS
    way()
    assert way.own == 1 + AFTERWARDS


# -- who listens ----------------------------------------------------------------------------------


def test_who_listens_to_what_is_sent_hears_it_and_may_answer(way: Way, aws: FakeAws) -> None:
    heard = []

    def listen(request: Any, **_: Any) -> None:
        heard.append(request.headers["x-amz-target"].decode())

    way.client.meta.events.register("before-send.dynamodb", listen)
    for _ in range(4):
        way()
    assert heard == ["DynamoDB_20120810.GetItem"] * 4
    assert way.own == 2


def test_what_powertools_adds_to_the_user_agent_is_said_again(way: Way, aws: FakeAws) -> None:
    add_to: Any = user_agent.register_feature_to_client
    add_to(way.client, "no-op")
    way.warm()
    way()
    assert way.own == 0
    first, *_, last = aws.headers
    assert "PT/no-op" in first["User-Agent"]
    assert last["User-Agent"] == first["User-Agent"]


@pytest.mark.parametrize("event", ["before-call", "request-created", "after-call"])
def test_who_listens_to_more_is_not_passed_by(way: Way, event: str) -> None:
    heard = []
    way.client.meta.events.register(f"{event}.dynamodb", lambda **_: heard.append(event))
    for _ in range(4):
        way()
    assert heard == [event] * 4
    assert way.own == 4


def test_a_tracer_around_the_sdk_is_not_passed_by(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []
    kind = type(way.client)
    own = kind._make_api_call

    class Tracer:
        def __get__(self, client: Any, _: type) -> Callable[..., Any]:
            if client is None:
                return self  # type: ignore[return-value]

            def call(operation: str, params: dict[str, Any]) -> Any:
                traced.append(operation)
                return own(client, operation, params)

            return call

    monkeypatch.setattr(kind, "_make_api_call", Tracer())
    for _ in range(4):
        way()
    assert traced == ["GetItem"] * 4


def test_an_sdk_that_signs_otherwise_goes_on_by_itself(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caraway.aws.sigv4.ALGORITHM", "AWS5")
    for _ in range(8):
        way()
    assert way.own == 8


def test_a_header_that_changes_is_not_taken_for_one_that_does_not(way: Way, aws: FakeAws) -> None:
    numbers = iter(range(100))

    def number(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-number"] = str(next(numbers))

    number.__module__ = "botocore.handlers"
    way.client.meta.events.register("before-call", number)
    for _ in range(7):
        way()
    assert way.own == 7
    assert [each["x-number"] for each in aws.headers] == [str(each) for each in range(7)]
