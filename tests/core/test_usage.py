"""Counts as providers report them: nothing is not zero, and nonsense is nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden.core.usage import COUNTS, TOTALS, Usage, milliseconds, token_count

counts = st.one_of(st.none(), st.integers(0, 10**9))
usages = st.builds(Usage, **dict.fromkeys(COUNTS, counts))


@given(usages, usages)
def test_a_sum_keeps_what_nobody_reported_apart_from_zero(one: Usage, other: Usage) -> None:
    """A count is None only where neither reported it."""
    both = one + other
    for name in COUNTS:
        given = [count for each in (one, other) if (count := getattr(each, name)) is not None]
        assert getattr(both, name) == (sum(given) if given else None), name
    assert one + Usage() == one


@pytest.mark.parametrize("name", COUNTS)
def test_only_totals_make_a_bill(name: str) -> None:
    """Cached tokens alone say nothing about what was used; zero seconds do."""
    zero: Any = {name: 0}
    usage = Usage(**zero)
    assert usage.counted is (name in TOTALS)
    assert usage.in_tokens is (name not in TOTALS or name in ("input_tokens", "output_tokens"))


@pytest.mark.parametrize("value", [None, -1, 1.5, True, "7", 10**9 + 1, float("nan")])
def test_an_absurd_count_is_no_count(value: object) -> None:
    """Providers' mistakes do not become money."""
    assert token_count(value) is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, 0), (0.1, 100), (12.3456, 12346), (60, 60_000), (7 * 86_400, 604_800_000)],
)
def test_durations_are_kept_in_whole_milliseconds(seconds: float, expected: int) -> None:
    """The nearest one."""
    assert milliseconds(seconds) == expected


@pytest.mark.parametrize(
    "seconds",
    [None, -0.1, float("nan"), float("inf"), 1e300, True, "12", 7 * 86_400 + 1],
)
def test_an_absurd_duration_is_no_duration(seconds: object) -> None:
    """Also one that is longer than any connection."""
    assert milliseconds(seconds) is None
