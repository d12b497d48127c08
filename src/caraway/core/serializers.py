"""Serializers: how single values travel inside the JSON of messages and results.

The envelope stays JSON. With another serializer than json, each argument and each result is one
value of the codec, whose tag says what it is::

    {"__type__": "serialized",
     "__value__": {"content_type": "application/x-msgpack", "content_encoding": "binary",
                   "data": "<base64; or the text itself, if content_encoding is no binary>"}}

So the core moves values about, compares and stores them, and never opens one. What opens them is
told which content is accepted, by whoever has the settings: there is no default that opens any.
"""

from __future__ import annotations

from dataclasses import field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from caraway.core import formats
from caraway.core.codec import decode, encode
from caraway.core.decoding import SERIALIZED, TYPE, VALUE, from_base64
from caraway.core.encoding import to_base64
from caraway.exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    ImproperlyConfigured,
    nearest,
)
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from caraway.requests.base import Json

JSON: Final = "json"
BINARY: Final = "binary"


@dataclass(frozen=True)
class Serializer:
    """A way to write a value as text or bytes.

    Attributes
    ----------
    name
        As settings and options name it.
    content_type
        What says in the message how to read it.
    content_encoding
        ``"binary"`` for bytes, else a text encoding.
    encoder, decoder
        From a value to text or bytes, and back.
    takes_objects
        False: the codec turns a value into plain data before the encoder sees it, and back after
        the decoder.
    package
        What must be installed for it.
    """

    name: str
    content_type: str
    content_encoding: str
    encoder: Callable[[Any], str | bytes]
    decoder: Callable[[Any], Any]
    takes_objects: bool = True
    package: str | None = None

    def encode(self, value: object, *, path: str = "value") -> Json:
        """Return a value as the one tagged value that travels.

        Raises
        ------
        EncodeError
            If the encoder refuses it; the message names ``path``.
        """
        data = value if self.takes_objects else encode(value, path=path)
        try:
            text = self._as_text(self.encoder(data))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise EncodeError(f"{path}: {self.name} cannot serialise it: {reason}") from error
        content = {
            "content_type": self.content_type,
            "content_encoding": self.content_encoding,
            "data": text,
        }
        return {TYPE: SERIALIZED, VALUE: content}

    def _as_text(self, payload: str | bytes) -> str:
        if self.content_encoding == BINARY:
            return to_base64(payload.encode() if isinstance(payload, str) else payload)
        return payload if isinstance(payload, str) else payload.decode(self.content_encoding)

    def read(self, content: Json) -> Any:
        """Return the value of content that :meth:`encode` made.

        Raises
        ------
        DecodeError
            If it cannot be read.
        """
        data = content.get("data")
        if content.get("content_encoding") == BINARY:
            data = from_base64(data)
        elif not isinstance(data, str):
            raise DecodeError(f"its data is not text but of type {type(data).__name__}")
        try:
            value = self.decoder(data)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise DecodeError(f"{self.name} cannot read it: {reason}") from error
        return value if self.takes_objects else decode(value)


_serializers: dict[str, Serializer] = {}
BUILT_IN: Final = (
    Serializer(
        JSON, "application/json", "utf-8", formats.to_json, formats.from_json, takes_objects=False
    ),
    Serializer(
        "pickle",
        "application/x-python-serialize",
        BINARY,
        formats.to_pickle,
        formats.from_pickle,
    ),
    Serializer(
        "msgpack",
        "application/x-msgpack",
        BINARY,
        formats.to_msgpack,
        formats.from_msgpack,
        takes_objects=False,
        package="msgpack",
    ),
    Serializer(
        "yaml",
        "application/x-yaml",
        "utf-8",
        formats.to_yaml,
        formats.from_yaml,
        takes_objects=False,
        package="yaml",
    ),
)


