"""What the console shows."""

import json
from dataclasses import replace

import pytest

from aden import Attribution, CallRecord, create_console_emitter
from aden.core.decision import Decision
from aden.core.line import pretty_line
from aden.core.money import NanoUSD
from aden.core.usage import Usage

RECORD = CallRecord(
    id="op",
    at=0.0,
    provider="openai",
    asked_model="gpt-4o",
    model="gpt-4o-mini",
    usage=Usage(1200, 80, 1024),
    cost=NanoUSD(151_200),
    decision=Decision("degrade", "hook", "hook", model="gpt-4o-mini"),
    attribution=Attribution(session_id="mock-job-1234"),
    attempts=1,
    ttft_ms=43.2,
    latency_ms=170.4,
    budget_id="calls",
    percent_used=83.25,
    pid=4711,
)


def test_a_line_says_everything_that_one_looks_for() -> None:
    """Time, job, models, tokens, cost, latency, share of the budget, decision and who decided."""
    line = pretty_line(RECORD)
    for part in (
        "job-1234/4711",
        "gpt-4o → gpt-4o-mini",
        "1200 in / 1024 cached / 80 out",
        "$0.000151",
        "ttft 43 ms, 170 ms",
        "83.2 % of calls",
        "degrade (by hook)",
    ):
        assert part in line


def test_an_estimate_is_marked() -> None:
    """Nobody takes a guess for a bill."""
    line = pretty_line(replace(RECORD, usage=Usage(10, 5, estimated=True), stream_end="abandoned"))
    assert "~10 in / 0 cached / ~5 out" in line
    assert "~$0.000151" in line
    assert line.endswith("abandoned")


def test_speech_is_shown_in_its_own_units() -> None:
    """Seconds and characters, where no tokens are counted."""
    heard = replace(RECORD, usage=Usage(audio_input_ms=12_300, estimated=True))
    assert " ~12.3s heard " in pretty_line(heard)
    spoken = replace(RECORD, usage=Usage(audio_output_ms=4000, characters=60))
    assert " 4.0s spoken / 60 characters " in pretty_line(spoken)


def test_both_voices_of_a_degrade_with_a_delay_are_named() -> None:
    """The policy degrades, the hook delays."""
    decision = Decision(
        "degrade", "policy", "policy", model="m", delay_ms=2000, delay_source="hook"
    )
    line = pretty_line(replace(RECORD, decision=decision))
    assert "degrade (by policy) + throttle 2000 ms (by hook)" in line


def test_a_refusal_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """And by whom."""
    decision = Decision("block", "exhausted", "hook", "Budget exhausted")
    refused = replace(RECORD, decision=decision, error_type="X", attempts=0, ttft_ms=None)
    create_console_emitter(pretty=True)(refused)
    line = capsys.readouterr().out
    assert "cancel (by hook: exhausted)" in line
    assert "not sent" in line


def test_without_pretty_a_line_is_json_that_reads_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For a log shipper."""
    create_console_emitter(pretty=False)(RECORD)
    line = capsys.readouterr().out
    assert json.loads(line)["cost"] == 151_200
    assert CallRecord.from_json(line) == RECORD
