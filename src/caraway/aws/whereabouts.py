"""Where clients would go, and with whose credentials: what a person who looks for a fault asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caraway.aws.failures import translate
from caraway.lean import dataclass
from caraway.requests.sts import GetCallerIdentity

if TYPE_CHECKING:
    from caraway.aws.clients import ClientSettings

_SOURCES: Final = {
    "env": "the environment",
    "shared-credentials-file": "the credentials file",
    "config-file": "the config file",
    "custom-process": "a process of the AWS profile",
    "assume-role": "a role of the AWS profile",
    "assume-role-with-web-identity": "a web identity",
    "sso": "SSO",
    "container-role": "the container's role",
    "iam-role": "the instance's role",
}
"""The SDK's names of where it found credentials."""


@dataclass(frozen=True)
class Whereabouts:
    """Attributes in words: region, endpoint, and where credentials were found (None: nowhere)."""

    region: str
    endpoint_url: str
    credentials: str | None


def whereabouts(settings: ClientSettings) -> Whereabouts:
    """Return where clients made with these settings would go; no request is made of AWS.

    Raises
    ------
    RegionMissing, CredentialsMissing, EndpointUnreachable
        If no client can be made.
    """
    from botocore.config import Config

    from caraway.aws.sdk_data import new_session

    try:
        session = new_session(settings)
        client = session.create_client(
            **settings.client_arguments("sqs"), config=settings.config(Config, "sqs")
        )
        found = session.get_credentials()
    except Exception as error:
        translated = translate(error, GetCallerIdentity())
        if translated is error:
            raise
        raise translated from error
    place = Whereabouts(
        client.meta.region_name,
        client.meta.endpoint_url,
        None if found is None else _SOURCES.get(found.method or "", found.method or "the SDK"),
    )
    client.close()
    return place
