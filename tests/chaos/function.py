"""The Lambda door of a run: the function of the template's package, with faults on its way to AWS.

The engine's own poller hands messages to the function directly, so what comes twice is injected
by invoking it with messages that were captured.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from botocore.exceptions import ClientError

from caraway.local.package import build_package
from tests.chaos import app
from tests.chaos.stage import ROOT, slowness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from caraway.local.engine import LocalEngine

NAME: Final = "chaos-worker"
TIMEOUT_S: Final = 14
"""Short, so that time-outs are soon over, and enough for any task that begins in its first 5 s, on
a machine that has time for it: a function that is cut off before it has done anything starts anew,
and so on."""
_HIDDEN_S: Final = 1
"""How long messages stay hidden after a time-out; until then also those of one that is killed."""
AT_ONCE: Final = 5
BATCH: Final = 10
_ACCOUNT: Final = "000000000000"


class Function:
    """The deployed function.

    Attributes
    ----------
    invoked
        Messages that it was invoked with once more.
    """

    def __init__(
        self,
        engine: LocalEngine,
        environ: Mapping[str, str],
        folder: Path,
        seed: int,
        share: float,
        queue: str,
    ) -> None:
        self._queue = f"chaos-{queue}"
        self.invoked = 0
        self._engine = engine
        self._environ = environ
        self._folder = folder
        self._rng = Random(f"invoked again {seed}")
        self._share = share

    def deploy(self) -> None:
        """Create the function and let the queue invoke it."""
        project = self._folder / "project"
        place = project / "tests" / "chaos" / "app.py"
        place.parent.mkdir(parents=True)
        shutil.copyfile(app.__file__, place)
        requirements = ROOT / "requirements" / "lambda.txt"
        package = build_package(self._folder / "build", requirements, [project / "tests"])
        timeout_s = round(TIMEOUT_S * slowness())
        functions = self._engine.client("lambda")
        functions.create_function(
            FunctionName=NAME,
            Runtime="python3.12",
            Role=f"arn:aws:iam::{_ACCOUNT}:role/chaos",
            Handler="caraway.workers.aws_lambda.handler",
            Code={"ZipFile": package.read_bytes()},
            Timeout=timeout_s,
            MemorySize=512,
            Environment={"Variables": {**self._environ, "CARAWAY_APP": "tests.chaos.app:app"}},
        )
        sqs = self._engine.client("sqs")
        url = sqs.get_queue_url(QueueName=self._queue)["QueueUrl"]
        hidden = {"VisibilityTimeout": str(timeout_s + _HIDDEN_S)}
        sqs.set_queue_attributes(QueueUrl=url, Attributes=hidden)
        functions.create_event_source_mapping(
            FunctionName=NAME,
            EventSourceArn=self._arn,
            BatchSize=BATCH,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            ScalingConfig={"MaximumConcurrency": AT_ONCE},
        )

    @property
    def _arn(self) -> str:
        return f"arn:aws:sqs:{self._engine.region}:{_ACCOUNT}:{self._queue}"

    def invoke_again(self, sent: Sequence[tuple[str, str]]) -> None:
        """Invoke the function with some of the messages that were sent to its queue."""
        bodies = [body for url, body in sent if url.endswith(f"/{self._queue}")]
        chosen = [body for body in bodies if self._rng.random() < self._share]
        functions = self._engine.client("lambda")
        for first in range(0, len(chosen), BATCH):
            several = chosen[first : first + BATCH]
            event = {"Records": [self._record(body) for body in several]}
            with suppress(ClientError):  # throttled: as many run as may
                functions.invoke(
                    FunctionName=NAME, InvocationType="Event", Payload=json.dumps(event)
                )
                self.invoked += len(several)

    def _record(self, body: str) -> dict[str, Any]:
        now_ms = str(int(time.time() * 1000))
        return {
            "messageId": str(uuid4()),
            "receiptHandle": str(uuid4()),
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "2",
                "SentTimestamp": now_ms,
                "SenderId": _ACCOUNT,
                "ApproximateFirstReceiveTimestamp": now_ms,
            },
            "messageAttributes": {},
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": self._arn,
            "awsRegion": self._engine.region,
        }
