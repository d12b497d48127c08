"""Starts what the benchmarks run against, and asks it what it has counted.

>>> with Engine.stub(latency_ms=20) as engine:                                  # doctest: +SKIP
...     engine.client("sqs").create_queue(QueueName="bench")
...     engine.reset()
...     run_a_worker(env=engine.environ())
...     engine.counts().requests["sqs:ReceiveMessage"]
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caraway.local.environ import surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
# A proxy that the environment names is not for this machine's own addresses.
_directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Counts:
    """What an engine has been asked since :meth:`Engine.reset`.

    Attributes
    ----------
    requests
        By operation, such as ``sqs:SendMessageBatch``; 0 for what was not asked.
    entries
        Likewise: what travelled in them (messages, statements, keys), 1 for each that is no batch.
        Of a receive they are the messages that came.
    empty_receives
        Receives that were answered without a message; ``requests`` has them too.
    latency_ms
        What is added to the time of each request.
    cpu_s
        CPU that the engine has used since its start.
    """

    requests: Counter[str]
    entries: Counter[str]
    empty_receives: int
    latency_ms: float
    cpu_s: float

    @property
    def total(self) -> int:
        """All requests but the empty receives."""
        return self.requests.total() - self.empty_receives


class Engine:
    """An engine in a process of its own, as a context manager; it ends with the block.

    Parameters
    ----------
    arguments
        The module below ``benchmarks.engine`` that is run, and its options.

    Attributes
    ----------
    url
        Its address, once started.
    """

    url: str

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def stub(cls, latency_ms: float = 0.0) -> Self:
        """Return SQS and DynamoDB in memory; see :mod:`benchmarks.engine.stub`."""
        return cls("stub", f"--latency-ms={latency_ms}")

    @classmethod
    def proxy(cls, target: str, latency_ms: float = 0.0) -> Self:
        """Return a counting proxy in front of a real engine, such as the local engine's URL.

        Before a ``redis://`` its :attr:`address` is what a client is given, and it counts turns.
        See :mod:`benchmarks.engine.proxy`.
        """
        return cls("proxy", f"--target={target}", f"--latency-ms={latency_ms}")

    @property
    def address(self) -> str:
        """``HOST:PORT`` of it, once started."""
        return self.url.removeprefix("http://")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._command()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.__exit__()
            raise RuntimeError(f"{self._arguments[0]} did not start: see what it wrote")
        return self

    def _command(self) -> Sequence[str]:
        module, *options = self._arguments
        return f"benchmarks.engine.{module}", *options, "--until-eof"

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(60)
        process.stdout.close()

    # -- what it is asked ---------------------------------------------------------------------

    def counts(self) -> Counts:
        """Return what it has been asked."""
        told = self._ask("GET", "counts")
        requests, entries = Counter(told.pop("requests")), Counter(told.pop("entries"))
        return Counts(requests, entries, **told)

    def reset(self) -> None:
        """Begin to count anew; queues and tables stay as they are."""
        self._ask("POST", "reset")

    def latency(self, ms: float) -> None:
        """Let each request take longer, from the next one on."""
        self._ask("POST", f"latency?ms={ms}")

    def cpu_s(self) -> float:
        """Return the CPU that it has used since its start, in seconds."""
        return self.counts().cpu_s

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/_bench/{path}", method=method)
        with _directly.open(request, timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    # -- who asks it --------------------------------------------------------------------------

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment for a process whose AWS is this engine.

        The caller's own, without what it says of AWS and Caraway.
        """
        return surroundings({**self.aws(), **(more or {})})

    def aws(self) -> dict[str, str]:
        """Return the variables that lead every AWS SDK to this engine."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of it, such as ``engine.client("sqs")``."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}),
        )
