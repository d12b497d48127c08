"""The lines of a Lambda function: to the letter those of Powertools."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from caraway.workers import json_lines as lines
from caraway.workers.json_lines import JsonLines, json_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    Formatters = tuple[JsonLines, LambdaPowertoolsFormatter]

TRACE = "_X_AMZN_TRACE_ID"


@pytest.fixture
def both() -> Formatters:
    return JsonLines(), LambdaPowertoolsFormatter()


def record_of(msg: object, *args: object, **about: Any) -> logging.LogRecord:
    logger = logging.getLogger("caraway.sample")
    made = logger.makeRecord(
        logger.name, about.pop("level", logging.INFO), "sample.py", 7, msg, args, None, "sample"
    )
    vars(made).update(about)
    return made


def assert_the_same(both: Formatters, *records: logging.LogRecord) -> None:
    for record in records:
        ours, powertools = (each.format(record) for each in both)
        assert ours == powertools


def an_error() -> Any:
    try:
        raise ValueError("bad")
    except ValueError:
        return sys.exc_info()


@pytest.mark.parametrize(
    "record",
    [
        record_of("Task %s[%s] succeeded in %.4fs: %s", "add", "1", 0.25, '"\n\u2028\N{SNOWMAN} %'),
        record_of("%(name)s", {"name": "Ada"}),
        record_of("no arguments, 100 %"),
        record_of('{"a": [1]}'),
        record_of({"a": "dictionary"}, 1),
        record_of("%s", "trouble", level=logging.ERROR, exc_info=an_error()),
        record_of("%s", "nothing", exc_info=(None, None, None)),
        record_of("%s", "stack", stack_info="Stack"),
        record_of("%s", "extra", order=7, customer={"name": "Ada"}),
        record_of("%s", "later", taskName="Task-7"),
        record_of("%s", "later", taskName=None),
        record_of("%s", "by another formatter", message="before", asctime="before"),
        record_of("%s", "level", levelname='so "so"'),
        record_of("%s", "thread", threadName="aws_0"),
    ],
    ids=lambda record: str(record.msg),
)
def test_a_line_is_that_of_powertools(both: Formatters, record: logging.LogRecord) -> None:
    assert_the_same(both, record)


@pytest.mark.parametrize(
    "keys",
    [
        {"service": "shop", "sampling_rate": None, "function_request_id": "100 %(name)s"},
        {"100 %": 1, "yes": True, "rate": 0.5, "none": None},
        {"order": {"id": 7}, "items": [1, 2]},
        {"location": "%(module)s", "thread": "%(threadName)s"},
        {"location": None},
        {"timestamp": ""},
        {"level": "%(levelname)s"},
        {"message": "is of the record"},
        {"exception": "of mine", "stack_trace": "of mine", "xray_trace_id": "of mine"},
        {"xray_trace_id": None},
        {"taskName": "of mine"},
    ],
    ids=" ".join,
)
def test_keys_that_are_appended_are_in_the_lines_that_follow(
    both: Formatters, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for trace in ("", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=5;Sampled=1"):
        monkeypatch.setenv(TRACE, trace)
        records = record_of("%s", "a"), record_of("%s", "b", taskName="Task-7")
        assert_the_same(both, *records)
        for each in both:
            each.append_keys(**keys)
        assert_the_same(both, *records)
        for each in both:
            each.remove_keys([*keys, "location"])
        assert_the_same(both, *records)
        for each in both:
            each.clear_state()
        assert_the_same(both, *records)


def test_records_of_each_python_have_the_name_of_a_task_in_their_lines(
    both: Formatters, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [record_of("%s", "a", taskName=name) for name in ("Task-7", None)]
    monkeypatch.setattr(lines, "_ATTRIBUTES", len(vars(records[0])))  # as from Python 3.12 on
    assert_the_same(both, *records)


def test_keys_of_a_thread_or_of_a_block_are_in_its_lines(both: Formatters) -> None:
    for each in both:
        with each.append_context_keys(order=7):
            assert json.loads(each.format(record_of("%s", "a")))["order"] == 7
    assert_the_same(both, record_of("%s", "b"))
    both[0].thread_safe_append_keys(customer="Ada")
    try:
        assert_the_same(both, record_of("%s", "c"))
    finally:
        both[0].thread_safe_clear_keys()
    assert_the_same(both, record_of("%s", "d"))


def test_times_are_those_of_the_records(both: Formatters) -> None:
    times = [(1_800_000_000.0, 0.0), (1_800_000_000.9, 999.9), (1_800_000_001.5, 500.0), (5.0, 7.0)]
    assert_the_same(both, *(record_of("%s", "a", created=at, msecs=ms) for at, ms in times))


@pytest.mark.filterwarnings("ignore:POWERTOOLS_DEV")
def test_in_a_terminal_lines_are_indented_as_those_of_powertools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POWERTOOLS_DEV", "1")
    assert_the_same((JsonLines(), LambdaPowertoolsFormatter()), record_of("%s", "a"))


def test_a_logger_of_the_same_service_appends_to_the_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = Logger(service="json-lines", logger_formatter=json_lines())
    Logger(service="json-lines").append_keys(order=7)
    first.info("%s", "a")
    first.structure_logs(customer="Ada")
    first.info("%s", "b")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["service"], each.get("order"), each.get("customer")) for each in said] == [
        ("json-lines", 7, None),
        ("json-lines", None, "Ada"),
    ]


def changed(_self: object, _record: logging.LogRecord) -> str:
    return "{}"


def gone(_self: object, _record: logging.LogRecord) -> str:
    raise AttributeError


@pytest.mark.parametrize("writes", [changed, gone])
def test_a_powertools_that_writes_other_lines_writes_them_itself(
    writes: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(json_lines(), JsonLines)
    monkeypatch.setattr(LambdaPowertoolsFormatter, "format", writes)
    assert json_lines() is None
