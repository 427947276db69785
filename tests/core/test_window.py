"""Windows tile time: every moment is in exactly one, in every zone, summer time or not."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aden.core.window import PERIODS, SLICES, Period, Rolling, Span, Window, slice_of
from aden.errors import ConfigurationError

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # summer time began at midnight, which that day did not have
    "America/Havana",  # goes back from 1:00 to 0:00: midnight comes twice
    "Asia/Kolkata",  # half an hour off
    "Pacific/Apia",  # left out 2011-12-30 altogether
    "Australia/Lord_Howe",  # summer time is half an hour
    "Pacific/Chatham",  # goes back from 3:45 to 2:45
]
MOMENTS = st.floats(0, 4_000_000_000) | st.integers(0, 4_000_000_000).map(float)
CALENDAR = [period for period in PERIODS if period not in ("total", "session")]


def unix(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> float:
    """The unix second of a wall-clock time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@given(now=MOMENTS, period=st.sampled_from(CALENDAR), zone=st.sampled_from(ZONES))
@example(unix("2018-11-04T01:30", "America/Sao_Paulo"), "day", "America/Sao_Paulo")
@example(unix("2026-11-01T00:30", "America/Havana", fold=1), "day", "America/Havana")
@example(unix("2026-10-25T02:30", fold=1), "hour", "Europe/Berlin")
@example(unix("2026-04-05T01:45", "Australia/Lord_Howe", fold=1), "hour", "Australia/Lord_Howe")
@example(unix("2026-04-05T02:50", "Pacific/Chatham", fold=1), "hour", "Pacific/Chatham")
def test_windows_tile_time(now: float, period: Period, zone: str) -> None:
    """A window holds its moment, up to its end; there the next one begins: no gap, no overlap."""
    window = Window(period, zone)
    span = window.at(now)
    assert span.ends_at is not None
    assert now < span.ends_at

    following = window.at(span.ends_at)

    assert window.at(_before(span.ends_at)) == span
    assert following.id != span.id
    assert following.ends_at is not None
    assert following.ends_at > span.ends_at


@given(now=MOMENTS, later=MOMENTS, period=st.sampled_from(PERIODS), zone=st.sampled_from(ZONES))
def test_an_id_is_one_window_and_a_window_has_one_id(
    now: float, later: float, period: Period, zone: str
) -> None:
    """Two moments share an id exactly when they share an end."""
    one, other = Window(period, zone).at(now), Window(period, zone).at(later)

    assert (one.id == other.id) == (one.ends_at == other.ends_at)


def _before(moment: float) -> float:
    """A millisecond before, which a double and a datetime can both tell apart."""
    return moment - 0.001


@pytest.mark.parametrize(
    ("period", "now", "id_", "end"),
    [
        ("hour", "2026-07-15T10:59:59", None, "2026-07-15T11:00"),
        ("day", "2026-07-15T00:00", "day:2026-07-15", "2026-07-16T00:00"),
        ("day", "2026-07-15T23:59:59", "day:2026-07-15", "2026-07-16T00:00"),
        ("week", "2026-07-15T12:00", "week:2026-07-13", "2026-07-20T00:00"),
        ("week", "2026-07-19T23:59", "week:2026-07-13", "2026-07-20T00:00"),
        ("month", "2026-07-31T23:59", "month:2026-07-01", "2026-08-01T00:00"),
        ("month", "2026-12-31T23:59", "month:2026-12-01", "2027-01-01T00:00"),
        ("month", "2028-02-29T12:00", "month:2028-02-01", "2028-03-01T00:00"),
        # 29 March 2026 has 23 hours in Berlin, 25 October has 25; both are one day.
        ("day", "2026-03-29T12:00", "day:2026-03-29", "2026-03-30T00:00"),
        ("day", "2026-10-25T12:00", "day:2026-10-25", "2026-10-26T00:00"),
        ("week", "2026-03-29T01:00", "week:2026-03-23", "2026-03-30T00:00"),
        ("month", "2026-10-01T00:00", "month:2026-10-01", "2026-11-01T00:00"),
    ],
)
def test_windows_follow_the_wall_clock(period: Period, now: str, id_: str | None, end: str) -> None:
    """Monday begins a week, the first a month, midnight a day, as people in the zone see it."""
    span = Window(period, "Europe/Berlin").at(unix(now))

    assert span == Span(id_ or span.id, unix(end))


