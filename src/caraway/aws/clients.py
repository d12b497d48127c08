"""How AWS clients are made: from the usual environment, with settings chosen for task work."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from caraway._version import __version__
from caraway.lean import dataclass

if TYPE_CHECKING:
    from botocore.config import Config

ATTEMPTS: Final = 3
CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 40
"""Above the longest long poll (20 s): a receive that is given up on may still take a message with
it."""
IDLE_S: Final = 60
"""How long aiobotocore keeps a connection that nothing uses: 12 s by itself. A worker tells of
itself every 30 s, so that the claim of a lone task finds a connection open, and needs no handshake.
One that AWS has closed is seen to be, and is not used."""
RENEWED_EVERY_S: Final = 30.0
"""How often credentials are read anew at most, while AWS refuses those that there are."""
GIVEN_UP_S: Final = ATTEMPTS * (CONNECT_TIMEOUT_S + READ_TIMEOUT_S)
"""After so long an SDK that keeps its time-outs has given up on a request, pauses aside."""
_SAID: Final = {"AWS_EXECUTION_ENV": "exec-env", "AWS_SDK_UA_APP_ID": "app"}
"""Variables that the SDKs repeat in the user agent, and by which name."""
_NO_TOKEN: Final = re.compile(r"[^A-Za-z0-9!$%&'*+\-.^_`|~]")
"""What is not allowed in a product's name or version (RFC 9110, 5.6.2)."""
OFTEN: Final = frozenset({"dynamodb", "sqs"})
"""Services that are asked for every task."""


@dataclass(frozen=True)
class ClientSettings:
    """What clients are made with; None takes what the AWS environment says.

    Attributes
    ----------
    connections
        Connections kept open per client; one caller each.
    """

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    connections: int = 32

    def config(self, config_class: type[Config], service: str, **more: Any) -> Config:
        """Return the SDK's configuration object, botocore's or aiobotocore's with ``more``."""
        return config_class(
            # The SDK writes its own anew twice for every request, from 30 parts: an eighth of what
            # a request costs.
            user_agent=_user_agent(),
            # Ours come from typed values, and AWS checks them all the same.
            parameter_validation=service not in OFTEN,
            max_pool_connections=self.connections,
            # Three tries in all with jittered back-off; the caller decides about more.
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            tcp_keepalive=True,
            # TLS guards the way already; a checksum of every body costs CPU.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # An engine on localhost has no name in DNS for each of its buckets.
            s3={"addressing_style": "path"} if self._own_endpoint() else None,
            **more,
        )

    def _own_endpoint(self) -> bool:
        return bool(self.endpoint_url or os.environ.get("AWS_ENDPOINT_URL"))

    def client_arguments(self, service: str) -> dict[str, Any]:
        """Return the arguments that botocore and aiobotocore have in common."""
        arguments: dict[str, Any] = {"service_name": service}
        # botocore by itself reads AWS_DEFAULT_REGION only; the other SDKs read this one.
        region = self.region or os.environ.get("AWS_REGION")
        if region:
            arguments["region_name"] = region
        if self.endpoint_url:
            arguments["endpoint_url"] = self.endpoint_url
        return arguments


def _user_agent() -> str:
    """Return what requests say of who makes them; it stands in the logs of CloudTrail."""
    import botocore

    parts = [
        f"caraway/{__version__}",
        f"Botocore/{botocore.__version__}",
        f"lang/python#{sys.version_info.major}.{sys.version_info.minor}",
    ]
    for variable, name in _SAID.items():
        if value := os.environ.get(variable):
            parts.append(f"{name}/{_NO_TOKEN.sub('-', value)}")
    return " ".join(parts)
