"""The SDK's data files are read lightly, and say what the SDK itself reads in them."""

from __future__ import annotations

import gc
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.session import Session, get_session

from caraway import requests
from caraway.aws.blocking_aws import Botocore
from caraway.aws.clients import ClientSettings
from caraway.aws.sdk_data import lightened
from caraway.aws.wires import AiobotocoreWire

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = ("cloudwatch", "dynamodb", "events", "iam", "lambda", "s3", "scheduler", "sqs", "sts")
OF_CREDENTIALS = ("sso", "sso-oidc")
REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "eu-nowhere-9")


@pytest.fixture(autouse=True)
def _no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no endpoint be given from outside."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture(scope="module")
def sessions() -> tuple[Session, Session]:
    """Return a session of ours, and one that is the SDK's own."""
    return lightened(get_session()), get_session()


def place_of(session: Session, service: str, region: str, config: Config | None = None) -> Any:
    """Return where a client sends requests, and how they are signed."""
    client: Any = session.create_client(
        service,
        region_name=region,
        config=config,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    meta = client.meta
    signer = client._request_signer
    return (
        meta.endpoint_url,
        meta.partition,
        signer.region_name,
        signer.signing_name,
        signer.signature_version,
    )


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("service", [*SERVICES, *OF_CREDENTIALS])
def test_clients_go_where_the_sdk_sends_them(
    sessions: tuple[Session, Session], service: str, region: str
) -> None:
    ours, theirs = (place_of(each, service, region) for each in sessions)
    assert ours == theirs


def test_each_service_that_is_asked_is_compared_here() -> None:
    modules = [f"caraway.requests.{each.name}" for each in iter_modules(requests.__path__)]
    classes = [each for name in modules for each in vars(import_module(name)).values()]
    asked = {
        vars(each)["service"] for each in classes if "service" in getattr(each, "__dict__", ())
    }
    assert asked == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_endpoints_for_ip_version_6_and_for_authorities_are_the_same(
    sessions: tuple[Session, Session], service: str
) -> None:
    for config in (Config(use_dualstack_endpoint=True), Config(use_fips_endpoint=True)):
        ours, theirs = (place_of(each, service, "us-east-1", config) for each in sessions)
        assert ours == theirs


def without_texts(model: Any) -> Any:
    """Return a model without what is written for people."""
    if isinstance(model, list):
        return [without_texts(each) for each in model]
    if not isinstance(model, dict):
        return model
    return {
        name: "" if name == "documentation" and isinstance(each, str) else without_texts(each)
        for name, each in model.items()
    }


@pytest.mark.parametrize("service", [*SERVICES, *OF_CREDENTIALS])
def test_a_model_is_what_the_sdk_reads_in_the_same_order_but_for_texts_for_people(
    sessions: tuple[Session, Session], service: str
) -> None:
    ours, theirs = (
        each.get_component("data_loader").load_service_model(service, "service-2")
        for each in sessions
    )
    assert ours == without_texts(theirs)
    assert all(
        list(ours["shapes"][name].get("members", ())) == list(shape.get("members", ()))
        for name, shape in theirs["shapes"].items()
    )


def test_what_no_service_has_is_found_missing(sessions: tuple[Session, Session]) -> None:
    ours, theirs = (each.get_component("data_loader") for each in sessions)
    assert set(ours.list_available_services("service-2")) >= set(
        theirs.list_available_services("service-2")
    )
    with pytest.raises(UnknownServiceError):
        ours.load_service_model("nonesuch", "service-2")
    with pytest.raises(DataNotFoundError):
        ours.load_service_model("sqs", "nonesuch-1")


def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "ours.json").write_text("{")
    files = lightened(get_session()).get_component("data_loader").file_loader
    was_at_work = gc.isenabled()
    try:
        for at_work, switch in ((True, gc.enable), (False, gc.disable)):
            switch()
            with pytest.raises(ValueError, match="line 1"):
                files.load_file(str(tmp_path / "ours"))
            assert gc.isenabled() is at_work
    finally:
        (gc.enable if was_at_work else gc.disable)()


def test_models_of_ones_own_are_found_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ours.json").write_text('{"of": "our own"}')
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    loader = lightened(get_session()).get_component("data_loader")
    assert loader.load_data("ours") == {"of": "our own"}
    with pytest.raises(DataNotFoundError):
        loader.load_data("theirs")


def test_both_wires_read_lightly() -> None:
    settings = ClientSettings("us-east-1", "http://127.0.0.1:9")
    blocking = Botocore(settings)
    blocking._client("sqs")
    for session in (blocking._session, AiobotocoreWire(settings)._new_session()):
        endpoints = session.get_component("data_loader").load_data("endpoints")
        assert all(len(each["services"]) <= 11 for each in endpoints["partitions"])
    blocking.close()
