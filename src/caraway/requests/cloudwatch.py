"""Requests to CloudWatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.lean import dataclass
from caraway.requests.base import Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

METRIC_DATA_LIMIT: Final = 500
"""Metrics in one request ("GetMetricData", Amazon CloudWatch API Reference)."""


@dataclass(frozen=True)
class OldestMessageAges(Request["dict[str, float]"]):
    """Read how old the oldest message of each queue is; answers seconds by the queue's name.

    SQS itself does not say. It reports the age to CloudWatch once a minute, some minutes late, and
    not at all for a queue that nobody has used for six hours: such a queue is not in the answer
    ("Available CloudWatch metrics for Amazon SQS").

    Parameters
    ----------
    queues
        Names in SQS, at most 500.
    since, until
        The newest report between these is taken.
    """

    service: ClassVar[str] = "cloudwatch"
    operation: ClassVar[str] = "get_metric_data"

    queues: tuple[str, ...]
    since: datetime
    until: datetime

    def params(self) -> dict[str, Any]:
        return {
            "MetricDataQueries": [
                {
                    "Id": f"q{place}",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/SQS",
                            "MetricName": "ApproximateAgeOfOldestMessage",
                            "Dimensions": [{"Name": "QueueName", "Value": name}],
                        },
                        "Period": 60,
                        "Stat": "Maximum",
                    },
                }
                for place, name in enumerate(self.queues)
            ],
            "StartTime": self.since,
            "EndTime": self.until,
            "ScanBy": "TimestampDescending",
        }

    def answer(self, response: Mapping[str, Any]) -> dict[str, float]:
        return {
            self.queues[int(result["Id"].removeprefix("q"))]: float(result["Values"][0])
            for result in response["MetricDataResults"]
            if result["Values"]
        }
