"""Message signatures: that somebody with a key has sent a task, and that nobody has changed it.

The signature is a field of the body that lies on the queue::

    {"caraway": 1, "id": "...", "task": "...", "signature": {"key": "2026-11", "value": "<base64>"}}

It is that of the other fields as canonical JSON. Where the content is compressed or in S3 the body
is a pointer, and what the pointer holds (the data, or the object's SHA-256) is signed with it: so a
body is judged before anything of it is fetched, decompressed or decoded.

A rule of EventBridge sends the same signed template each time, and fills in one field. That field
is left out of the signature, in bodies without an id, which every other message has; instead it has
to be a time that can be: no occurrence is due in the future, or longer ago than records are kept.

A message names its key, never the algorithm: that is the key's own.
"""

from __future__ import annotations

import hmac
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, Protocol

from caraway.core.decoding import from_base64
from caraway.core.encoding import to_base64
from caraway.core.fields import read_time
from caraway.core.json_text import dumps, in_order
from caraway.core.record import HORIZON_S
from caraway.exceptions import (
    DecodeError,
    EncodeError,
    ImproperlyConfigured,
    InvalidMessage,
    nearest,
)
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from caraway.requests.base import Json

FIELD: Final = "signature"
SECRET_BYTES: Final = 32
"""Shortest secret: HMAC keys are to be as long as the hash at least (RFC 2104, section 3)."""
KEY_ID_LIMIT: Final = 64
SIGNED_BYTES: Final = 256
"""More than a signature adds to a body."""
AHEAD_S: Final = 300.0
"""How far ahead of this worker's clock an occurrence may be due: clocks disagree."""
_PEM: Final = "-----BEGIN "
_FILLED_IN: Final = "scheduled_time"


