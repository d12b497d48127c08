"""The formats of the serializers that are built in. Their packages are imported at first use.

JSON, msgpack and YAML carry what the codec says: all three bring back the same values. msgpack has
bytes of its own, so the codec's base64 is undone for it.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from caraway.core.codec import TYPE, VALUE, dumps
from caraway.core.decoding import from_base64

if TYPE_CHECKING:
    from caraway.requests.base import Json

PICKLE_PROTOCOL: Final = 5
"""One for all Pythons, so that equal values are written alike by each."""
_BREAKS: Final = re.compile("[\n\r\x85\u2028\u2029\ufeff]")
"""What YAML may take for the end of a line, and so for a blank, unless it is escaped."""
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def to_json(data: Json) -> str:
    """Return JSON text."""
    return dumps(data)


def from_json(text: str) -> Json:
    """Return the data of JSON text."""
    return json.loads(text)


def to_pickle(value: object) -> bytes:
    """Return a pickle."""
    import pickle

    return pickle.dumps(value, PICKLE_PROTOCOL)


def from_pickle(payload: bytes) -> Any:
    """Return the value of a pickle, which may run any code: only for content that is accepted."""
    import pickle

    return pickle.loads(payload)  # noqa: S301 - accept_content has to name it


def to_msgpack(data: Json) -> bytes:
    """Return MessagePack of encoded data, in which bytes are bytes."""
    import msgpack

    packed: bytes = msgpack.packb(_with_bytes(data))
    return packed


def from_msgpack(payload: bytes) -> Any:
    """Return the data of MessagePack; timestamps and bytes are values already."""
    import msgpack

    return msgpack.unpackb(payload, timestamp=3, strict_map_key=False)


def _with_bytes(data: Json) -> Any:
    if type(data) is list:
        if _SCALARS.issuperset(map(type, data)):
            return data
        return [_with_bytes(item) for item in data]
    if type(data) is not dict:
        return data
    if data.get(TYPE) == "bytes":
        return from_base64(data[VALUE])
    return {key: _with_bytes(value) for key, value in data.items()}


def to_yaml(data: Json) -> str:
    """Return YAML of encoded data."""
    import yaml

    text: str = yaml.dump(
        data, Dumper=_yaml()[0], sort_keys=False, allow_unicode=True, width=math.inf
    )
    return text


def from_yaml(text: str) -> Any:
    """Return the data of YAML: plain types and dates, no objects and no aliases."""
    import yaml

    return yaml.load(text, _yaml()[1])  # noqa: S506 - a safe loader


@cache
def _yaml() -> tuple[Any, Any]:
    """Return the dumper and the loader."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

        def represent_str(self, data: str) -> Any:
            style = '"' if _BREAKS.search(data) else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style)

    Dumper.add_representer(str, Dumper.represent_str)

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: int) -> Any:
            # A few lines of aliases to aliases stand for gigabytes of lists.
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases are not read")
            return super().compose_node(parent, index)

    return Dumper, Loader
