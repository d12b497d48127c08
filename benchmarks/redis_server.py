"""A Redis server for the benchmark, behind a proxy that holds back what is asked."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.engine.client import Engine
from caraway.local.environ import surroundings

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"
OURS = {"info", "config|resetstat"}
"""Commands of the benchmark itself."""
_PATIENCE_S = 10.0


def is_installed() -> bool:
    """Say whether there is a server on PATH."""
    return shutil.which("redis-server") is not None


class Redis:
    """A server and its proxy, as a context manager."""

    name = "redis"

    def __enter__(self) -> Self:
        self._port = _free_port()
        self._server = subprocess.Popen(
            ["redis-server", "--port", str(self._port), "--bind", HOST, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        self._await()
        self._proxy = Engine.proxy(f"redis://{HOST}:{self._port}").__enter__()
        self.environ = surroundings({"BENCH_BROKER": f"redis://{self._proxy.address}/0"})
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.__exit__()
        self._server.terminate()
        self._server.wait()

    def latency(self, ms: float) -> None:
        """Hold back what is asked for so long."""
        self._proxy.latency(ms)

    def counts(self) -> Counter[str]:
        """Return the commands since the last reset, by name."""
        counted = Counter[str]()
        for line in self._ask("INFO commandstats").splitlines():
            if line.startswith("cmdstat_"):
                command, _, figures = line.removeprefix("cmdstat_").partition(":")
                if command not in OURS:
                    counted[command] = int(figures.split(",")[0].removeprefix("calls="))
        return counted

    def reset(self) -> None:
        """Begin to count anew."""
        self._ask("CONFIG RESETSTAT")

    def _ask(self, command: str) -> str:
        """Ask the server, past the proxy; a bulk reply is read whole."""
        with socket.create_connection((HOST, self._port), timeout=_PATIENCE_S) as connection:
            connection.sendall(f"{command}\r\n".encode())
            with connection.makefile("rb") as replies:
                head = replies.readline().decode().strip()
                return replies.read(int(head[1:])).decode() if head[0] == "$" else head

    def _await(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if time.monotonic() > until:
                raise RuntimeError("redis-server does not answer")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return self._ask("PING") == "+PONG"
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