class Key(Protocol):
    """What signs, or can tell a signature from another."""

    def sign(self, data: bytes) -> bytes | None:
        """Return the signature; None of a key that only verifies."""
        ...

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Say whether it is the signature of that."""
        ...


@dataclass(frozen=True)
class HmacKey:
    """HMAC-SHA256: whoever can verify can sign."""

    secret: bytes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 32 bytes."""
        return hmac.digest(self.secret, data, "sha256")

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Compare in a time that says nothing of the secret."""
        return hmac.compare_digest(self.sign(data), signature)


@dataclass(frozen=True)
class Ed25519Key:
    """Ed25519: a private key signs, and its public key can do no more than verify.

    ``private`` and ``public`` are keys of the package cryptography.
    """

    public: Any = field(repr=False)
    private: Any = field(default=None, repr=False)

    def sign(self, data: bytes) -> bytes | None:
        """Return the signature, 64 bytes; None of a public key."""
        return None if self.private is None else bytes(self.private.sign(data))

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Say whether it is the signature of that."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.public.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def key_of(text: str) -> Key:
    """Return the key that a text is: PEM is Ed25519, anything else a secret for HMAC-SHA256.

    Raises
    ------
    ImproperlyConfigured
        If it is none, or the package that it needs is not installed. Never shows the text.
    """
    if text.lstrip().startswith(_PEM):
        return _of_pem(text.strip().encode())
    if len(secret := text.encode()) < SECRET_BYTES:
        raise ImproperlyConfigured(
            f"the secret has {len(secret)} bytes, and {SECRET_BYTES} at least are needed: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
        )
    return HmacKey(secret)


def _of_pem(pem: bytes) -> Key:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PrivateKey,
            Ed25519PublicKey,
        )
        from cryptography.hazmat.primitives.serialization import (
            load_pem_private_key,
            load_pem_public_key,
        )
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            "a PEM is an Ed25519 key, which needs a package: pip install 'caraway[signing]'"
        ) from error
    wanted = (
        "expected an Ed25519 key without a password, as 'openssl genpkey -algorithm ed25519' "
        "makes one, or the public key of one"
    )
    try:
        if b"PUBLIC KEY" in pem:
            public: Any = load_pem_public_key(pem)
            private: Any = None
        else:
            private = load_pem_private_key(pem, None)
            public = private.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ImproperlyConfigured(f"{wanted}: {error}") from None
    if not isinstance(public, Ed25519PublicKey) or not isinstance(
        private, Ed25519PrivateKey | None
    ):
        raise ImproperlyConfigured(wanted)
    return Ed25519Key(public, private)


@dataclass(frozen=True)
class Signing:
    """An app's keys, and what it asks of messages.

    Attributes
    ----------
    keys
        By id; a message that any of them has signed is accepted.
    key_id
        The key that signs what is sent, None to sign nothing.
    required
        Whether a message without a signature is refused.
    """

    keys: Mapping[str, Key]
    key_id: str | None = None
    required: bool = False

    @classmethod
    def of(
        cls, texts: Mapping[str, str] | None, key_id: str | None, *, required: bool
    ) -> Signing | None:
        """Return what settings ask for; None when they say nothing of signatures.

        Raises
        ------
        ImproperlyConfigured
            If a key is none, or they cannot go together.
        """
        if not texts:
            if required or key_id is not None:
                name = "task_require_signature" if required else "task_signing_key_id"
                raise ImproperlyConfigured(
                    f"{name} needs keys: set task_signing_keys (or CARAWAY_TASK_SIGNING_KEYS) to "
                    "{'an id of your choice': 'a secret of 32 characters or more'}"
                )
            return None
        keys = {id: _named(id, text) for id, text in texts.items()}
        if key_id is not None and key_id not in keys:
            raise ImproperlyConfigured(
                f"task_signing_key_id = {key_id!r} is none of task_signing_keys"
                f"{nearest(key_id, keys)}"
            )
        if key_id is not None and keys[key_id].sign(b"") is None:
            raise ImproperlyConfigured(
                f"task_signing_key_id = {key_id!r} is a public key, which cannot sign: name one "
                "whose private key is there"
            )
        return cls(keys, key_id, required)

    def value_of(self, envelope: Mapping[str, Json]) -> dict[str, Json] | None:
        """Return the signature of an envelope, as its field; None when nothing is signed."""
        if self.key_id is None:
            return None
        signature = self.keys[self.key_id].sign(_signed_part(envelope))
        assert signature is not None  # looked at in `of`
        return {"key": self.key_id, "value": to_base64(signature)}

    def verify(self, envelope: Mapping[str, Json], now: datetime) -> None:
        """Refuse what was not sent with one of the keys, or is not as it was sent.

        Raises
        ------
        InvalidMessage
            With what is wrong.
        """
        signature = envelope.get(FIELD)
        if signature is None:
            if self.required:
                raise InvalidMessage("it is not signed, and task_require_signature is set")
            return
        id, value = _parts(signature)
        key = self.keys.get(id)
        if key is None:
            raise InvalidMessage(
                f"it is signed with key {id!r:.80}, which task_signing_keys does not have here"
            )
        if not _holds(key, envelope, value):
            raise InvalidMessage(
                f"its signature with key {id!r} does not hold: the message was changed, or the "
                "sender has another key of that id"
            )
        if "id" not in envelope and _FILLED_IN in envelope:
            _check_filled_in(envelope[_FILLED_IN], now)


def _named(id: str, text: str) -> Key:
    if not 0 < len(id) <= KEY_ID_LIMIT or not id.isascii() or not id.isprintable():
        raise ImproperlyConfigured(
            f"task_signing_keys: {id!r:.80} is no id of a key: expected 1 to {KEY_ID_LIMIT} "
            "printable ASCII characters"
        )
    try:
        return key_of(text)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"task_signing_keys[{id!r}]: {error}") from error.__cause__


def _signed_part(envelope: Mapping[str, Json]) -> bytes:
    """Return the text that is signed: every field, also one that only newer code knows."""
    left_out = {FIELD} if "id" in envelope else {FIELD, _FILLED_IN}
    return in_order({name: value for name, value in envelope.items() if name not in left_out})


def _parts(signature: Json) -> tuple[str, bytes]:
    try:
        id, value = signature["key"], from_base64(signature["value"])
    except (DecodeError, KeyError, TypeError):
        id = None
    if not isinstance(id, str):
        raise InvalidMessage("its signature is not {'key': an id, 'value': base64}")
    return id, value


def _holds(key: Key, envelope: Mapping[str, Json], value: bytes) -> bool:
    try:
        return key.verifies(_signed_part(envelope), value)
    except EncodeError:  # a number that cannot be written again was not written by us
        return False


def _check_filled_in(time: Json, now: datetime) -> None:
    """Check what EventBridge has filled in, which nothing but the queue's policy protects."""
    if not isinstance(time, str):
        raise InvalidMessage(f"{_FILLED_IN}: {time!r:.80} is not of the right type")
    ahead_s = (read_time(time, _FILLED_IN) - now).total_seconds()
    if not -HORIZON_S < ahead_s < AHEAD_S:
        raise InvalidMessage(
            f"{_FILLED_IN}: {time} is no time at which a schedule can have sent this message"
        )


def sealed(signing: Signing | None, envelope: Mapping[str, Json], body: str) -> str:
    """Return a body with its signature; ``envelope`` is what the body says."""
    signature = None if signing is None else signing.value_of(envelope)
    return body if signature is None else f'{body[:-1]},"{FIELD}":{dumps(signature)}}}'
