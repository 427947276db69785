"""Money is integer nano-dollars; what a person writes is read exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden.core.money import MAX_USD, NANO, format_usd, parse_usd, to_usd
from aden.errors import ConfigurationError


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        ("25", 25 * NANO),
        ("0.50", NANO // 2),
        (" 1e-3 ", 1_000_000),
        (0, 0),
        (3, 3 * NANO),
        (0.1, 100_000_000),  # as it is printed, not as a double holds it
        (1e-9, 1),
        (Decimal("0.000000001"), 1),
        ("0.0000000001", 1),  # a fraction of a nano-dollar is rounded up, never to nothing
        (9_000_000, 9_000_000 * NANO),
    ],
)
def test_amounts_are_read_exactly(value: object, nano: int) -> None:
    """Strings, ints, Decimals, and floats as they are printed."""
    assert parse_usd(value, "limit_usd") == nano


@pytest.mark.parametrize(
    "value",
    ["", "ten", "1,5", "$5", "nan", "inf", -1, "-0.01", 9_000_000.01, "1e99999", True, None, [1],
     float("nan"), float("inf"), Decimal("sNaN")],
)  # fmt: skip
def test_what_is_no_amount_is_a_wrong_setting(value: object) -> None:
    """The error names the setting and what is allowed."""
    with pytest.raises(ConfigurationError, match=r"limit_usd=.*an amount in US dollars"):
        parse_usd(value, "limit_usd")


@given(st.integers(0, int(MAX_USD) * NANO))
def test_every_amount_survives_being_written_and_read(nano: int) -> None:
    """Nine places are all there are; doubles are exact up to the maximum."""
    assert parse_usd(format_usd(nano, places=9).removeprefix("$"), "x") == nano
    assert int(float(nano)) == nano


@given(st.decimals(0, MAX_USD, places=12))
def test_reading_never_loses_money(amount: Decimal) -> None:
    """The nano-dollars are the amount or less than one more."""
    assert 0 <= parse_usd(amount, "x") - amount * NANO < 1


def test_amounts_are_shown_for_people() -> None:
    """Six places unless said otherwise."""
    assert format_usd(1_234_000) == "$0.001234"
    assert format_usd(2_500, places=9) == "$0.000002500"
    assert to_usd(1_500_000_000) == 1.5