def test_a_day_at_the_change_of_summer_time_is_an_hour_shorter_or_longer() -> None:
    """The day's length follows the clock on the wall."""
    day = Window("day", "Europe/Berlin")
    spring, autumn = unix("2026-03-29T00:00"), unix("2026-10-25T00:00")

    assert (day.at(spring).ends_at or 0) - spring == 23 * 3600
    assert (day.at(autumn).ends_at or 0) - autumn == 25 * 3600


def test_a_repeated_hour_is_an_hour_of_its_own() -> None:
    """At the end of summer time 2:30 comes twice, in two windows; in spring it does not come."""
    hour = Window("hour", "Europe/Berlin")
    first, second = unix("2026-10-25T02:30"), unix("2026-10-25T02:30", fold=1)
    assert second - first == 3600
    assert hour.at(first).ends_at == second - 1800
    assert hour.at(first).id != hour.at(second).id

    before = unix("2026-03-29T01:30")
    assert hour.at(before).ends_at == unix("2026-03-29T03:00") == before + 1800


def test_zones_differ_in_what_day_it_is() -> None:
    """The same moment is Tuesday in Kolkata and Monday in New York."""
    now = datetime(2026, 7, 13, 20, 0, tzinfo=UTC).timestamp()

    assert Window("day", "Asia/Kolkata").at(now).id == "day:2026-07-14"
    assert Window("day", "America/New_York").at(now).id == "day:2026-07-13"


def test_a_total_budget_never_ends() -> None:
    """One window for the budget's whole life."""
    assert Window().at(0) == Window("total", "Asia/Tokyo").at(4e9) == Span("total", None)


@given(seconds=st.integers(1, 10_000_000), spent=MOMENTS, later=st.floats(0, 2.1))
@example(3_600, 1_700_000_000.0, 1.0)
def test_spend_counts_for_the_whole_rolling_window_and_at_most_a_slice_longer(
    seconds: int, spent: float, later: float
) -> None:
    """A limit over the slices that count is a limit over any *seconds*."""
    rolling = Rolling(seconds)
    now = spent + later * seconds

    counts = rolling.start(spent) in rolling.starts(now)

    if now - spent <= seconds - 0.001:
        assert counts
    if now - spent >= seconds + rolling.width:
        assert not counts
    assert counts == (now < (rolling.slice(rolling.start(spent)).ends_at or 0))
    assert len(rolling.starts(now)) <= 2 * SLICES + 2


@given(seconds=st.integers(1, 10_000_000), now=MOMENTS)
def test_spend_ahead_of_a_clock_that_was_set_back_still_counts(seconds: int, now: float) -> None:
    """It was spent just now, whatever the clock says."""
    rolling = Rolling(seconds)
    assert rolling.start(now) in rolling.starts(now - seconds / 2)


@given(seconds=st.integers(1, 10_000_000), now=MOMENTS, later=MOMENTS)
def test_ids_of_slices_sort_like_time_and_can_be_read_back(
    seconds: int, now: float, later: float
) -> None:
    """SQLite asks for a range of them."""
    rolling = Rolling(seconds)
    one, other = rolling.start(now), rolling.start(later)

    assert (rolling.slice(one).id < rolling.slice(other).id) == (one < other)
    assert slice_of(rolling.slice(one).id) == (rolling, one)
    assert slice_of("day:2026-07-15") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("rolling 90s", 90), ("rolling 15m", 900), ("rolling 24h", 86_400), ("rolling 7d", 604_800)],
)
def test_a_rolling_window_is_written_as_a_time(text: str, seconds: int) -> None:
    """A number and its unit."""
    assert Window(text).rolling == Rolling(seconds)


@pytest.mark.parametrize(
    "text", ["rolling", "rolling 0s", "15m", "rolling -5m", "rolling 1.5h", "rolling 367d", ""]
)
def test_any_other_way_to_write_it_is_a_wrong_setting(text: str) -> None:
    """The error shows how."""
    with pytest.raises(ConfigurationError, match="rolling 15m"):
        Window(text)


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../etc/passwd", "/etc/passwd", "\0"])
def test_an_unknown_zone_is_a_wrong_setting(zone: str) -> None:
    """The error names what would be a zone."""
    with pytest.raises(ConfigurationError, match="Europe/Berlin"):
        Window("day", zone)


def test_an_unknown_period_is_a_wrong_setting() -> None:
    """The error lists the periods."""
    with pytest.raises(
        ConfigurationError, match=r"total \| session \| month \| week \| day \| hour"
    ):
        Window("fortnight")
