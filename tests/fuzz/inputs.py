"""Inputs that nobody of ours wrote: seeded, each from its kind and number alone.

======== ========================================================================================
message  the body of a message: noise, JSON, and envelopes with something wrong
pointer  a message whose content is compressed or in S3, with something wrong at either end
schedule what EventBridge puts on a queue, with something wrong
event    an SQS event for the function: some of the above, with something wrong around them
======== ========================================================================================
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import zlib
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Kind: TypeAlias = Literal["message", "pointer", "schedule", "event"]
KINDS: Final[tuple[Kind, ...]] = ("message", "pointer", "schedule", "event")
TITLES: Final[dict[Kind, str]] = {
    "message": "bodies of messages",
    "pointer": "messages whose content is compressed or in S3",
    "schedule": "what EventBridge sends",
    "event": "SQS events for the function, of one to three messages",
}
BUCKET: Final = "bucket"
TASKS: Final = ("ok", "ok", "ok", "fails", "retries", "rejects", "ignores", "unknown")
ALPHABET: Final = 'ab{}[]":,\\ 019.-+eE\x00\x7fé\u2028\ud800\U0001f600<>&'
COMPRESSORS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "lzma": lzma.compress,
}
TIMES: Final = (
    *("2026-01-01T00:00:00Z", "2026-01-01T00:09:00+00:00", "2026-01-01T09:30:00Z", "2026-01-01"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "<aws.scheduler.scheduled-time>"),
    *("24:00", "2026-02-30T00:00:00Z", "1769904000", ""),
)
SIGNATURES: Final[tuple[Any, ...]] = (
    [{"task": "ok", "args": [1], "options": {"countdown": 5}}],
    [{"task": "ok", "options": {"queue": "nowhere"}}],
    [{"task": "ok", "options": {"eta": 5, "link": 5}}],
    [{"task": "ok", "options": {"serializer": "nothing", "compression": "nothing"}}],
    [{"task": "ok", "args": ["x" * 600], "options": {"serializer": 5, "compression": "gzip"}}],
    [{"task": 7}],
    {"task": "ok"},
    [[]],
)
FULL: Final[dict[str, Any]] = {
    "caraway": 1,
    "id": "i",
    "task": "ok",
    "args": [1, {"a": [2]}],
    "kwargs": {"b": 3},
    "attempt": 1,
    "retries": 1,
    "root_id": "r",
    "parent_id": "p",
    "sent_at": "2026-01-01T00:00:00+00:00",
    "eta": "2026-01-01T00:00:00Z",
    "expires": "2027-01-01T00:00:00Z",
    "digest": "d" * 32,
    "headers": {"h": 1},
    "stamps": {"customer": 17, "run": ["a", "b"]},
    "link": [{"task": "ok", "args": [1], "kwargs": {}, "options": {}}],
    "link_error": [{"task": "ok", "args": [1], "kwargs": {}, "options": {"countdown": 5}}],
    "chain": [{"task": "ok", "args": [2], "options": {"task_id": "c"}}],
    "group": "gr",
    "group_index": 1,
    "chord": {
        "size": 2,
        "then": [{"task": "ok", "options": {"stamps": {"customer": 17}}}],
        "up": {"group": "outer", "group_index": 0, "chord": {"size": 1, "then": []}},
    },
    "values": {"group": "before", "size": 2},
    "ignore_result": False,
    "soft_time_limit": 5,
    "time_limit": 6.5,
    "serializer": "pickle",
    "compression": "gzip",
    "group_id": "g",
    "schedule": "nightly",
    "scheduled_time": "2026-01-01T00:00:00Z",
}
REQUIRED: Final = ("caraway", "id", "task")


@dataclass(frozen=True)
class Input:
    """What lies in AWS before a worker sees it.

    Attributes
    ----------
    bodies
        Of the messages on the queue.
    objects
        What the payload bucket holds, by key.
    distort
        Makes the event that the function is invoked with out of the right one, None at the other
        door.
    """

    kind: Kind
    number: int
    bodies: tuple[str, ...]
    objects: dict[str, bytes]
    distort: Callable[[dict[str, Any]], Any] | None = None

    def __str__(self) -> str:
        return f"{self.kind}/{self.number}"


def make(seed: int, kind: Kind, number: int) -> Input:
    """Return one input; the same arguments give the same one."""
    rng = Random(f"{seed}/{kind}/{number}")
    objects: dict[str, bytes] = {}
    if kind == "message":
        bodies = [_body(rng)]
    elif kind == "pointer":
        bodies = [_pointer(rng, objects)]
    elif kind == "schedule":
        bodies = [_scheduled(rng)]
    else:
        ways = (_body, _scheduled, lambda rng: _pointer(rng, objects), _sound)
        bodies = [rng.choice(ways)(rng) for _ in range(rng.randint(1, 3))]
    # SQS takes nothing that has no UTF-8 form, but for what JSON escapes.
    sendable = tuple(map(_sendable, bodies))
    distort = (lambda event: _distorted(rng, event)) if kind == "event" else None
    return Input(kind, number, sendable, objects, distort)


# -- bodies ----------------------------------------------------------------------------------


def _body(rng: Random) -> str:
    way = rng.random()
    if way < 0.05:
        return _noise(rng)
    if way < 0.1:
        return json.dumps(_anything(rng))
    text = json.dumps(_envelope(rng))
    return _torn(rng, text) if way < 0.2 else text


def _sound(rng: Random) -> str:
    """Return a message with nothing wrong."""
    return json.dumps({"caraway": 1, "id": _id(rng), "task": rng.choice(TASKS), "args": [1]})


def _envelope(rng: Random) -> dict[str, Any]:
    """Return an envelope some of whose fields are missing, or hold something else."""
    chosen = rng.sample(list(FULL), rng.randint(0, len(FULL)))
    if rng.random() < 0.8:  # one of another call: a dead letter before anything else is read
        chosen = [name for name in chosen if name != "digest"]
    envelope = {name: FULL[name] for name in [*REQUIRED, *chosen]}
    envelope["task"] = rng.choice(TASKS)
    envelope["id"] = _id(rng)
    return _spoilt(rng, envelope, [*FULL, "payload", "later"])


def _spoilt(rng: Random, envelope: dict[str, Any], names: list[str]) -> dict[str, Any]:
    for name in rng.sample(names, min(len(names), rng.choice((0, 0, 1, 1, 2, 4)))):
        if rng.random() < 0.3:
            envelope.pop(name, None)
        else:
            envelope[name] = _plausible(rng)
    return envelope


TIMINGS: Final[tuple[dict[str, Any], ...]] = (
    {"crontab": "0 9 * * 1", "tz": "Europe/Berlin"},
    {"crontab": "* * 31 2 *", "tz": "UTC"},
    {"crontab": "often", "tz": "Nowhere"},
    {"every_s": 20, "start": TIMES[0]},
    {"every_s": 1e-9},
    {"every_s": 1e300, "end": "soon"},
    {"solar": ["sunset", 48.86, 2.35]},
    {"solar": ["sunset", "north"]},
    {"clocked": TIMES[0]},
    {"crontab": 5, "every_s": []},
    {},
)
"""What a firing may say of when it counts."""

POLICIES: Final[tuple[dict[str, Any], ...]] = (
    {"grace_s": 60},
    {"grace_s": 10**400, "jitter_s": 900},
    {"grace_s": "soon"},
    {"catch_up": "skip"},
    {"catch_up": "latest", "overlap": "allow"},
    {"catch_up": ["all"], "jitter_s": -1},
    {"overlap": "skip"},
    {"overlap": "skip", "grace_s": 300, "catch_up": "all", "jitter_s": 5},
    {"overlap": None, "jitter_s": 0.5},
)
"""What it may say of its lateness."""


def _scheduled(rng: Random) -> str:
    envelope: dict[str, Any] = {
        "caraway": 1,
        "task": rng.choice(TASKS),
        "args": [1, 2],
        "schedule": "nightly" if rng.random() < 0.8 else rng.choice(("x" * 300, "né", "\x00")),
        "scheduled_time": TIMES[0] if rng.random() < 0.7 else rng.choice(TIMES),
    }
    if rng.random() < 0.4:
        envelope["when"] = {**rng.choice(TIMINGS), "covers_s": rng.choice((60, 900, 0, "60"))}
    elif rng.random() < 0.4:
        envelope["when"] = {**rng.choice(TIMINGS), **rng.choice(POLICIES)}
    if rng.random() < 0.3:
        envelope["id"] = "<aws.scheduler.execution-id>"
    text = json.dumps(_spoilt(rng, envelope, [*envelope, "id", "eta", "expires", "attempt"]))
    return _torn(rng, text) if rng.random() < 0.2 else text


def _pointer(rng: Random, objects: dict[str, bytes]) -> str:
    """Return a body that points to its content, and put that where it points to, or elsewhere."""
    id, task = _id(rng), rng.choice(TASKS)
    inner = {"caraway": 1, "id": id, "task": task, "args": ["x" * rng.choice((0, 10, 600))]}
    if rng.random() < 0.5:
        inner = _spoilt(rng, inner, [*inner, "link", "eta", "payload"])
    content = json.dumps(inner).encode()
    payload: dict[str, Any] = {}
    if rng.random() < 0.5:
        payload["compression"] = rng.choice([*COMPRESSORS])
        content = COMPRESSORS[payload["compression"]](content)
    if rng.random() < 0.3:
        content = _torn_bytes(rng, content)
    if payload and rng.random() < 0.5:
        payload["data"] = base64.b64encode(content).decode()
    else:
        key = f"messages/{id}/0-{number_text(rng)}"
        payload["s3"] = f"s3://{rng.choice((BUCKET, BUCKET, BUCKET, BUCKET, 'other'))}/{key}"
        payload["sha256"] = hashlib.sha256(content).hexdigest()
        payload["bytes"] = len(content)
        if rng.random() < 0.9:
            objects[key] = content
    if rng.random() < 0.4:
        payload = _spoilt(rng, payload, ["s3", "sha256", "bytes", "compression", "data"])
    envelope = {"caraway": rng.choice((1, 2)), "id": id, "task": task, "payload": payload}
    if rng.random() < 0.3:
        envelope = _spoilt(rng, envelope, [*envelope, "args", "attempt", "compression"])
    text = json.dumps(envelope)
    return _torn(rng, text) if rng.random() < 0.1 else text


# -- values ----------------------------------------------------------------------------------


def number_text(rng: Random) -> str:
    """Return 16 hexadecimal digits."""
    return f"{rng.getrandbits(64):016x}"


def _id(rng: Random) -> str:
    if rng.random() < 0.8:
        return number_text(rng)
    return rng.choice(("i", "x" * 200, "x" * 201, "né", "a b", "s3://x"))


def _plausible(rng: Random) -> Any:
    tag = rng.choice(("float", "dict", "datetime", "decimal", "bytes", "set", "exception", "no"))
    tagged = {"__type__": tag, "__value__": _anything(rng)}
    serialized = {
        "content_type": rng.choice(("application/x-python-serialize", "application/json", "x")),
        "content_encoding": rng.choice(("binary", "utf-8", "no")),
        "data": rng.choice(("gAWVCQAAAAAAAAA=", "{}", "é", _anything(rng))),
    }
    return rng.choice(
        (
            *(0, 1, -1, 2**31, 10**40, 1e308, float("nan"), True, None, "", "x", "\ud800", "\x00"),
            *("x" * 3_000, [], {}, [None], [[]], _deep(rng), _anything(rng), _noise(rng)),
            *(tagged, [tagged], [{"__type__": "serialized", "__value__": serialized}]),
            *(rng.choice(TIMES), rng.choice(SIGNATURES), rng.choice(TASKS)),
        )
    )


def _anything(rng: Random, depth: int = 3) -> Any:
    way = rng.random()
    if depth and way < 0.2:
        return [_anything(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if depth and way < 0.4:
        return {_noise(rng, 5): _anything(rng, depth - 1) for _ in range(rng.randint(0, 3))}
    return rng.choice((None, True, False, rng.randint(-(10**6), 10**6), rng.random(), _noise(rng)))


def _deep(rng: Random) -> Any:
    return json.loads("[" * (depth := rng.choice((10, 300, 490))) + "]" * depth)


def _noise(rng: Random, longest: int = 30) -> str:
    return "".join(rng.choices(ALPHABET, k=rng.randint(0, longest)))


def _torn(rng: Random, text: str) -> str:
    """Return a text of which a piece is missing, doubled, or noise."""
    for _ in range(rng.randint(1, 3)):
        first = rng.randint(0, len(text))
        last = min(len(text), first + rng.choice((0, 1, 1, 5, 50)))
        middle = rng.choice(("", text[first:last] * 2, _noise(rng, 5)))
        text = text[:first] + middle + text[last:]
    return text


def _sendable(text: Any) -> Any:
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


def _torn_bytes(rng: Random, content: bytes) -> bytes:
    return _torn(rng, content.decode("latin-1")).encode("utf-8", "surrogatepass")


# -- events ----------------------------------------------------------------------------------


def _distorted(rng: Random, event: dict[str, Any]) -> Any:
    """Return an event as something else than a queue's poller might send it."""
    way = rng.random()
    if way < 0.03:
        return _anything(rng)
    if way < 0.06:
        return {"Records": _anything(rng)}
    for record in event["Records"]:
        if rng.random() < 0.4:
            _spoilt(rng, record, [*record, "later"])
        if rng.random() < 0.4 and isinstance(record.get("attributes"), dict):
            _spoilt(rng, record["attributes"], [*record["attributes"], "MessageGroupId"])
        for fields in (record, record.get("attributes")):
            if isinstance(fields, dict):
                fields.update({name: _sendable(value) for name, value in fields.items()})
    return event
