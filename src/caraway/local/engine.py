"""The local engine: AWS's services on a loopback port of this machine, without Docker.

The engine is ministack, in an environment of its own. Its Lambda functions run under a bare
interpreter of the same Python: they see their package and nothing of the engine or of the caller.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from caraway.exceptions import LocalError
from caraway.local.cache import say_nothing
from caraway.local.environment import engine_environment, interpreter
from caraway.local.leftovers import remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from caraway.local.cache import Progress

HOST = "127.0.0.1"
DEFAULT_PORT = 4566
"""Where LocalStack and its relatives listen, so that other tools find the engine."""

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
# The engine runs functions with `sys.executable`, which would show them its own packages.
_RUN_ENGINE = """\
import runpy, sys
sys.executable = sys.argv.pop(1)
if sys.argv.pop(1) == "silent":
    from ministack.services import eventbridge, scheduler
    eventbridge.start_scheduler = scheduler.start_scheduler = lambda: None
runpy.run_module("ministack", run_name="__main__")
"""
_PREFIX = "caraway-engine-"
_START_S = 120.0  # one that ends instead is noticed at once
_STOP_S = 10.0
_SAVE_S = 20.0
_ANSWER_S = 1.0
_POLL_S = 0.03
_LAST_LINES = 15
_NOT_RESTORED = ("Failed to restore persisted state", "failed to load", "refusing to load")

# What the caller's environment may hold that would steer the engine or leak into its functions.
_NOT_INHERITED = ("AWS_", "CARAWAY_", "CONDA_", "LAMBDA_", "LOCALSTACK_", "MINISTACK_", "PYTHON")
_NOT_INHERITED_NAMES = {
    *("AUTH", "BIND_HOST", "EDGE_PORT", "GATEWAY_PORT", "LOG_LEVEL", "PERSIST_STATE", "SERVICES"),
    *("S3_DATA_DIR", "S3_PERSIST", "STATE_DIR", "TMPDIR", "USE_SSL", "VIRTUAL_ENV"),
}


class LocalEngine:
    """A running engine, as a context manager; it ends with the block, or with this process.

    However this process ends, SIGKILL included, the engine and the functions that it runs are
    killed and their temporary files are removed; what is left where all were killed at once, the
    next engine removes. (A child that this process forks without an exec
    keeps them alive; subprocesses do not.)

    Parameters
    ----------
    port
        None (the default): 4566 if it is free, else a free one. 0: any free one. Else that one.
    region
        The region that it plays.
    settings
        Environment variables for the engine itself, such as ``{"AUTH": "true"}`` (IAM is enforced).
        Its functions see them too.
    state
        Folder that keeps what the engine holds: it is read at the start and written at the end,
        also when this process is killed. None: nothing is kept.
    fires
        Whether it fires rules and schedules by itself: at a sweep each 10 s, in UTC, without a
        schedule's context attributes. False leaves it to :class:`caraway.local.firing.Firing`.
    log
        File for what the engine and its functions write; by default it is removed with the engine.
    progress
        Is told when the engine has to be installed first.

    Attributes
    ----------
    endpoint_url
        ``http://127.0.0.1:PORT``, once started.
    log
        The log file, once started.
    folder
        For files that are removed with the engine, once started.

    Examples
    --------
    >>> with LocalEngine(port=0) as engine:                                     # doctest: +SKIP
    ...     engine.client("sqs").create_queue(QueueName="default")
    """

    endpoint_url: str
    log: Path
    folder: Path

    def __init__(
        self,
        port: int | None = None,
        *,
        region: str = "us-east-1",
        settings: Mapping[str, str] | None = None,
        state: Path | None = None,
        fires: bool = True,
        log: Path | None = None,
        progress: Progress = say_nothing,
    ) -> None:
        self.region = region
        self._port = port
        self.state = state
        self._settings = (_keeping(state) if state else {}) | dict(settings or {})
        self._save_s = _SAVE_S if state else 0.0
        self._fires = fires
        self._log = log
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the engine and wait until it answers.

        Raises
        ------
        LocalError
            If it cannot be installed, or does not start: with the last lines of its log.
        """
        python = engine_environment(self._progress)
        remove_leftovers(_PREFIX)
        for port in _candidates(self._port):
            with contextlib.suppress(_PortTaken):
                self._start(python, port)
                return
        raise LocalError(
            f"Port {self._port} of {HOST} is in use: stop what listens there, or choose another"
            if self._port
            else f"No port of {HOST} could be had for the local engine; try again"
        )

    def stop(self) -> None:
        """Kill the engine and its functions, and remove their files. May be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        process.stdin.close()  # type: ignore[union-attr]  # the supervisor waits for exactly this
        try:
            process.wait(_STOP_S + self._save_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()

    def environ(self) -> dict[str, str]:
        """Environment variables that lead every AWS SDK to this engine."""
        variables = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }
        if any(name.lower() in {"http_proxy", "all_proxy"} for name in os.environ):
            variables.update(_past_the_proxy())
        return variables

    def client(self, service: str) -> Any:
        """Return a boto3 client of this engine, such as ``engine.client("sqs")``."""
        import boto3

        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the engine takes any
        )

    def _start(self, python: Path, port: int) -> None:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.endpoint_url = f"http://{HOST}:{port}"
        self.folder = folder
        self.log = self._log or folder / "engine.log"
        name = secrets.token_hex(8)
        environ = _engine_environ(port, folder, name, self.region) | self._settings
        try:
            with self.log.open("a+b") as log:
                arguments = [str(folder), str(self._save_s), str(python), "-I", "-c", _RUN_ENGINE]
                arguments += [_functions_interpreter(folder), "firing" if self._fires else "silent"]
                self._process = _spawn(arguments, folder, environ, log)
                _wait_until_it_answers(self._process, port, name, log)
                if self.state:
                    self._check_state(self._process, log)
        except BaseException:
            self.stop()
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _check_state(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        """Refuse to go on without what was kept: at its end the engine would write over it."""
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
        unread = [line for line in lines if any(words in line for words in _NOT_RESTORED)]
        if unread:
            process.terminate()  # the supervisor kills at once then, and nothing is written
            process.wait()
            raise LocalError(
                f"What is kept in {self.state} cannot be read: {unread[0].strip()}\n"
                "Remove that folder to begin anew, or use the version of Caraway that wrote it"
            )


def _functions_interpreter(folder: Path) -> str:
    functions = folder / "functions"
    venv.create(functions, symlinks=True)
    return str(interpreter(functions))


def _spawn(
    arguments: list[str], folder: Path, environ: Mapping[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the arguments are ours
        [sys.executable, "-I", "-S", str(_SUPERVISOR), *arguments],
        env=environ,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for the caller, who then stops the engine
    )


def _wait_until_it_answers(
    process: subprocess.Popen[bytes], port: int, name: str, log: IO[bytes]
) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        if _health(port).get("edition") == name:
            return
        time.sleep(_POLL_S)
    # Through the open file: its name may be gone with the engine's folder already.
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
    if any("already in use" in line for line in lines):
        raise _PortTaken
    raise LocalError(
        "The local engine did not start; its log ends with:\n"
        + "\n".join(f"    {line}" for line in lines)
    )


class _PortTaken(Exception):  # noqa: N818 - never seen outside
    """Somebody was faster to listen on the port."""


def _candidates(port: int | None) -> Iterator[int]:
    if port:
        yield port
        return
    if port is None and _is_free(DEFAULT_PORT):
        yield DEFAULT_PORT
    # A port that is free now may be taken when the engine gets there.
    for _ in range(3):
        with socket.create_server((HOST, 0)) as listener:
            free = int(listener.getsockname()[1])
        yield free


def _is_free(port: int) -> bool:
    # Asked by connecting: a listener on all interfaces does not always keep 127.0.0.1 from binding.
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def _health(port: int, patience_s: float = _ANSWER_S) -> dict[str, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=patience_s)
    try:
        connection.request("GET", "/_ministack/health")
        answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}


def _engine_environ(port: int, folder: Path, name: str, region: str) -> dict[str, str]:
    inherited = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(_NOT_INHERITED) and variable not in _NOT_INHERITED_NAMES
    }
    return inherited | {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": region,
        # Shown by the health check: this engine answers, not another one on the same port.
        "MINISTACK_EDITION": name,
        "TMPDIR": str(folder),
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        # These would listen on ports of their own.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        **_past_the_proxy(),
    }


def _keeping(folder: Path) -> dict[str, str]:
    return {
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
    }


def _past_the_proxy() -> dict[str, str]:
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    own = f"{HOST},localhost"  # the engine writes queue URLs with localhost
    hosts = f"{known},{own}" if known else own
    return {"no_proxy": hosts, "NO_PROXY": hosts}
