"""Limits in seconds of speech, by the mechanism of the other units."""

from decimal import Decimal

import pytest

from aden.core.limit import MAX_SECONDS, Amounts, seconds
from aden.core.money import NanoUSD
from aden.core.usage import Usage
from aden.errors import ConfigurationError


@pytest.mark.parametrize(
    ("typed", "kept", "shown"),
    [
        (0, 0, "0.0 seconds"),
        (1, 1_000, "1.0 second"),
        (90, 90_000, "90.0 seconds"),
        (0.1, 100, "0.1 seconds"),
        ("12.5", 12_500, "12.5 seconds"),
        (Decimal("0.0001"), 1, "0.001 seconds"),
        (MAX_SECONDS, MAX_SECONDS * 1000, f"{MAX_SECONDS}.0 seconds"),
    ],
)
def test_seconds_are_kept_as_typed_in_milliseconds(typed: object, kept: int, shown: str) -> None:
    """Rounded up to the next millisecond."""
    limit = seconds(typed)  # type: ignore[arg-type]
    assert (limit.amount, limit.unit, limit.show(limit.amount)) == (kept, "seconds", shown)


@pytest.mark.parametrize(
    "typed", [-1, float("nan"), float("inf"), 1e300, "", "an hour", None, True, MAX_SECONDS + 1]
)
def test_what_is_no_duration_is_refused(typed: object) -> None:
    """The error names the unit, the value and what is allowed."""
    with pytest.raises(ConfigurationError, match=r"limit in seconds=.*seconds from 0 to"):
        seconds(typed)  # type: ignore[arg-type]


def test_speech_counts_both_ways() -> None:
    """Heard and spoken seconds fill the same limit; tokens do not."""
    usage = Usage(10, 20, audio_input_ms=1500, audio_output_ms=250)
    assert Amounts(NanoUSD(7), usage).of("seconds") == 1750
    assert Amounts(NanoUSD(7), Usage(10, 20)).of("seconds") == 0


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (Usage(session_ms=60_000), 60_000),
        (Usage(audio_input_ms=1500, session_ms=60_000), 1500),
        (Usage(audio_input_ms=0, session_ms=60_000), 0),
    ],
)
def test_a_session_counts_by_its_time_where_nobody_tells_its_speech(
    usage: Usage, counted: int
) -> None:
    """What was heard while a connection was open is not counted a second time by its time."""
    assert Amounts(NanoUSD(7), usage).of("seconds") == counted
