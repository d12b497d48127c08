"""Where results are kept, and how: settings, from the app down to S3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caraway.exceptions import ImproperlyConfigured, InvalidOption
from caraway.requests.s3 import PutObject
from caraway.settings import Settings
from tests.stage import Stage


def in_s3(**conf: Any) -> Stage:
    return Stage(result_backend="s3", payload_bucket="bucket", **conf)


def puts(there: Stage) -> list[PutObject]:
    return [each for each in there.memory.requests if isinstance(each, PutObject)]


# -- S3 ---------------------------------------------------------------------------------------


def test_the_s3_backend_keeps_every_value_there_and_the_record_in_the_table() -> None:
    there = in_s3()
    result = there.app.task(name="give")(lambda: 5).delay()
    there.work()
    record = there.record(result.id)
    assert (record.phase, record.state) == ("done", "SUCCESS")
    assert record.result == f"s3://bucket/results/{result.id}/{record.token}"
    assert [put.body for put in puts(there)] == [b"5"]
    assert result.get() == 5


def test_the_s3_backend_keeps_failures_there_too() -> None:
    def fails() -> None:
        raise ValueError("secret")

    there = in_s3()
    result = there.app.task(name="fails")(fails).delay()
    there.work()
    assert "secret" not in (there.record(result.id).result or "")
    with pytest.raises(ValueError, match="secret"):
        result.get()


def test_none_and_what_is_ignored_need_no_object() -> None:
    there = in_s3()
    there.app.task(name="none")(lambda: None).delay()
    there.app.task(name="ignored", ignore_result=True)(lambda: 5).delay()
    there.work()
    assert puts(there) == []


def test_a_callback_takes_a_value_that_is_kept_in_s3() -> None:
    there = in_s3()
    seen: list[int] = []
    give = there.app.task(name="give")(lambda: 5)
    result = give.apply_async(link=there.app.task(name="take")(seen.append).s())
    (message,) = there.sent()
    there.work_once()
    there.memory.queues["default"].clear()
    there.deliver(message)  # the same message once more: the value comes out of the record
    there.work()
    assert seen == [result.get()] == [5]


def test_settings_say_where_in_the_bucket_and_how() -> None:
    there = in_s3(
        s3_base_path="shop/",
        s3_storage_class="INTELLIGENT_TIERING",
        s3_kms_key_id="alias/shop",
        message_inline_limit_bytes=100,
    )
    result = there.app.task(name="echo")(lambda text: text).delay("x" * 200)
    there.work()
    assert result.get() == "x" * 200
    message, value = puts(there)
    assert message.key.startswith(f"shop/messages/{result.id}/0-")
    assert value.key.startswith(f"shop/results/{result.id}/")
    for put in (message, value):
        assert put.params().items() >= {
            ("StorageClass", "INTELLIGENT_TIERING"),
            ("ServerSideEncryption", "aws:kms"),
            ("SSEKMSKeyId", "alias/shop"),
        }


def test_s3_without_a_bucket_raises_at_the_first_call() -> None:
    with pytest.raises(ImproperlyConfigured, match="payload_bucket"):
        Stage(result_backend="s3").app.send_task("give")


def test_a_key_of_kms_contradicts_s3s_own_encryption() -> None:
    there = Stage(s3_server_side_encryption="AES256", s3_kms_key_id="alias/shop")
    with pytest.raises(ImproperlyConfigured, match="AES256"):
        there.app.send_task("give")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("s3_storage_class", "GLACIER"),  # cannot be read at once
        ("s3_server_side_encryption", "aes256"),
        ("s3_base_path", "a b/"),
        ("result_compression", "gzipp"),
        ("task_compression", 5),
        ("accept_content", "json"),
        ("accept_content", [5]),
    ],
)
def test_values_that_mean_nothing_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ImproperlyConfigured):
        Stage(**{setting: value})


def test_celery_writes_accepted_content_as_a_set_too() -> None:
    there = Stage(accept_content={"pickle", "json"})
    assert there.app.conf.accept_content == ("json", "pickle")


def test_the_environment_writes_accepted_content_as_names() -> None:
    conf = Settings({"CARAWAY_ACCEPT_CONTENT": "json,msgpack", "CARAWAY_TASK_COMPRESSION": "xz"})
    assert (conf.accept_content, conf.task_compression) == (("json", "msgpack"), "lzma")


# -- compression ------------------------------------------------------------------------------


def compressions(there: Stage) -> list[Any]:
    """Return how each body on the queue is compressed, None for one that is not."""
    bodies = map(json.loads, there.memory.bodies("default"))
    return [body.get("payload", {}).get("compression") for body in bodies]


def test_the_call_goes_before_the_task_and_the_task_before_the_setting() -> None:
    there = Stage(task_compression="gzip")
    plain = there.app.task(name="plain")(len)
    own = there.app.task(name="own", compression="bzip")(len)
    text = "x" * 5_000
    plain.delay(text)
    own.delay(text)
    own.apply_async((text,), compression="zlib")
    there.app.send_task("elsewhere", (text,))
    plain.delay("short")
    assert compressions(there) == ["gzip", "bzip2", "zlib", "gzip", None]
    there.work()


def test_the_threshold_is_a_setting() -> None:
    there = Stage(task_compression="gzip", compression_threshold_bytes=500)
    there.app.send_task("echo", ("x" * 600,))
    assert compressions(there) == ["gzip"]


def test_a_compressed_task_runs_retries_and_calls_back() -> None:
    there = Stage(result_compression="zlib", compression_threshold_bytes=500)
    seen: list[int] = []

    @there.app.task(name="work", bind=True)
    def work(self: Any, text: str) -> str:
        if self.request.retries == 0:
            raise self.retry(args=(text * 2,), countdown=1)
        return text * 2

    measure = there.app.task(name="measure")(lambda text, factor: seen.append(len(text) * factor))
    link = measure.s(10).set(compression="bzip2")
    result = work.apply_async(("x" * 1_000,), compression="gzip", link=link)
    found = []
    while there.memory.bodies("default"):
        found += compressions(there)
        there.work_once()
    assert found == ["gzip", "gzip", "bzip2"]
    assert seen == [40_000]
    assert (there.record(result.id).result or "").startswith("data:application/zlib;base64,")
    assert result.get() == "x" * 4_000


def test_a_retry_may_change_the_compression() -> None:
    there = Stage(compression_threshold_bytes=500)

    @there.app.task(name="work", bind=True)
    def work(self: Any, text: str) -> None:
        if self.request.retries == 0:
            raise self.retry(compression="lzma")

    work.apply_async(("x" * 1_000,), compression="gzip")
    there.work_once()
    assert compressions(there) == ["lzma"]


def test_a_failed_tasks_message_is_kept_compressed() -> None:
    there = Stage(result_compression="gzip")
    result = there.app.task(name="fails")(lambda text: 1 / 0).delay("x" * 9_000)
    there.work()
    assert (there.record(result.id).message or "").startswith("data:application/gzip;base64,")


@pytest.mark.parametrize("compression", ["gzipp", 5])
def test_an_unknown_compression_in_a_call_raises(compression: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="compression"):
        Stage().app.send_task("echo", compression=compression)


def test_an_unknown_compression_of_a_task_raises_at_its_declaration() -> None:
    with pytest.raises(ImproperlyConfigured, match="no compression named 'gzipp', did you mean"):
        Stage().app.task(name="echo", compression="gzipp")(len)


def test_a_compression_that_is_no_name_is_an_invalid_option() -> None:
    with pytest.raises(InvalidOption, match="compression=5: expected a compression's name"):
        Stage().app.send_task("echo", compression=5)