def register(
    name: str,
    encoder: Callable[[Any], str | bytes],
    decoder: Callable[[Any], Any],
    content_type: str,
    content_encoding: str = "utf-8",
) -> None:
    """Register a serializer, in the producer, in the workers and where results are read.

    It is read only where ``accept_content`` (or ``result_accept_content``) names it.

    Parameters
    ----------
    name
        What settings and options call it.
    encoder
        Gets each argument, and each result, as the Python value that it is; returns text or bytes.
    decoder
        Rebuilds the value: from text, or from bytes with ``content_encoding="binary"``. What it
        gets comes from a queue: do not trust it.
    content_type
        Marks what it has written. It must not change while messages or results carry it.
    content_encoding
        ``"binary"`` for bytes, which travel as base64; else the encoding of the text.

    Raises
    ------
    ValueError
        If ``name`` is ``"json"``, or ``content_type`` belongs to another serializer.
    """
    if name == JSON:
        raise ValueError("json is what envelopes are made of: choose another name")
    for other in _serializers.values():
        if other.content_type == content_type and other.name != name:
            raise ValueError(f"{content_type} belongs to the serializer {other.name!r}")
    _serializers[name] = Serializer(name, content_type, content_encoding, encoder, decoder)


def unregister(name: str) -> None:
    """Forget a serializer.

    Raises
    ------
    ImproperlyConfigured
        If there is none of that name.
    ValueError
        If ``name`` is ``"json"``.
    """
    if name == JSON:
        raise ValueError("json is what envelopes are made of: it stays")
    del _serializers[serializer_named(name).name]


def serializer_named(name: str) -> Serializer:
    """Return a serializer by its name.

    Raises
    ------
    ImproperlyConfigured
        If there is none, or the package that it needs is not installed.
    """
    found = _serializers.get(name)
    if found is None:
        raise ImproperlyConfigured(
            f"no serializer named {name!r}{nearest(name, _serializers)} (there are "
            f"{', '.join(_serializers)}; caraway.serialization.register adds others)"
        )
    if found.package is not None and not _installed(found.package):
        raise ImproperlyConfigured(
            f"serializer {name!r} needs a package: pip install 'caraway[{name}]'"
        )
    return found


def _installed(package: str) -> bool:
    try:
        import_module(package)
    except ModuleNotFoundError:
        return False
    return True


def other_than_json(name: str | None) -> Serializer | None:
    """Return a serializer by its name; None for json, which takes none. Raises likewise."""
    return None if name in (None, JSON) else serializer_named(name)


@dataclass(frozen=True)
class Accepted:
    """The content that is read beside JSON.

    Attributes
    ----------
    setting
        Names it: what an error tells to change.
    content_types
        These.
    """

    setting: str = "accept_content"
    content_types: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str], setting: str) -> Accepted:
        """Return what a setting accepts: names of serializers, or content types.

        Raises
        ------
        ImproperlyConfigured
            If a name is no serializer's, or its package is not installed.
        """
        types = (each if "/" in each else serializer_named(each).content_type for each in names)
        return cls(setting, frozenset(types))

    def read(self, content: Json) -> Any:
        """Return the value of a serialized value's content.

        Raises
        ------
        ContentDisallowed
            If its type is not accepted, or no serializer here is of that type. Nothing of it has
            been looked at then.
        DecodeError
            If it cannot be read.
        """
        if not isinstance(content, dict) or not isinstance(content.get("content_type"), str):
            raise DecodeError("it is no content: it has no 'content_type'")
        content_type = content["content_type"]
        found = next((s for s in _serializers.values() if s.content_type == content_type), None)
        known_as = content_type if found is None else found.name
        if content_type not in self.content_types and known_as != JSON:
            raise ContentDisallowed(
                f"content of type {content_type} is not accepted: {self.setting} would have to "
                f"name {known_as!r}"
            )
        if found is None:
            raise ContentDisallowed(
                f"content of type {content_type} is accepted, but no serializer for it is "
                "registered here: call caraway.serialization.register(...) in this process too"
            )
        return found.read(content)


@dataclass(frozen=True)
class Contents:
    """How an app's values are written, and which are read.

    Attributes
    ----------
    serializer, result_serializer
        None is json.
    """

    serializer: Serializer | None = None
    result_serializer: Serializer | None = None
    accepted: Accepted = field(default_factory=Accepted)
    results_accepted: Accepted = field(default_factory=Accepted)


_serializers.update((each.name, each) for each in BUILT_IN)
