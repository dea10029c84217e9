"""Times and durations on the command line."""

import argparse
import time

import pytest

from barnabas.cli.times import datetime_ms, duration_ms, iso_time, since_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-24T18:00:00Z", 1795543200000),
        ("2026-11-24T19:00:00+01:00", 1795543200000),
        ("2026-11-24T18:00:00", 1795543200000),
        ("2026-11-24T18:00:00.123Z", 1795543200123),
        ("2026-11-24", 1795478400000),
        ("20261124", 1795478400000),
        ("1795543200123", 1795543200123),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, ms: int) -> None:
    assert datetime_ms(text) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        ("250ms", 250),
        ("1.5s", 1500),
        ("PT1H30M", 5_400_000),
        ("P1DT2H", 93_600_000),
        ("p2w", 1_209_600_000),
        ("0s", 0),
    ],
)
def test_durations_are_read_short_and_in_iso_8601(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "P", "PT", "10", "1x", "m", "-5m", "1m1h", "１h x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a duration"):
        duration_ms(text)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "12"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        datetime_ms(text)
    with pytest.raises(argparse.ArgumentTypeError):
        since_ms(text)


@pytest.mark.parametrize("text", ["99999999999999999999", "9" * 5000, "253402300800000"])
def test_a_time_that_no_calendar_has_is_refused(text: str) -> None:
    for parse in (datetime_ms, since_ms):
        with pytest.raises(argparse.ArgumentTypeError, match="after the year 9999"):
            parse(text)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "1969-12-31", "0001-01-01"])
def test_a_time_before_1970_is_0_and_no_sentinel_of_the_protocol(text: str) -> None:
    assert datetime_ms(text) == 0
    assert since_ms(text) == 0


@pytest.mark.parametrize("text", ["9" * 400 + "s", "P" + "9" * 20 + "W"])
def test_an_endless_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="longer than"):
        duration_ms(text)
    with pytest.raises(argparse.ArgumentTypeError, match="longer than"):
        since_ms(text)


def test_since_takes_a_duration_as_ago() -> None:
    assert abs(since_ms("1h") - (time.time() - 3600) * 1000) < 5000
    assert since_ms("2026-11-24") == 1795478400000


def test_a_timestamp_beyond_the_calendar_is_a_number() -> None:
    assert iso_time(1795543200123) == "2026-11-24T18:00:00.123Z"
    assert iso_time(2**62) == str(2**62)
