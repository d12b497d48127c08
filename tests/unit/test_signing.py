"""Signed messages: what a worker accepts, and what becomes of the rest."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from caraway import Caraway
from caraway.core.beat import entries, schedules
from caraway.core.claim_check import Store
from caraway.core.context import Context
from caraway.core.dead_letters import Sweep, piles
from caraway.core.disposition import Delete
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.core.record import DONE, HORIZON_S
from caraway.core.rule_store import template_of
from caraway.core.settle import Product
from caraway.core.signing import AHEAD_S, SIGNED_BYTES, HmacKey, Signing
from caraway.core.stored import Owner
from caraway.core.stores import Stores
from caraway.exceptions import ImproperlyConfigured, Reject, Retry
from caraway.requests.s3 import PutObject
from tests.support import FakeTask, World, signature

OLD, NEW = "o" * 32, "n" * 40
TIME = datetime(2030, 1, 1, tzinfo=timezone.utc)


def private_pem(key: Any, password: bytes | None = None) -> str:
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return text.decode()


def public_pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


PAIR = Ed25519PrivateKey.generate()
PRIVATE, PUBLIC = private_pem(PAIR), public_pem(PAIR)


def signing(
    keys: dict[str, str] | None = None, key_id: str | None = "new", *, required: bool = True
) -> Signing:
    made = Signing.of({"new": NEW} if keys is None else keys, key_id, required=required)
    assert made is not None
    return made


def world(*tasks: FakeTask, **site: Any) -> World:
    site.setdefault("signing", signing())
    return World(*(tasks or (FakeTask("t", lambda request: list(request.args)),)), **site)


def body(there: World, queue: str = "default") -> dict[str, Any]:
    (text,) = there.aws.bodies(there.queue(queue))
    envelope: dict[str, Any] = json.loads(text)
    return envelope


def refused(there: World, envelope: Any) -> str:
    """Deliver a body that must be refused; return the reason in its dead letter."""
    text = envelope if isinstance(envelope, str) else json.dumps(envelope)
    disposition = there.redeliver(text)
    assert isinstance(disposition, Delete)
    assert disposition.undeliverable
    letter = there.dead_letters()[-1]
    assert letter.body == text
    assert there.aws.items == {}
    assert all(not task.runs for task in there.tasks.values())
    return letter.attributes["reason"]


# -- what is accepted ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", [NEW, PRIVATE], ids=["hmac", "ed25519"])
def test_a_message_is_signed_and_runs(key: str) -> None:
    there = world(signing=signing({"new": key}))
    sent = there.send("t", 1, {"a": 1.5}, "서울")
    assert body(there)["signature"]["key"] == "new"
    there.drain()
    assert there.result(sent) == [1, {"a": 1.5}, "서울"]


def test_a_signature_is_made_as_the_format_says() -> None:
    import base64
    import hashlib
    import hmac

    there = world()
    there.send("t", "é", countdown=5)
    envelope = body(there)
    value = envelope.pop("signature")["value"]
    text = json.dumps(envelope, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    expected = hmac.new(NEW.encode(), text.encode(), hashlib.sha256).digest()
    assert base64.b64decode(value) == expected


def test_keys_are_rotated_without_a_message_lost() -> None:
    first = world(signing=signing({"old": OLD}, "old"))
    first.send("t")
    (waiting,) = first.aws.bodies("default")
    later = world(signing=signing({"old": OLD, "new": NEW}, "new"))
    later.redeliver(waiting)
    assert later.tasks["t"].runs
    assert "which task_signing_keys does not have here" in refused(world(), waiting)


def test_a_public_key_verifies_and_cannot_sign() -> None:
    there = world(signing=signing({"new": PRIVATE}))
    there.send("t")
    (waiting,) = there.aws.bodies("default")
    worker = world(signing=signing({"new": PUBLIC}, None))
    worker.redeliver(waiting)
    assert worker.tasks["t"].runs
    with pytest.raises(ImproperlyConfigured, match="is a public key, which cannot sign"):
        signing({"new": PUBLIC})


def test_without_task_require_signature_an_unsigned_message_runs() -> None:
    there = world(signing=signing(required=False))
    there.redeliver(Message("i", "t"))
    assert there.tasks["t"].runs


def test_an_app_without_keys_passes_over_a_signature() -> None:
    there = world()
    there.send("t")
    (waiting,) = there.aws.bodies("default")
    other = world(signing=None)
    other.redeliver(waiting)
    assert other.tasks["t"].runs


# -- what is refused -----------------------------------------------------------------------------


def test_an_unsigned_message_is_a_dead_letter_and_touches_no_record() -> None:
    reason = refused(world(), Message("i", "t").to_body())
    assert reason == "it is not signed, and task_require_signature is set"


FULL = Message(
    "i",
    "t",
    (1, [{"__type__": "dict", "__value__": [[1, 2], [3, 4]]}]),
    {"k": 1},
    attempt=1,
    retries=1,
    sent_at=TIME,
    expires=TIME + timedelta(days=3650),
    link=(signature("t"),),
    headers={"h": 1},
    stamps={"customer": 17},
)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        {"args": [2]},
        {"args": [1, [{"__type__": "dict", "__value__": [[3, 4], [1, 2]]}]]},
        {"kwargs": {"k": 2}},
        {"kwargs": {"k": 1.0}},
        {"id": "j"},
        {"id": None},
        {"task": "u"},
        {"attempt": 2},
        {"retries": 0},
        {"sent_at": "2031-01-01T00:00:00+00:00"},
        {"expires": None},
        {"link": []},
        {"headers": {}},
        {"stamps": {"customer": 18}},
        {"chord": {"size": 1, "then": []}, "group": "g", "group_index": 0},
        {"root_id": "r"},
        {"schedule": "s"},
        {"scheduled_time": "2030-01-01T00:00:00Z"},
        {"a field of newer code": 1},
        {"caraway": 2},
        {"payload": {"compression": "gzip", "data": ""}},
    ],
    ids=str,
)
def test_a_changed_message_is_a_dead_letter(change: dict[str, Any], required: bool) -> None:
    there = world(signing=signing(required=required))
    envelope = FULL.to_json()
    envelope["signature"] = signing().value_of(envelope)
    assert "does not hold" in refused(there, {**envelope, **change})


@pytest.mark.parametrize(
    "given",
    [5, [], {}, {"key": "new"}, {"key": 5, "value": ""}, {"key": [], "value": "AA=="}]
    + [{"key": "new", "value": each} for each in (None, 5, "", "?", "AA==", "é")],
    ids=str,
)
@pytest.mark.parametrize("key", [NEW, PRIVATE], ids=["hmac", "ed25519"])
def test_a_malformed_signature_is_a_dead_letter(given: Any, key: str) -> None:
    there = world(signing=signing({"new": key}, required=False))
    assert "signature" in refused(there, {**FULL.to_json(), "signature": given})


def test_the_secret_of_another_key_does_not_hold() -> None:
    keys = signing({"old": OLD, "new": NEW})
    envelope = FULL.to_json()
    value = keys.value_of(envelope)
    assert value is not None
    envelope["signature"] = {**value, "key": "old"}
    assert "does not hold" in refused(world(signing=keys), envelope)


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    envelope = FULL.to_json()
    forged = Signing({"new": HmacKey(PUBLIC.encode())}, "new")
    envelope["signature"] = forged.value_of(envelope)
    there = world(signing=signing({"new": PUBLIC}, None))
    assert "does not hold" in refused(there, envelope)


# -- what travels through S3, or compressed ------------------------------------------------------

BUCKET = Store("bucket", message_limit_bytes=1_000)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_an_object_that_was_changed_is_a_dead_letter(compression: str | None) -> None:
    import random

    noise = random.Random(0).randbytes(1_500).hex()
    there = world(store=BUCKET)
    there.send("t", noise, compression=compression)
    envelope = body(there)
    assert "s3" in envelope["payload"]
    ((bucket, key),) = there.aws.objects
    run_now(there.aws.perform(PutObject(bucket, key, b'{"caraway":1,"id":"x","task":"t"}')))
    assert "is not the one that was sent" in refused(there, envelope)


def test_a_pointer_to_another_object_is_refused_before_it_is_fetched() -> None:
    there = world(store=BUCKET)
    there.send("t", "x" * 2_000)
    envelope = body(there)
    envelope["payload"]["s3"] = "s3://bucket/messages/other"
    there.aws.requests.clear()
    assert "does not hold" in refused(there, envelope)
    assert [type(each).__name__ for each in there.aws.requests] == ["GetQueueUrl", "SendMessage"]


def test_compressed_content_that_was_changed_is_refused_before_it_is_opened() -> None:
    there = world(store=replace(BUCKET, compression_threshold_bytes=100))
    there.send("t", "x" * 2_000, compression="gzip")
    envelope = body(there)
    assert "data" in envelope["payload"]
    there.redeliver(json.dumps(envelope))
    assert there.tasks["t"].runs
    other = world()
    envelope["payload"]["data"] = "no base64 at all"
    assert "does not hold" in refused(other, envelope)


@pytest.mark.parametrize("key", [NEW, PRIVATE], ids=["hmac", "ed25519"])
def test_a_signature_does_not_take_a_body_above_the_limit(key: str) -> None:
    id = "k" * 64
    for size in range(600, 1_000):
        there = world(store=BUCKET, signing=signing({id: key}, id))
        there.send("t", "x" * size)
        (text,) = there.aws.bodies("default")
        assert len(text.encode()) <= BUCKET.message_limit_bytes
    plain = Message("i", "t").to_json()
    value = signing({id: key}, id).value_of(plain)
    assert len(json.dumps({"signature": value})) < SIGNED_BYTES


# -- what a worker sends -------------------------------------------------------------------------


def everything_is_signed(there: World) -> None:
    for stored in (each for queue in there.aws.queues.values() for each in queue):
        envelope = json.loads(stored.request.body)
        signing().verify(envelope, there.aws.now())
        assert "signature" in envelope


def test_retries_callbacks_errbacks_and_dead_letters_are_signed_by_the_worker() -> None:
    def flaky(request: Context) -> None:
        if request.retries == 0:
            raise Retry(when=5, args=["other"])
        raise ValueError("no")

    def rejects(_request: Context) -> Product:
        raise Reject("no")

    there = world(FakeTask("flaky", flaky), FakeTask("rejects", rejects), FakeTask("t"))
    first = there.send("flaky", link_error=[signature("t")])
    there.deliver()
    everything_is_signed(there)
    there.drain()
    assert there.record(first).state == "FAILURE"
    assert there.tasks["t"].runs
    there.send("t", link=[signature("rejects")])
    there.drain()
    assert there.dead_letters()
    everything_is_signed(there)
    there.redrive()
    there.drain()
    assert len(there.tasks["rejects"].runs) == 2


def test_a_redrive_makes_no_bad_signature_good() -> None:
    there = world()
    there.put('{"caraway":1,"id":"i","task":"t"}')
    there.drain()
    (pile,) = piles(there.site.router, "")
    swept = run_now(Sweep(there.aws, "", pile, deed="redrive").run())
    assert swept.done == 1
    there.drain()
    assert [letter.attributes["reason"] for letter in there.dead_letters()] == [
        "it is not signed, and task_require_signature is set"
    ]
    assert there.aws.items == {}


# -- schedules -----------------------------------------------------------------------------------


def template(there: World) -> str:
    entry = {"task": "t", "schedule": 60, "args": ("<a> & \"b\" 'c' \\ é\n", 1)}
    store, now = Stores.of(Owner("shop")).current, there.aws.now()
    (rule,) = schedules(there.site, store, entries({"tick": entry}), zone=timezone.utc, now=now)
    return template_of(rule.text)


def occurrence(there: World, due: datetime) -> str:
    return template(there).replace("<time>", due.isoformat())


@pytest.mark.parametrize("key", [NEW, PRIVATE], ids=["hmac", "ed25519"])
def test_a_rule_sends_a_signed_message_and_its_retries_are_signed_in_full(key: str) -> None:
    def once(request: Context) -> None:
        if request.retries == 0:
            raise Retry(when=5)

    there = world(FakeTask("t", once), signing=signing({"new": key}))
    assert template(there) == template(there)
    there.put(occurrence(there, there.aws.now()))
    there.deliver()
    retry = body(there)
    assert {"id", "scheduled_time"} <= retry.keys()
    moved = {**retry, "scheduled_time": "2030-01-01T00:00:00Z"}
    assert there.redeliver(json.dumps(moved)).why.startswith("its signature")
    there.drain()
    assert [item["phase"] for item in there.aws.items.values()] == [DONE]
    assert len(there.tasks["t"].runs) == 2


@pytest.mark.parametrize(
    "off_s", [AHEAD_S + 60, -HORIZON_S - 60, 86_400 * 3_650], ids=["soon", "long ago", "far"]
)
def test_an_occurrence_is_not_invented(off_s: float) -> None:
    there = world()
    made_up = occurrence(there, there.aws.now() + timedelta(seconds=off_s))
    assert "no time at which a schedule can have sent" in refused(there, made_up)


@pytest.mark.parametrize("time", ['"soon"', "5", "null", "[]"])
def test_an_occurrence_has_a_time(time: str) -> None:
    there = world()
    assert refused(there, template(there).replace('"<time>"', time))


def test_the_id_of_an_occurrence_is_not_chosen_by_who_sends_it() -> None:
    there = world()
    chosen = {**json.loads(occurrence(there, there.aws.now())), "id": "mine"}
    assert "does not hold" in refused(there, chosen)


# -- settings ------------------------------------------------------------------------------------


def test_settings_make_the_keys_and_eager_tasks_need_none() -> None:
    assert Caraway("plain", set_as_current=False).site.signing is None
    app = Caraway("shop", set_as_current=False)
    app.conf.update(
        task_signing_keys={"old": OLD, "new": NEW},
        task_signing_key_id="new",
        task_require_signature=True,
    )
    assert app.site.signing == signing({"old": OLD, "new": NEW})
    assert app.eager_site.signing is None


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAWAY_TASK_SIGNING_KEYS", json.dumps({"new": PRIVATE}))
    monkeypatch.setenv("CARAWAY_TASK_SIGNING_KEY_ID", "new")
    site = Caraway("shop", set_as_current=False).site
    assert site.signing is not None
    assert site.signing.value_of({}) == signing({"new": PRIVATE}).value_of({})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task_require_signature": True}, "task_require_signature needs keys"),
        ({"task_signing_key_id": "new"}, "task_signing_key_id needs keys"),
        (
            {"task_signing_keys": {"2026-11": NEW}, "task_signing_key_id": "2026-12"},
            r"is none of task_signing_keys.*'2026-11'",
        ),
        ({"task_signing_keys": {"new": "hunter2"}}, r"\['new'\]: the secret has 7 bytes"),
        ({"task_signing_keys": {"new\n": NEW}}, "is no id of a key"),
        ({"task_signing_keys": {"x" * 65: NEW}}, "is no id of a key"),
        ({"task_signing_keys": {"new": "-----BEGIN hunter2"}}, "expected an Ed25519 key"),
        pytest.param(
            {"task_signing_keys": {"new": private_pem(PAIR, b"hunter2")}},
            "expected an Ed25519 key",
            id="encrypted",
        ),
        pytest.param(
            {"task_signing_keys": {"new": private_pem(generate_private_key(SECP256R1()))}},
            "expected an Ed25519 key",
            id="of another kind",
        ),
    ],
    ids=str,
)
def test_keys_that_cannot_be_say_so_and_are_not_shown(changes: dict[str, Any], said: str) -> None:
    app = Caraway("shop", set_as_current=False)
    app.conf.update(changes)
    with pytest.raises(ImproperlyConfigured, match=said) as raised:
        _ = app.site
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("given", ["hunter2", ["hunter2"], {"new": 5}, {5: "hunter2"}, {"": NEW}])
def test_keys_of_another_shape_are_refused_and_not_shown(given: Any) -> None:
    app = Caraway("shop", set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match=r"task_signing_keys = \.\.\.") as raised:
        app.conf.task_signing_keys = given
    assert "hunter2" not in str(raised.value)


def test_nothing_that_is_printed_shows_a_key() -> None:
    app = Caraway("shop", set_as_current=False)
    app.conf.update(task_signing_keys={"new": NEW, "pair": PRIVATE}, task_signing_key_id="new")
    shown = f"{app.conf!r} {app.conf['task_signing_keys']} {app.site!r} {dict(app.conf)}"
    assert "new" in shown
    assert NEW not in shown
    assert PRIVATE.splitlines()[1] not in shown


def test_ed25519_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'caraway\[signing\]'"):
        signing({"new": PRIVATE})
