"""``caraway doctor``: what is missing or wrong, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from caraway.cli.checks.declarations import check_declarations
from caraway.cli.checks.findings import Finding, Patient
from caraway.cli.checks.place import check_place
from caraway.cli.checks.queues import check_queues
from caraway.cli.checks.scheduler import check_scheduler
from caraway.cli.checks.schedules import check_schedules
from caraway.cli.checks.store import check_bucket, check_table
from caraway.cli.errors import NOT_WELL
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, show_json, waiting_for
from caraway.cli.session import Session, pass_session
from caraway.core.port import run_now

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECKS: Final = (check_queues, check_table, check_bucket, check_scheduler, check_schedules)
_COLORS: Final = {"ok": "green", "note": "yellow", "problem": "red"}
_WIDTH: Final = len("problem")


@click.command("doctor")
@app_option
@json_option
@pass_session
def command(session: Session) -> None:
    """Look at the app and at AWS: what is missing or wrong, and how to mend it.

    \b
    caraway doctor -A shop:app
    caraway doctor -A shop:app --json

    It looks at region, endpoint, credentials and clock; at each queue, its dead-letter queue, its
    visibility timeout and who consumes it; at table, bucket, schedule, and the group and role of
    EventBridge Scheduler. It changes nothing. Exit code 1 says that it found a problem.
    """  # noqa: D301 - \b is click's
    app = session.app()
    findings = []
    for finding in _examine(Patient(app, app.aws)):
        findings.append(finding)
        if not session.as_json:
            _show(finding)
    problems = sum(finding.level == "problem" for finding in findings)
    notes = sum(finding.level == "note" for finding in findings)
    if session.as_json:
        show_json({"ok": not problems, "findings": [asdict(finding) for finding in findings]})
    else:
        click.echo(
            f"\n{count(problems, 'problem') if problems else 'No problem'}, "
            f"{count(notes, 'note') if notes else 'no note'}."
        )
    if problems:
        click.get_current_context().exit(NOT_WELL)


def _examine(patient: Patient) -> Iterator[Finding]:
    """Yield what each check finds; without a way to AWS there is nothing more to look at."""
    yield from run_now(check_declarations(patient))
    with waiting_for("looking at AWS"):
        place = run_now(check_place(patient))
    yield from place
    if any(finding.level == "problem" and finding.subject != "clock" for finding in place):
        return
    for check in _CHECKS:
        with waiting_for("looking at AWS"):
            found = run_now(check(patient))
        yield from found


def _show(finding: Finding) -> None:
    level = click.style(f"{finding.level:<{_WIDTH}}", fg=_COLORS[finding.level])
    click.echo(f"{level}  {click.style(finding.subject, bold=True)}: {finding.text}")
    if finding.remedy:
        click.echo(f"{'':<{_WIDTH}}  -> {finding.remedy}")
