"""What the documentation says is so: its Python runs, its links lead somewhere, its names exist."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import re
import shlex
import sys
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click
import pytest

import caraway
import caraway.core.errors
from caraway import (
    AsyncResult,
    Caraway,
    Context,
    GroupResult,
    Queue,
    Signature,
    Task,
    current,
    exceptions,
    signals,
)
from caraway.aws.memory import MemoryAws
from caraway.base import AppBase
from caraway.beat import schedules_of
from caraway.celery_settings import REPLACEMENTS
from caraway.cli import main
from caraway.cli.celery_habits import COMMANDS, GLOBAL_OPTIONS, WORKER_OPTIONS
from caraway.contrib.celery import app as celery_app
from caraway.contrib.celery import utils as celery_utils
from caraway.contrib.celery.utils import log as celery_log
from caraway.contrib.django import DjangoTask
from caraway.control import Control
from caraway.core import codec
from caraway.core.claim_check import Store, unpack
from caraway.core.codec import decode
from caraway.core.compression import NAMES, compression
from caraway.core.decoding import decoders
from caraway.core.disposition import Delete, Delivery
from caraway.core.envelope import parse_envelope
from caraway.core.executor import Executor
from caraway.core.message import Message, read_message
from caraway.core.options import NO_MEANING, OPTIONS
from caraway.core.policies import KINDS as POLICY_KEYS
from caraway.core.policies import Policy
from caraway.core.port import run_now
from caraway.core.record import Record
from caraway.core.run_history import Run
from caraway.core.schedule_entries import ScheduleEntry
from caraway.core.serializers import BUILT_IN, Accepted
from caraway.core.signing import Signing
from caraway.current import current_app
from caraway.declare import _NEEDLESS, _REFUSED
from caraway.requests.sqs import (
    ChangeMessageVisibility,
    DeleteMessage,
    ReceiveMessages,
    SendMessage,
)
from caraway.schedules import BaseSchedule
from caraway.schedules.solar import EVENTS
from caraway.setting_mapping import _NO_SETTINGS
from caraway.settings import SETTINGS
from caraway.timetable import Schedules
from caraway.utils.graph import DependencyGraph
from tests.model.config import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md") for page in ROOT.glob(pattern)
)
FORMAT = (ROOT / "docs/message-format.md").read_text()
GUIDE = (ROOT / "docs/guide.md").read_text()
PAGE_OF_ERRORS = (ROOT / "docs/errors.md").read_text()
PAGE_OF_COMMANDS = (ROOT / "docs/cli.md").read_text()
WITH_NAMES = [
    ROOT / name
    for name in (
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs/glossary.md",
        "docs/errors.md",
        "docs/extending.md",
        "docs/guide.md",
        "docs/migrating-from-celery.md",
        "docs/django.md",
    )
]
"""Pages whose names in backticks are looked up; the settings have a test of their own."""

PAGES_THAT_RUN = [
    "README.md",
    "docs/canvas.md",
    "docs/extending.md",
    "docs/guide.md",
    "docs/migrating-from-celery.md",
    "docs/security.md",
]
ARGUMENTS = {"disable_sync_subtasks", "dispatch_uid", "no_ack", "on_interval", "on_message"}
"""Names of arguments: they are attributes of nothing."""
PERIODIC_TASK = {
    *("date_changed", "expire_seconds", "last_run_at", "one_off", "start_time", "total_run_count")
}
"""Fields of django-celery-beat's model."""


@pytest.fixture(autouse=True)
def _no_declarations_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a page declares for every app end with the page's test."""
    monkeypatch.setattr(current, "_declarations", list(current._declarations))


# -- reading Markdown ------------------------------------------------------------------------


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


