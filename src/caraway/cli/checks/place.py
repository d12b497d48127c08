"""Region, endpoint, credentials and clock."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from caraway.aws.whereabouts import whereabouts
from caraway.cli.checks.findings import Finding, ok, problem, refused
from caraway.cli.output import duration
from caraway.exceptions import EndpointUnreachable, OperationalError, RegionMissing
from caraway.requests.sts import GetCallerIdentity

if TYPE_CHECKING:
    from caraway.cli.checks.findings import Patient

SKEW_S: Final = 60.0
"""AWS refuses requests that are five minutes off; this leaves time to mend the clock."""


async def check_place(patient: Patient) -> list[Finding]:
    """Look at where AWS is, and at who asks; without these nothing else can be looked at."""
    try:
        where = whereabouts(patient.app.client_settings)
    except OperationalError as error:
        return [refused(_subject(error), error)]
    region = ok("region", where.region)
    try:
        identity = await patient.aws.perform(GetCallerIdentity())
    except OperationalError as error:
        return [region, refused(_subject(error), error)]
    source = f", from {where.credentials}" if where.credentials else ""
    return [
        region,
        ok("endpoint", where.endpoint_url),
        ok("credentials", f"{identity.arn} (account {identity.account}{source})"),
        _clock(patient.aws.now()),
    ]


def _subject(error: OperationalError) -> str:
    if isinstance(error, RegionMissing):
        return "region"
    return "endpoint" if isinstance(error, EndpointUnreachable) else "credentials"


def _clock(aws_time: datetime) -> Finding:
    """Compare this machine's clock with AWS's, which the port knows from the dates of answers."""
    off_s = (datetime.now(timezone.utc) - aws_time).total_seconds()
    if abs(off_s) < SKEW_S:
        return ok("clock", f"within {duration(max(1.0, abs(off_s)))} of AWS's")
    direction = "ahead of" if off_s > 0 else "behind"
    return problem(
        "clock",
        f"this machine is {duration(abs(off_s))} {direction} AWS",
        "let NTP set it: AWS refuses requests that are more than 5 minutes off",
    )
