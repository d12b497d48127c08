"""What published pages say of cron expressions, and what clocks that change do to crontabs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from caraway.core.cron import firing
from caraway.core.timing import Timing
from caraway.schedules import crontab
from tests.aws_cron import AwsCron

UTC = timezone.utc
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
"""A Wednesday."""


def occurrences(when: crontab, after: datetime, count: int) -> list[datetime]:
    """Return the next occurrences, each asserted to be one of the firings of its rule."""
    rule = firing(Timing(when), after)
    found: list[datetime] = []
    for _ in range(count):
        coming = when.after(found[-1] if found else after)
        assert coming is not None
        assert AwsCron(rule.expression).fires(coming)
        found.append(coming)
    if rule.covers_s is None:  # then nothing else fires in between
        read, minute = AwsCron(rule.expression), timedelta(minutes=1)
        between = int((min(found[-1], after + timedelta(days=3)) - after) / minute)
        fired = [after + minute * each for each in range(1, between + 1)]
        assert [at for at in fired if read.fires(at)] == [at for at in found if at <= fired[-1]]
    return found


# -- AWS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fires", "does_not"),
    [
        # "Cron expressions reference", Amazon EventBridge User Guide
        ("cron(0 10 * * ? *)", "2026-07-01 10:00", "2026-07-01 10:01"),
        ("cron(15 12 * * ? *)", "2026-07-01 12:15", "2026-07-01 12:00"),
        ("cron(0 18 ? * MON-FRI *)", "2026-07-03 18:00", "2026-07-04 18:00"),
        ("cron(0 8 1 * ? *)", "2026-07-01 08:00", "2026-07-02 08:00"),
        ("cron(0/15 * * * ? *)", "2026-07-01 08:45", "2026-07-01 08:50"),
        ("cron(0/10 * ? * MON-FRI *)", "2026-07-03 23:50", "2026-07-05 23:50"),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-07-03 17:55", "2026-07-03 18:00"),
        # "1/10 [...] the 11th, 21st, and 31st minute"; "1-15 includes days 1 through 15"
        ("cron(1/10 * * * ? *)", "2026-07-03 17:31", "2026-07-03 17:30"),
        ("cron(0 0 1-15 * ? *)", "2026-07-15 00:00", "2026-07-16 00:00"),
        ("cron(0 0 1 JAN,FEB,MAR ? *)", "2026-03-01 00:00", "2026-04-01 00:00"),
        ("cron(0 0 L * ? *)", "2026-02-28 00:00", "2026-03-28 00:00"),
        # "Schedule expression reference", Amazon CloudWatch Logs User Guide
        ("cron(0 */6 * * ? *)", "2026-07-03 18:00", "2026-07-03 16:00"),
        ("cron(0 8,12,17 ? * MON-FRI *)", "2026-07-03 17:00", "2026-07-04 12:00"),
        ("cron(0 12 ? * SUN *)", "2026-07-05 12:00", "2026-07-06 12:00"),
        ("cron(0 9 L * ? *)", "2028-02-29 09:00", "2028-02-28 09:00"),
        ("cron(0 10 1 1,4,7,10 ? *)", "2026-10-01 10:00", "2026-11-01 10:00"),
    ],
)
def test_the_reading_of_aws_agrees_with_the_examples_of_its_documentation(
    text: str, fires: str, does_not: str
) -> None:
    for time, due in ((fires, True), (does_not, False)):
        assert AwsCron(text).fires(datetime.fromisoformat(time)) is due


# -- Unix ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "next_three"),
    [
        # crontab(5): "five minutes after midnight, every day", "at 2:15pm on the first of every
        # month", "at 10 pm on weekdays", "23 minutes after midnight, 2am, 4am ..., everyday",
        # "at 5 after 4 every Sunday"
        ("5 0 * * *", ["07-02 00:05", "07-03 00:05", "07-04 00:05"]),
        ("15 14 1 * *", ["07-01 14:15", "08-01 14:15", "09-01 14:15"]),
        ("0 22 * * 1-5", ["07-01 22:00", "07-02 22:00", "07-03 22:00"]),
        ("23 0-23/2 * * *", ["07-01 12:23", "07-01 14:23", "07-01 16:23"]),
        ("5 4 * * sun", ["07-05 04:05", "07-12 04:05", "07-19 04:05"]),
        # What its nicknames stand for
        ("0 0 1 1 *", ["2027-01-01 00:00", "2028-01-01 00:00", "2029-01-01 00:00"]),
        ("0 0 1 * *", ["08-01 00:00", "09-01 00:00", "10-01 00:00"]),
        ("0 0 * * 0", ["07-05 00:00", "07-12 00:00", "07-19 00:00"]),
        ("0 0 * * *", ["07-02 00:00", "07-03 00:00", "07-04 00:00"]),
        ("0 * * * *", ["07-01 13:00", "07-01 14:00", "07-01 15:00"]),
        # Those that people look up most
        ("* * * * *", ["07-01 12:01", "07-01 12:02", "07-01 12:03"]),
        ("*/5 * * * *", ["07-01 12:05", "07-01 12:10", "07-01 12:15"]),
        ("*/2 * * * *", ["07-01 12:02", "07-01 12:04", "07-01 12:06"]),
        ("0,30 * * * *", ["07-01 12:30", "07-01 13:00", "07-01 13:30"]),
        ("0 */2 * * *", ["07-01 14:00", "07-01 16:00", "07-01 18:00"]),
        ("0 9-17 * * *", ["07-01 13:00", "07-01 14:00", "07-01 15:00"]),
        ("0 9 * * 1-5", ["07-02 09:00", "07-03 09:00", "07-06 09:00"]),
        ("0 0 * * 6,0", ["07-04 00:00", "07-05 00:00", "07-11 00:00"]),
        ("0 0 1 */3 *", ["10-01 00:00", "2027-01-01 00:00", "2027-04-01 00:00"]),
        ("0 0 1 */2 *", ["09-01 00:00", "11-01 00:00", "2027-01-01 00:00"]),
        ("0 0,12 1 */2 *", ["09-01 00:00", "09-01 12:00", "11-01 00:00"]),
        ("0 4 8-14 * *", ["07-08 04:00", "07-09 04:00", "07-10 04:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("0 0 31 * *", ["07-31 00:00", "08-31 00:00", "10-31 00:00"]),
        ("59 23 31 dec *", ["12-31 23:59", "2027-12-31 23:59", "2028-12-31 23:59"]),
        # Unix takes either day, Celery both: the first Monday, a Friday that is the thirteenth
        ("0 0 1-7 * mon", ["07-06 00:00", "08-03 00:00", "09-07 00:00"]),
        ("0 0 13 * fri", ["11-13 00:00", "2027-08-13 00:00", "2028-10-13 00:00"]),
        # Ranges that wrap, which Celery takes and Unix does not
        ("0 22-2 * * *", ["07-01 22:00", "07-01 23:00", "07-02 00:00"]),
        ("0 12 * * fri-mon", ["07-03 12:00", "07-04 12:00", "07-05 12:00"]),
    ],
)
def test_a_line_of_a_crontab_is_due_when_its_page_says(text: str, next_three: list[str]) -> None:
    due = [datetime.fromisoformat(f"2026-{at}" if len(at) < 12 else at) for at in next_three]
    found = occurrences(crontab.from_string(text, tz="UTC"), NOON, 3)
    assert found == [at.replace(tzinfo=UTC) for at in due]


# -- clocks that change --------------------------------------------------------------------------
#
#   New York     8 March 2026, 02:00 -> 03:00      1 November 2026, 02:00 -> 01:00
#   Berlin      29 March 2026, 02:00 -> 03:00     25 October 2026, 03:00 -> 02:00
#   Lord Howe    4 October 2026, 02:00 -> 02:30    5 April 2026, 02:00 -> 01:30
#   Apia        29 December 2011, 24:00 -> 31 December 2011, 00:00


@pytest.mark.parametrize(
    ("zone", "text", "after", "due"),
    [
        # Left out: half past two, once a year. Celery's beat runs it an hour later.
        ("America/New_York", "30 2 * * *", "2026-03-06T12", ["03-07T07:30", "03-09T06:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-03-27T12", ["03-28T01:30", "03-30T00:30"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-02T00", ["10-02T15:45", "10-04T15:15"]),
        # The minutes beside what is left out
        ("America/New_York", "59 1 * * *", "2026-03-07T12", ["03-08T06:59", "03-09T05:59"]),
        ("America/New_York", "0 3 * * *", "2026-03-07T12", ["03-08T07:00", "03-09T07:00"]),
        ("Australia/Lord_Howe", "30 2 * * *", "2026-10-03T00", ["10-03T15:30", "10-04T15:30"]),
        # What comes twice is due once, the first time
        ("America/New_York", "30 1 * * *", "2026-10-31T12", ["11-01T05:30", "11-02T06:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12", ["10-25T00:30", "10-26T01:30"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00", ["04-04T14:45", "04-05T15:15"]),
        # In every hour: also in the second of them
        (
            "America/New_York",
            "30 * * * *",
            "2026-11-01T04",
            ["11-01T04:30", "11-01T05:30", "11-01T06:30", "11-01T07:30"],
        ),
        (
            "Europe/Berlin",
            "0 * * * *",
            "2026-03-28T23:30",
            ["03-29T00:00", "03-29T01:00", "03-29T02:00"],
        ),
        (
            "Australia/Lord_Howe",
            "*/30 * * * *",
            "2026-04-04T14:01",
            ["04-04T14:30", "04-04T15:00", "04-04T15:30", "04-04T16:00"],
        ),
        # The same hour by the clock is another one in UTC, from a day on
        ("America/New_York", "0 9 * * *", "2026-03-06T20", ["03-07T14:00", "03-08T13:00"]),
        ("Europe/Berlin", "0 9 * * mon", "2026-03-22T12", ["03-23T08:00", "03-30T07:00"]),
        # A day that there was not
        ("Pacific/Apia", "0 9 * * *", "2011-12-28T20", ["2011-12-29T19:00", "2011-12-30T19:00"]),
        ("Pacific/Apia", "0 9 * * fri", "2011-12-24T20", ["2012-01-05T19:00"]),
        ("Pacific/Apia", "0 0 30 * *", "2011-12-01T00", ["2012-01-29T10:00"]),
    ],
)
def test_where_clocks_change_a_time_is_due_once_or_left_out(
    zone: str, text: str, after: str, due: list[str]
) -> None:
    first = datetime.fromisoformat(f"{after}:00" if len(after) < 16 else after)
    wanted = [datetime.fromisoformat(at if len(at) > 12 else f"{first.year}-{at}") for at in due]
    found = occurrences(crontab.from_string(text, tz=zone), first.replace(tzinfo=UTC), len(wanted))
    assert found == [at.replace(tzinfo=UTC) for at in wanted]