def without_fences(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", without_fences(text))


def shell_lines(text: str) -> list[str]:
    """Return what is typed: lines of console blocks, indented lines, and spans."""
    console = [
        line.lstrip("$ ")
        for block in fenced(text, "(?:console|bash|sh)")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    indented = re.findall(r"^    (\S.*)$", without_fences(text), re.MULTILINE)
    return [re.sub(r"\s+#.*", "", line) for line in [*console, *indented, *spans(text)]]


def table_after(text: str, heading: str) -> list[str]:
    """Return the first cells of the table below a heading, without backticks."""
    section = re.split(r"^#+ ", text.split(f"\n## {heading}\n", 1)[1], flags=re.MULTILINE)[0]
    rows = section.partition("|---|")[2]
    return re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {
        slug(heading)
        for heading in re.findall(
            r"^#+ (.+)$", without_fences(page.read_text()), flags=re.MULTILINE
        )
    }


# -- running Python --------------------------------------------------------------------------

REAL_PORT: Final = AppBase.__dict__["aws"]


@dataclass
class Account(MemoryAws):
    """An account in memory with a worker: it works while its caller waits."""

    time: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        app = current_app()
        executor = Executor(self, app.site, app.tasks, door="docs")
        for queue in app.site.router.queues.values():
            url = f"memory://{queue.sqs_name(app.conf.queue_name_prefix)}"
            for message in await self.perform(ReceiveMessages(url)):
                delivery = Delivery(message.body, queue, 360, group_id=message.group_id)
                done = await executor.execute(delivery)
                receipt = message.receipt_handle
                if isinstance(done, Delete):
                    await self.perform(DeleteMessage(url, receipt))
                else:
                    await self.perform(ChangeMessageVisibility(url, receipt, done.visible_in_s))

    def work(self) -> None:
        """Let the worker finish what there is."""
        for _ in range(100):
            run_now(self.sleep(60))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    """Give every app one account in memory; what a page makes is forgotten afterwards."""
    account = Account()
    monkeypatch.setattr(Caraway, "aws", account)
    monkeypatch.setattr(Caraway, "aio", account)
    monkeypatch.setattr("caraway.current._current", None)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return account


async def run_block(code: str, namespace: dict[str, Any], where: str) -> None:
    """Run code statement by statement; what a literal in a comment says of one must be so."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        is_expression = isinstance(node, ast.Expr)
        tree = ast.Expression(node.value) if isinstance(node, ast.Expr) else ast.Module([node], [])
        compiled = compile(
            tree,
            where,
            "eval" if is_expression else "exec",
            ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        value = eval(compiled, namespace)
        if asyncio.iscoroutine(value):
            value = await value
        comment = lines[(node.end_lineno or 1) - 1][node.end_col_offset :].partition("# ")[2]
        try:
            expected = ast.literal_eval(comment)
        except (SyntaxError, ValueError):
            continue
        assert value == expected, f"{where}: {ast.unparse(node)} is {value!r}, not {comment}"


def run_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the Python of a page, from top to bottom, as a user would type it.

    A block that begins with ``# name.py`` is that module; the others share one namespace. One that
    uses moto gets the port that it is there for.
    """
    typed: dict[str, Any] = {"__name__": "__main__"}
    for place, block in enumerate(fenced(page.read_text(), "python"), start=1):
        code = dedent(block)
        named = re.match(r"# (\w+)\.py\n", code)
        namespace = typed
        if named:
            module = ModuleType(named[1])
            monkeypatch.setitem(sys.modules, named[1], module)
            namespace = vars(module)
        where = f"{page.name}, block {place}"
        with monkeypatch.context() as changed:
            if "mock_aws" in code:
                changed.setattr(Caraway, "aws", REAL_PORT)
            asyncio.run(run_block(code, namespace, where))
            current_app().close()


@pytest.mark.parametrize("name", PAGES_THAT_RUN)
def test_the_python_on_a_page_runs(
    name: str,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = ROOT / name
    run_page(page, monkeypatch)
    account.work()
    printed = capsys.readouterr().out
    promised = re.findall(r"print\(error\) +# (.+)$", page.read_text(), re.MULTILINE)
    assert [line for line in promised if line.removesuffix(" ...") not in printed] == []
    dead = [queue for queue, messages in account.queues.items() if "-dlq" in queue and messages]
    assert dead == []


def test_the_schedules_of_the_guide_are_rules(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(ROOT / "docs/guide.md", monkeypatch)
    app = sys.modules["shop"].app.finalize()
    made = schedules_of(app, account.now())
    assert [rule.expression for rule in made] == [
        "cron(0/5 * * * ? *)",
        "cron(* * * * ? *)",
        "cron(0 7,8 * * ? *)",
        "cron(0 0 1 1 ? 2040)",
        "cron(30 22 ? * SUN *)",
        "cron(0 * * * ? *)",
        "cron(0 * * * ? *)",
    ]


# -- links -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    lost = []
    for path, anchor in re.findall(
        r"\]\(((?!https?:)[^)#\s]*)(?:#([^)\s]*))?\)", without_fences(page.read_text())
    ):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(f"{path}#{anchor}")
    assert lost == []


CONTENTS_FROM = 250
"""Lines from which on a page says what is on it."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_long_page_begins_with_what_is_on_it(page: Path) -> None:
    text = without_fences(page.read_text())
    if len(page.read_text().splitlines()) < CONTENTS_FROM or page.name == "README.md":
        return
    beginning, *_ = text.partition("\n## ")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [each for each in headings if f"](#{slug(each)})" not in beginning] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "index.md" and f"]({page})" not in index] == []


# -- names -----------------------------------------------------------------------------------


def fault_of_command(line: str) -> str | None:
    """Return what is wrong with ``caraway ...`` as it is typed."""
    words = [word for word in shlex.split(line)[1:] if word not in ("|", "...")]
    command: click.Command = main
    options = {name for each in main.params for name in each.opts}
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        if found is None:
            return f"{line}: no such command"
        command = found
        options |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    if command.name == "dev" and "--" in words:  # what follows is for the worker
        at = words.index("--")
        if fault := fault_of_command(shlex.join(["caraway", "worker", *words[at + 1 :]])):
            return fault
        words = words[:at]
    unknown = [word for word in words if re.match(r"--?[a-zA-Z]", word) and word not in options]
    return f"{line}: {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists(page: Path) -> None:
    lines = [line for line in shell_lines(page.read_text()) if re.match(r"caraway [a-z-]", line)]
    assert [fault for line in lines if (fault := fault_of_command(line))] == []


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Return all commands below one, each with what is typed for it."""
    if not isinstance(command, click.Group):
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield f"{name} {each}".strip(), found
        yield from commands(found, f"{name} {each}".strip())


def test_the_page_of_the_command_line_lists_every_command() -> None:
    table = PAGE_OF_COMMANDS.partition("| command |")[2].partition("\n\n")[0]
    assert [
        name for name in main.list_commands(click.Context(main)) if f"`{name}`" not in table
    ] == []


@pytest.mark.parametrize(("name", "command"), list(commands(main)))
def test_every_option_of_a_command_is_on_its_page(name: str, command: click.Command) -> None:
    page = (ROOT / "docs/local.md").read_text() if name == "dev" else PAGE_OF_COMMANDS
    options = [
        option
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden
        for option in (*each.opts, *each.secondary_opts)
        if option.startswith("--") and option != "--app"
    ]
    assert [name for name in options if not re.search(rf"{name}(?![\w-])", page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_of_a_page_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [
        target
        for line in shell_lines(page.read_text())
        for target in re.findall(r"^make ([a-z0-9-]+)", line)
    ]
    assert [name for name in named if name not in targets] == []


VALUES = (Context, Message, Queue, Record, Run, ScheduleEntry)


def known_names() -> set[str]:
    """Return all that a page may call by its name."""
    classes: list[type] = [
        DjangoTask,
        Caraway,
        AsyncResult,
        GroupResult,
        DependencyGraph,
        Signature,
        Context,
        Queue,
        Message,
        Record,
        BaseSchedule,
        Control,
        Schedules,
    ]
    return {
        *SETTINGS,
        *REPLACEMENTS,
        *OPTIONS,
        *POLICY_KEYS,
        *vars(Policy()),
        *EVENTS,
        *NO_MEANING,
        *_NEEDLESS,
        *_REFUSED,
        *caraway.__all__,
        *vars(exceptions),
        *vars(signals),
        *vars(celery_app),
        *vars(celery_utils),
        *vars(celery_log),
        *signals.NO_MEANING,
        *(name for each in signals.SIGNALS.values() for name in each.arguments),
        *vars(Caraway(set_as_current=False)),
        *(name for each in classes for name in dir(each)),
        *(each.name for kind in VALUES for each in fields(kind)),
        *(f"-{name}".strip("-") for name in COMMANDS),
    }


@pytest.mark.parametrize("page", WITH_NAMES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_on_a_page_exists(page: Path) -> None:
    known = known_names() | ARGUMENTS | PERIODIC_TASK
    named = {
        match[1]
        for span in spans(page.read_text())
        if (match := re.fullmatch(r"(?:self\.|app\.)?([a-z]\w*_\w+)(?:=.*|\(.*)?", span))
    }
    assert sorted(named - known) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_on_a_page_exists(page: Path) -> None:
    known = {f"CARAWAY_{name.upper()}" for name in SETTINGS} | _NO_SETTINGS | {"CARAWAY_TRACEBACK"}
    named = set(re.findall(r"\bCARAWAY_[A-Z_]+[A-Z]\b", page.read_text()))
    assert sorted(named - known) == []


def test_every_exception_of_the_error_page_exists() -> None:
    named = re.findall(r"`(?:caraway\.exceptions\.)?([A-Z][a-z]+[A-Z]\w+)`", PAGE_OF_ERRORS)
    unknown = [name for name in named if not hasattr(exceptions, name)]
    assert [name for name in unknown if name not in ("TypeError", "RuntimeError")] == []


def test_every_exception_is_on_the_error_page_or_has_no_need_to_be() -> None:
    raised = [
        name
        for name, each in vars(exceptions).items()
        if isinstance(each, type) and issubclass(each, exceptions.CarawayError)
    ]
    bases = {"OperationalError", "TaskError", "TaskPredicate"}
    by_users = {"Retry", "Ignore", "Reject"}
    inner = {"DecodeError", "InvalidMessage", "InvalidTaskError", "LocalError", "PayloadMissing"}
    assert [
        name
        for name in raised
        if name not in bases | by_users | inner and f"{name}`" not in PAGE_OF_ERRORS
    ] == []


@pytest.mark.parametrize("refused", [WORKER_OPTIONS, GLOBAL_OPTIONS, COMMANDS])
def test_the_page_of_migration_has_a_sentence_for_all_that_the_command_line_refuses(
    refused: dict[str, str],
) -> None:
    page = (ROOT / "docs" / "migrating-from-celery.md").read_text()
    names = [name for several in refused for name in several.split()]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_room_and_folder_of_the_contributing_page_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = re.findall(r"`([a-z]+)`", "".join(re.findall(r"^\| `.*?\|", text, re.MULTILINE)))
    source = Path(caraway.__file__).parent
    assert [room for room in rooms if not list(source.glob(f"{room}*"))] == []
    folders = re.findall(r"^\| `(tests/\w+)`", text, re.MULTILINE)
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def cells_below(text: str, heading: str) -> set[str]:
    """Return the names in the first cells of the first table below a heading."""
    below = re.split(rf"^#+ {heading}$", text, flags=re.MULTILINE)[1].partition("|---|")[2]
    rows = below.partition("\n\n")[0].splitlines()[1:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_guide_has_every_option_of_a_task() -> None:
    assert cells_below(GUIDE, "Options of a task") == {*Task.OPTIONS, "base"}


def test_the_guide_has_every_option_of_a_call() -> None:
    said = GUIDE.partition("A call takes ")[2].partition("Any other option raises")[0]
    assert set(re.findall(r"`(\w+)`", said)) == OPTIONS


def test_the_guide_has_every_field_of_a_queue_with_its_default() -> None:
    assert cells_below(GUIDE, "Queues and routing") == {each.name for each in fields(Queue)} - {
        "name"
    }
    queue = Queue("default")
    assert (queue.consumer, queue.visibility_timeout_s, queue.max_receive_count) == (
        "lambda",
        360,
        1000,
    )
    assert queue.retention_s == 14 * 86_400


def test_the_page_of_the_record_lists_every_configuration_that_is_explored() -> None:
    page = (ROOT / "docs/state-machine.md").read_text()
    listed = re.findall(
        r"^(\S.*?) +[\d,]+ states +[\d,]+ transitions .* sound$", page, re.MULTILINE
    )
    assert listed == list(CONFIGS)


# -- the message format ----------------------------------------------------------------------


def messages_of_the_format() -> list[str]:
    return [block for block in fenced(FORMAT, "json") if '"caraway"' in block]


def test_every_field_of_a_message_is_in_the_table() -> None:
    expected = {"caraway", "payload", "signature", *(each.name for each in fields(Message))}
    assert set(table_after(FORMAT, "Fields")) == expected


def test_every_message_of_the_format_can_be_read() -> None:
    for body in messages_of_the_format():
        message = read_message(parse_envelope(body))
        assert message.task.startswith("shop.")
        assert message.to_json().items() >= {"caraway": 1, "task": message.task}.items()


def test_the_signature_of_the_format_is_made_as_it_is_described() -> None:
    (text,) = [body for body in messages_of_the_format() if '"signature"' in body]
    signing = Signing.of({"2026-11": "s" * 32}, None, required=True)
    assert signing is not None
    signing.verify(json.loads(text), datetime.now(timezone.utc))


def test_the_body_on_the_command_line_is_the_smallest_message() -> None:
    (console,) = [block for block in fenced(FORMAT, "console") if "send-message" in block]
    quoted = console.split("--message-body", 1)[1].strip().lstrip("\\\n ")
    typed = json.loads("".join(shlex.split(quoted)))
    smallest = json.loads(messages_of_the_format()[0])
    assert {**typed, "id": ""} == {**smallest, "id": ""}


def test_the_smallest_message_runs_and_leaves_the_record_that_is_described(
    account: Account,
) -> None:
    app = Caraway("shop")
    sent: list[tuple[str, str]] = []

    @app.task(name="shop.send_email")
    def send_email(to: str, subject: str) -> int:
        sent.append((to, subject))
        return len(sent)

    body = messages_of_the_format()[0]
    run_now(account.perform(SendMessage("memory://default", body)))
    run_now(account.perform(SendMessage("memory://default", body)))
    account.work()
    assert sent == [("user@example.com", "Hello")]
    item = account.item("caraway-tasks", json.loads(body)["id"])
    assert item is not None
    assert (item["state"], item["phase"], item["result"]) == ("SUCCESS", "done", "1")
    described = table_after(FORMAT, "Results")
    assert described
    assert [name for name in described if name not in Record.__dataclass_fields__] == []


def test_every_tag_of_a_value_is_in_the_table() -> None:
    own = {name for name in decoders if name not in codec._registered}
    assert set(table_after(FORMAT, "Values")) == own | {"request", "exception"}
    assert {"request", "exception"} <= set(decoders)


def test_a_large_message_travels_as_it_is_described(account: Account) -> None:
    app = Caraway("shop")
    app.conf.update(payload_bucket="shop-payloads")
    id = app.send_task("shop.store", args=["x" * 300_000]).id
    (body,) = account.bodies("default")
    pointer = json.loads(body)
    (described,) = [json.loads(each) for each in messages_of_the_format() if '"s3"' in each]
    assert set(pointer) == set(described)
    assert set(pointer["payload"]) == set(described["payload"])
    digits = pointer["payload"]["sha256"][:16]
    (key,) = [key for _bucket, key in account.objects]
    assert key == f"messages/{id}/0-{digits}"
    assert pointer["payload"]["s3"] == f"s3://shop-payloads/{key}"
    assert "| `messages/{id}/{attempt}-{digits}` |" in FORMAT


def test_a_compressed_message_is_read_as_it_is_described() -> None:
    (body,) = [each for each in messages_of_the_format() if '"compression"' in each]
    message = run_now(unpack(MemoryAws(), Store(), body))
    assert (message.id, message.args) == ("echo-1", ("again and again",))
    described = table_after(FORMAT, "Compression")
    assert described == list(NAMES)
    for name in described:
        assert f"| `data:{compression(name).media_type};base64,` |" in FORMAT


def test_a_serialized_value_is_read_as_it_is_described() -> None:
    (body,) = [each for each in messages_of_the_format() if '"serialized"' in each]
    message = read_message(parse_envelope(body))
    accepted = Accepted.of(["msgpack"], "accept_content")
    assert [decode(each, accepted.read) for each in message.args] == [b"\xff\xd8", 100]
    built_in = {each.name: each for each in BUILT_IN}
    assert set(table_after(FORMAT, "Serialized values")) == set(built_in)
    for name, each in built_in.items():
        assert f"| `{name}` | `{each.content_type}` | `{each.content_encoding}` |" in FORMAT


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ("no message", ["reason", "queue"]),
        (messages_of_the_format()[0], ["reason", "queue", "task", "id"]),
    ],
    ids=["unreadable", "unknown"],
)
def test_a_dead_letter_has_the_attributes_that_are_described(
    body: str, attributes: list[str], account: Account
) -> None:
    Caraway("shop")
    run_now(account.perform(SendMessage("memory://default", body)))
    account.work()
    (dead,) = account.queues["default-dlq"]
    assert sorted(dead.request.attributes) == sorted(attributes)
    assert set(attributes) <= set(table_after(FORMAT, "Dead letters"))


def test_the_id_of_an_occurrence_is_made_as_it_is_described() -> None:
    (body,) = [each for each in messages_of_the_format() if '"schedule"' in each]
    text = "schedule\x1fadd-every-minute\x1f2030-01-31T07:30:00+00:00"
    digest = hashlib.sha256(text.encode()).digest()
    assert read_message(parse_envelope(body)).id == str(UUID(bytes=digest[:16], version=5))


def test_the_digest_is_made_as_it_is_described() -> None:
    message = read_message(parse_envelope(messages_of_the_format()[0]))
    called = [message.task, list(message.args), dict(message.kwargs)]
    text = json.dumps(called, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert message.digest == hashlib.sha256(text.encode()).hexdigest()[:32]
