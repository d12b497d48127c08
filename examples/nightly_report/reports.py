"""A report of each day's sales, made in the night and kept in S3."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caraway import Caraway
from caraway.schedules import crontab

if TYPE_CHECKING:
    from collections.abc import Mapping

app = Caraway("reports")
app.conf.update(
    timezone="Asia/Seoul",
    beat_schedule={
        "nightly": {"task": "reports.nightly", "schedule": crontab(hour=2, minute=30)},
    },
)

SALES = Path(__file__).parent / "data" / "sales.csv"


@app.task(bind=True)
def nightly(self: Any, day: date | None = None) -> dict[str, str]:
    """Report the sales of a day, by default of the day before the one it was due on.

    The day comes from the schedule, not from a clock: a report that is late, or made again, is
    still that of its day. Made twice it is the same object with the same content.
    """
    if day is None:
        due = self.request.scheduled_time or datetime.now(timezone.utc)  # by hand: now
        day = due.astimezone(app.timezone).date() - timedelta(days=1)
    totals = sales_of(day)
    where = put(f"reports/{day}.csv", as_csv(totals))
    return {"where": where, "total": str(sum(totals.values(), Decimal()))}


def sales_of(day: date) -> dict[str, Decimal]:
    """Add up what was sold on a day; your database's part."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    with SALES.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["day"] == str(day):
                totals[row["product"]] += Decimal(row["amount"])
    return dict(sorted(totals.items()))


def as_csv(totals: Mapping[str, Decimal]) -> str:
    """Write a report."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["product", "total"])
    writer.writerows(totals.items())
    return text.getvalue()


def put(key: str, text: str) -> str:
    """Put a report where reports are kept; say where that is."""
    import boto3

    # A bucket of your own on AWS; the one that the stack has will do here.
    bucket = os.environ.get("REPORTS_BUCKET") or app.conf.payload_bucket or ""
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="text/csv")
    return f"s3://{bucket}/{key}"
