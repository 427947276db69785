"""`stt.FallbackAdapter`: what it lets listen besides is booked, and ends with its own stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from lane_kit import Lane, held, spent, until
from livekit.agents import stt
from speech_provider import Ear, SpeechProvider, frame

from aden import Budget

BUDGET = Budget("calls", "1")


@pytest.fixture
async def speech() -> AsyncIterator[SpeechProvider]:
    """A speech provider on a local socket, whose first connection fails."""
    async with SpeechProvider(statuses=[500]).running() as provider:
        yield provider


@asynccontextmanager
async def recovering(speech: SpeechProvider, **options: Any) -> AsyncIterator[Any]:
    """An adapter's stream whose first STT has failed, and is tried again beside the second."""
    ears: list[stt.STT[Any]] = [Ear(speech, **options), Ear(speech, **options)]
    adapter = stt.FallbackAdapter(ears, max_retry_per_stt=0)
    stream = adapter.stream()
    try:
        await until(lambda: len(speech.bill) == 2)
        yield stream
    finally:
        await stream.aclose()
        await adapter.aclose()


async def _hears(stream: Any, speech: SpeechProvider, *lengths: int) -> None:
    for length in lengths:
        stream.push_frame(frame(length))
    await until(lambda: all(item.heard_ms == sum(lengths) for item in speech.bill))
    await asyncio.sleep(0.05)  # and the report is back


async def test_a_recovery_that_outlives_its_stream_is_booked_and_holds_nothing(
    lane: Lane, speech: SpeechProvider
) -> None:
    """LiveKit closes the stream, and lets the recovery listen to nobody until the STT is closed."""
    with lane.instrumented(budgets=[BUDGET]):
        async with recovering(speech) as stream:
            await _hears(stream, speech, 500, 200)
            assert held(lane, BUDGET) > 0
            await stream.aclose()
            await until(lambda: held(lane, BUDGET) == 0)
            assert sum(record.usage.audio_input_ms or 0 for record in lane.records) == 1400
            assert spent(lane, BUDGET) == speech.nano_usd
        assert spent(lane, BUDGET) == speech.nano_usd
        assert held(lane, BUDGET) == 0
    shown = [span for span in lane.spans() if "aden.cost.usd" in (span.attributes or {})]
    assert len(shown) == 4  # of each stream, what was told and its tail


async def test_what_a_recovery_tells_late_is_booked_and_not_twice(
    lane: Lane, speech: SpeechProvider
) -> None:
    """A report may come when the stream is closed already."""
    speech.report_every_ms = 0
    with lane.instrumented(budgets=[BUDGET]):
        async with recovering(speech) as stream:
            await _hears(stream, speech, 700)
            (recovery,) = stream._recovering_streams
            await stream.aclose()
            await until(lambda: spent(lane, BUDGET) == speech.nano_usd)
            for told in (0.7, 0.5):  # what was estimated, and what had waited in the plugin
                recovery._event_ch.send_nowait(_report(told))
            await asyncio.sleep(0.05)
            assert sum(record.usage.audio_input_ms or 0 for record in lane.records) == 1900
            assert held(lane, BUDGET) == 0
        assert sum(record.usage.audio_input_ms or 0 for record in lane.records) == 1900
        assert held(lane, BUDGET) == 0


def _report(seconds: float) -> stt.SpeechEvent:
    usage = stt.RecognitionUsage(audio_duration=seconds)
    return stt.SpeechEvent(type=stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage)


async def test_a_recovery_that_is_billed_by_its_time_is_booked_until_it_ends(
    lane: Lane, speech: SpeechProvider
) -> None:
    """LiveKit keeps it connected, so the provider bills on."""
    options = {"model": "universal-streaming", "owner": "AssemblyAI"}

    def connected() -> int:
        return sum(record.usage.session_ms or 0 for record in lane.records)

    with lane.instrumented(budgets=[BUDGET]):
        async with recovering(speech, **options) as stream:
            await _hears(stream, speech, 100)
            await stream.aclose()
            await until(lambda: held(lane, BUDGET) == 0)
            before = connected()
            assert before > 0
            await asyncio.sleep(0.3)
        assert held(lane, BUDGET) == 0
        assert connected() >= before + 300
