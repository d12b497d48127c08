"""Signatures of requests ("AWS Signature Version 4 for API requests", IAM User Guide).

Only what a POST to the root of an endpoint needs: no query, no path, and a body in memory.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Credentials(Protocol):
    """What an SDK's frozen credentials have."""

    @property
    def access_key(self) -> str:
        """The key's id."""
        ...

    @property
    def secret_key(self) -> str:
        """What is never sent."""
        ...

    @property
    def token(self) -> str | None:
        """Of temporary credentials."""
        ...


class Signer:
    """Signs requests to one service in one region, whose signed headers have the same names.

    Parameters
    ----------
    place
        Region, service and terminator: ``"eu-central-1/sqs/aws4_request"``.
    names
        Of the headers that are signed, in lower case and in alphabetical order.
    """

    def __init__(self, place: str, names: Sequence[str]) -> None:
        self._place = place
        self._names = names
        self._signed = ";".join(names)
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def authorization(
        self, headers: Mapping[str, str], body: bytes, credentials: Credentials, at: str
    ) -> str:
        """Return the header of that name.

        Parameters
        ----------
        headers
            By their names in lower case; their values have no space too many.
        at
            The time of ``x-amz-date``: ``"20261130T093000Z"``.
        """
        lines = "\n".join([f"{name}:{headers[name]}" for name in self._names])
        canonical = f"POST\n/\n\n{lines}\n\n{self._signed}\n{sha256(body).hexdigest()}"
        scope = f"{at[:8]}/{self._place}"
        digest = sha256(canonical.encode()).hexdigest()
        signature = hmac.digest(
            self._key_of(credentials.secret_key, at[:8]),
            f"{ALGORITHM}\n{at}\n{scope}\n{digest}".encode(),
            "sha256",
        ).hex()
        return (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={self._signed}, Signature={signature}"
        )

    def _key_of(self, secret: str, day: str) -> bytes:
        """Return the key of a day, derived once."""
        known_secret, known_day, key = self._key
        if secret == known_secret and day == known_day:
            return key
        key = f"AWS4{secret}".encode()
        for part in (day, *self._place.split("/")):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = (secret, day, key)
        return key
