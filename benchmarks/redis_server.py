"""A Redis server for the benchmark, behind a proxy that holds back what is asked.

``python -m benchmarks.redis_server PORT`` is the proxy: it prints its own port, and takes the
milliseconds of each line of its input as its latency from then on.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmarks.processes import ROOT

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
        self._proxy = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.redis_server", str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._proxy.stdin is not None
        assert self._proxy.stdout is not None
        self._said, self._told = self._proxy.stdout, self._proxy.stdin
        self.environ = {"BENCH_BROKER": f"redis://{HOST}:{int(self._said.readline())}/0"}
        return self

    def __exit__(self, *_: object) -> None:
        self._told.close()
        self._proxy.wait()
        self._said.close()
        self._server.terminate()
        self._server.wait()

    def latency(self, ms: float) -> None:
        """Hold back each piece of what is asked for so long."""
        self._told.write(f"{ms}\n")
        self._told.flush()
        self._said.readline()

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


class Proxy:
    """Passes bytes on, in order, those of a client a little later."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._latency_s = 0.0

    async def serve(self) -> None:
        """Listen until the input ends."""
        server = await asyncio.start_server(self._client, HOST, 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            self._latency_s = float(line) / 1000
            print(flush=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(HOST, self._port)
        await asyncio.gather(self._pass(reader, ours, later=True), self._pass(theirs, writer))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, later: bool = False
    ) -> None:
        events = asyncio.get_running_loop()
        due = events.time()
        with suppress(ConnectionError):  # a client was killed
            while piece := await reader.read(65_536):
                if later and self._latency_s:
                    # Whatever is under way already is not waited for: pieces overlap.
                    due = max(due, events.time() + self._latency_s)
                    events.call_at(due, writer.write, piece)
                else:
                    writer.write(piece)
        writer.close()


if __name__ == "__main__":
    asyncio.run(Proxy(int(sys.argv[1])).serve())
