"""Sizes and times of queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.model.query.quantities import (
    BEYOND,
    FIRST,
    GREATEST,
    read_count,
    read_period,
    read_size,
    write_last,
    write_period,
    write_size,
    write_start,
    write_time,
)

moments = st.integers(FIRST, BEYOND - 1)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("300", 300),
        ("300B", 300),
        ("1K", 1024),
        ("1k", 1024),
        ("1KB", 1024),
        ("1KiB", 1024),
        ("1.5M", 1572864),
        ("0.3K", 307),
        ("2G", 2 << 30),
        ("1T", 1 << 40),
        ("4096P", GREATEST),
        ("4097P", None),
        ("1.5", None),
        ("1.5B", None),
        ("", None),
        ("K", None),
        ("-1", None),
        ("+1", None),
        ("1 K", None),
        ("1e3", None),
        ("0x10", None),
        ("1_000", None),
        ("١", None),
        ("1Kib ", None),
        ("9" * 20, None),
    ],
)
def test_sizes(text, size):
    """Units are powers of 1024; what is no size is refused."""
    assert read_size(text) == size


@given(st.one_of(st.integers(0, GREATEST), st.integers(0, 4096).map(lambda n: n << 50), st.integers(0, 99999)))
def test_sizes_come_back(size):
    """A written size is read back exactly."""
    assert read_size(write_size(size)) == size


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("12", 12), ("", None), ("-1", None), ("²", None), ("9" * 19, None)]
)
def test_counts(text, count):
    """A count is plain digits."""
    assert read_count(text) == count


@pytest.mark.parametrize(
    ("text", "first", "beyond"),
    [
        ("1970", "1970-01-01T00:00:00.000Z", "1971-01-01T00:00:00.000Z"),
        ("2024", "2024-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
        ("2024-02", "2024-02-01T00:00:00.000Z", "2024-03-01T00:00:00.000Z"),
        ("2024-12", "2024-12-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-03-01T00:00:00.000Z"),
        ("2024-05-03T10:11Z", "2024-05-03T10:11:00.000Z", "2024-05-03T10:12:00.000Z"),
        ("2024-05-03T10:11:12Z", "2024-05-03T10:11:12.000Z", "2024-05-03T10:11:13.000Z"),
        ("2024-05-03t10:11:12z", "2024-05-03T10:11:12.000Z", "2024-05-03T10:11:13.000Z"),
        ("2024-05-03T10:11:12", "2024-05-03T10:11:12.000Z", "2024-05-03T10:11:13.000Z"),
        ("2024-05-03T10:11:12.5Z", "2024-05-03T10:11:12.500Z", "2024-05-03T10:11:12.600Z"),
        ("2024-05-03T10:11:12.123456Z", "2024-05-03T10:11:12.123Z", "2024-05-03T10:11:12.124Z"),
        ("2024-05-03T10:11:12+05:30", "2024-05-03T04:41:12.000Z", "2024-05-03T04:41:13.000Z"),
        ("2024-01-01T00:00:00-01:00", "2024-01-01T01:00:00.000Z", "2024-01-01T01:00:01.000Z"),
        ("0001", "0001-01-01T00:00:00.000Z", "0002-01-01T00:00:00.000Z"),
    ],
)
def test_periods(text, first, beyond):
    """A date or time is all that it leaves open."""
    period = read_period(text)
    assert period is not None
    assert (write_time(period[0]), write_time(period[1])) == (first, beyond)


@pytest.mark.parametrize(
    "text",
    [
        *("", "24", "02024", "2024-", "2024-1", "2024-13", "2024-00", "2024-02-30", "2023-02-29", "0000", "20240503"),
        *("2024-05-03T", "2024-05-03T10", "2024-05-03T24:00:00Z", "2024-05-03T10:60:00Z", "2024-05-03T10:11:60Z"),
        *("2024-05-03 10:11:12", "2024-05-03Z", "2024-05-03T10:11:12+24:00", "٢٠٢٤"),
        *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"),
    ],
)
def test_what_is_no_date(text):
    """Days that no calendar has, and forms that RFC 3339 does not know, are no dates."""
    assert read_period(text) is None


def test_the_last_year_has_an_end():
    """The end of the last year that can be written can be computed with, if not written."""
    assert read_period("9999") == (BEYOND - 365 * 86_400_000, BEYOND)


@given(moments)
def test_starts_and_ends_come_back(moment):
    """The text of a first or last moment is a period that begins or ends there."""
    assert read_period(write_start(moment))[0] == moment
    assert read_period(write_last(moment))[1] == moment + 1


@given(moments, moments)
def test_ranges_come_back(one, other):
    """The text of any period covers exactly that period."""
    first, last = sorted((one, other))
    low, _, high = write_period(first, last).partition("..")
    assert (read_period(low)[0], read_period(high or low)[1]) == (first, last + 1)
