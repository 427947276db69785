"""TTS of any plugin: what the provider bills is what is booked, once, however it is spoken."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from caller import Speaker
from lane_kit import Lane, held, spent
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, tts
from livekit.agents.metrics import TTSMetrics
from livekit.plugins import openai
from pydantic import ValidationError
from speech_provider import MS_PER_CHARACTER, NANO_PER_CHARACTER, RATE, SpeechProvider, Voice, sound

from aden import Budget, CallRecord, RequestCancelledError
from aden.testing import OpenAIServer

BUDGET = Budget("calls", "1")
TEXT = "Breakfast is at seven. Dinner is at eight."
AT_ONCE = APIConnectOptions(retry_interval=0.0)


@pytest.fixture
async def speech() -> AsyncIterator[SpeechProvider]:
    """A speech provider on a local socket."""
    async with SpeechProvider().running() as provider:
        yield provider


async def said(stream: Any, *texts: str) -> float:
    """Seconds of sound that a stream makes of a text."""
    async with stream:
        for text in texts:
            stream.push_text(text)
        if texts:
            stream.end_input()
        return float(sum([event.frame.duration async for event in stream]))


WAYS: dict[str, Callable[[SpeechProvider], Any]] = {
    "whole": lambda p: said(Voice(p, streaming=False).synthesize(TEXT)),
    "streamed": lambda p: said(Voice(p).stream(), TEXT[:9], TEXT[9:]),
    "whole, by a stream": lambda p: said(Voice(p).synthesize(TEXT)),
    "sentence by sentence": lambda p: said(
        tts.StreamAdapter(tts=Voice(p, streaming=False)).stream(), TEXT
    ),
    "fallback, whole": lambda p: said(
        tts.FallbackAdapter([Voice(p, streaming=False), Voice(p)]).synthesize(TEXT)
    ),
    "fallback, streamed": lambda p: said(tts.FallbackAdapter([Voice(p)]).stream(), TEXT),
    "fallback, sentence by sentence": lambda p: said(
        tts.FallbackAdapter([Voice(p), Voice(p, streaming=False)]).stream(), TEXT
    ),
    "an adapter of one's own": lambda p: said(_Dubbed(Voice(p)).synthesize(TEXT)),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_text_is_charged_once_as_the_provider_bills_it(
    way: str, lane: Lane, speech: SpeechProvider
) -> None:
    """Adapters tell LiveKit of the same request again; that costs nothing."""
    with lane.instrumented(budgets=[BUDGET]):
        heard = await WAYS[way](speech)
        records = lane.records
        assert heard > 1
        assert speech.nano_usd > 0
        assert sum(record.cost for record in records) == speech.nano_usd
        assert [record.usage.characters for record in records] == [
            item.characters for item in speech.bill
        ]
        made = [item.characters * MS_PER_CHARACTER for item in speech.bill]
        assert [record.usage.audio_output_ms for record in records] == [
            pytest.approx(each, abs=10)
            for each in made  # LiveKit may add a mark of 10 ms
        ]
        assert {record.usage.estimated for record in records} == {False}
        assert {(each.component, each.price_source) for each in records} == {("tts", "overlay")}
        assert spent(lane, BUDGET) == speech.nano_usd
        assert held(lane, BUDGET) == 0
    shown = [span for span in lane.spans() if "aden.cost.usd" in (span.attributes or {})]
    assert [span.attributes["aden.call.id"] for span in shown if span.attributes] == [
        record.id for record in records
    ]
    assert {span.name for span in shown} == {"tts_request"}


async def test_the_span_of_a_request_says_what_it_was_and_cost(
    lane: Lane, speech: SpeechProvider
) -> None:
    """LiveKit's own, by the conventions' names."""
    with lane.instrumented(budgets=[BUDGET]):
        await said(Voice(speech).stream(), TEXT)
        (record,) = lane.records
    (span,) = lane.spans("tts_request")
    assert span.attributes is not None
    told = {name: span.attributes.get(name) for name in span.attributes if "lk." not in name}
    assert (
        told
        | {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.output.type": "speech",
            "gen_ai.request.model": "sonic-3.5",
            "aden.cost.usd": len(TEXT) * NANO_PER_CHARACTER / 1e9,
            "aden.usage.characters": len(TEXT),
            "aden.usage.audio.output_seconds": len(TEXT) * MS_PER_CHARACTER / 1000,
            "aden.usage.estimated": False,
            "aden.budget.id": "calls",
        }
        == told
    )
    assert record.ttft_ms is not None
    assert not [s for s in lane.spans("tts_request_run") if "aden.cost.usd" in (s.attributes or {})]


async def test_a_text_that_is_cut_off_is_charged_as_far_as_the_plugin_took_it(
    lane: Lane, speech: SpeechProvider
) -> None:
    """LiveKit tells of no streamed segment that was not whole; Aden does, to LiveKit's own too."""
    told: list[TTSMetrics] = []
    speech.pace_s = 0.01
    voice = Voice(speech)
    voice.on("metrics_collected", told.append)
    with lane.instrumented(budgets=[BUDGET]):
        async with voice.stream() as stream:
            stream.push_text(TEXT)
            async for _ in stream:
                break
        (record,) = lane.records
        assert (record.cost, record.stream_end) == (speech.nano_usd, "cancelled")
        assert (record.usage.estimated, record.error_type) == (True, None)
        assert held(lane, BUDGET) == 0
    (metrics,) = told
    assert (metrics.characters_count, metrics.cancelled) == (len(TEXT), True)
    assert 0 < metrics.audio_duration < len(TEXT) * MS_PER_CHARACTER / 1000
    assert metrics.metadata is not None
    assert (metrics.metadata.model_name, metrics.streamed) == ("sonic-3.5", True)
    (span,) = lane.spans("tts_request")
    assert span.end_time is not None
    assert span.status.is_unset


async def test_what_the_plugin_never_took_is_not_charged(
    lane: Lane, speech: SpeechProvider
) -> None:
    """It connects, and the caller speaks before it has read a word."""
    with lane.instrumented(budgets=[BUDGET]):
        stream = _Busy(speech).stream()
        stream.push_text(TEXT)
        await asyncio.sleep(0.05)
        await stream.aclose()
        (record,) = lane.records
        assert (record.cost, record.attempts) == (0, 0)
        assert held(lane, BUDGET) == 0


async def test_a_stream_without_a_text_is_no_request(lane: Lane, speech: SpeechProvider) -> None:
    """An answer that only calls tools opens one."""
    with lane.instrumented(budgets=[BUDGET]):
        async with Voice(speech).stream() as stream:
            await asyncio.sleep(0.05)
            assert held(lane, BUDGET) > 0
            stream.end_input()
            assert [event async for event in stream] == []
        assert lane.records == []
        assert held(lane, BUDGET) == 0
        assert list(lane.ledger.journal()) == []


async def test_a_long_text_is_held_as_it_comes(lane: Lane, speech: SpeechProvider) -> None:
    """What is not booked yet already counts for whoever asks the same budget."""
    speech.pace_s = 0.005
    with lane.instrumented(budgets=[BUDGET]):
        async with Voice(speech).stream() as stream:
            stream.push_text("Well. ")
            async for _ in stream:
                break
            before = held(lane, BUDGET)
            stream.push_text("word " * 1000)
            assert held(lane, BUDGET) > 5000 * NANO_PER_CHARACTER > before
        assert held(lane, BUDGET) == 0


RETRIES = {
    "refused before it took a word": (500, True, 1, 1),
    "cut off after it took a word": (0, True, 2, 2),
    "refused": (500, False, 2, 1),
    "cut off": (0, False, 2, 2),
}


@pytest.mark.parametrize("failure", RETRIES)
async def test_a_retry_is_charged_where_the_first_attempt_may_have_been_billed(
    failure: str, lane: Lane, speech: SpeechProvider
) -> None:
    """A refusal by status is free; of a connection that broke nobody can say."""
    status, streaming, sent, billed = RETRIES[failure]
    speech.statuses = [status]
    voice = Voice(speech, streaming=streaming)
    with lane.instrumented(budgets=[BUDGET]):
        if streaming:
            await said(voice.stream(conn_options=AT_ONCE), TEXT)
        else:
            await said(voice.synthesize(TEXT, conn_options=AT_ONCE))
        (record,) = lane.records
        assert record.attempts == sent
        assert record.cost == billed * len(TEXT) * NANO_PER_CHARACTER
        assert record.usage.estimated == (billed == 2)


async def test_a_provider_that_is_not_there_costs_nothing(
    lane: Lane, speech: SpeechProvider
) -> None:
    """The other one of the adapter speaks, and is charged alone."""
    away = SpeechProvider(url="http://127.0.0.1:9")
    adapter = tts.FallbackAdapter([Voice(away), Voice(speech)], max_retry_per_tts=0)
    with lane.instrumented(budgets=[BUDGET]):
        assert await said(adapter.stream(), TEXT) > 1
        await adapter.aclose()
        assert spent(lane, BUDGET) == speech.nano_usd == len(TEXT) * NANO_PER_CHARACTER
        assert held(lane, BUDGET) == 0


async def test_a_plugin_that_names_nothing_speaks_and_is_charged_by_the_dearest_rates(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Unknown is a price, not zero."""
    with lane.instrumented(budgets=[BUDGET]):
        assert await said(Voice(speech, model="", owner="").stream(), TEXT) > 1
        (record,) = lane.records
        assert (record.provider, record.model) == ("unknown", "unknown")
        assert record.price_source == "floor"
        assert record.cost >= speech.nano_usd


@pytest.mark.parametrize("tokens", [(-3, -1), (2_000_000_000, 0), (0, 0), (None, "many")])
async def test_tokens_that_cannot_be_true_are_not_believed(
    tokens: tuple[Any, Any], lane: Lane, speech: SpeechProvider
) -> None:
    """What LiveKit cannot take either, it raises itself."""
    voice = _Telling(speech, *tokens)
    with lane.instrumented(budgets=[BUDGET]):
        with contextlib.suppress(ValidationError):
            await said(voice.synthesize(TEXT))
        (record,) = lane.records
    assert record.usage.estimated
    assert record.usage.input_tokens == pytest.approx(len(TEXT) / 4, abs=1)
    assert record.usage.output_tokens == pytest.approx(len(TEXT) * 1.5, abs=2)


async def test_tokens_that_a_plugin_tells_are_what_is_billed(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Of gpt-4o-mini-tts: $0.60 and $12 for a million."""
    with lane.instrumented(budgets=[BUDGET]):
        await said(_Telling(speech, 10, 60).synthesize(TEXT))
        (record,) = lane.records
    assert record.cost == 10 * 600 + 60 * 12_000
    assert not record.usage.estimated


@pytest.mark.parametrize("model", ["gpt-4o-mini-tts", "tts-1"])
async def test_the_sdk_inside_feeds_the_same_call(
    model: str, lane: Lane, provider: OpenAIServer
) -> None:
    """One call, one charge, and LiveKit's span has it."""
    voice = openai.TTS(
        model=model, base_url=provider.base_url, api_key="sk-test", response_format="pcm"
    )
    with lane.instrumented(budgets=[BUDGET]):
        await said(voice.synthesize(TEXT))
        (record,) = lane.records
        (item,) = provider.bill.items
        assert (record.cost, record.attempts) == (item.nano_usd, 1)
        assert spent(lane, BUDGET) == item.nano_usd
    shown = [span.name for span in lane.spans() if "aden.cost.usd" in (span.attributes or {})]
    assert shown == ["tts_request"]


async def test_a_text_whose_cost_is_known_passes_a_budget_that_may_never_be_overrun(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Outside of a session, where it is gated; a text that is still to come has no bound."""
    budget = Budget("calls", "1", overrun="never")
    with lane.instrumented(budgets=[budget]):
        assert await said(Voice(speech, streaming=False).synthesize(TEXT)) > 1
        with pytest.raises(RequestCancelledError) as refused:
            await said(Voice(speech).stream(), TEXT)
        assert refused.value.reason == "unbounded"
        assert spent(lane, budget) == speech.nano_usd
        assert held(lane, budget) == 0
    *_, span = lane.spans("tts_request")
    assert span.attributes is not None
    assert span.end_time is not None
    assert span.attributes["aden.decision.action"] == "block"
    assert span.attributes["error.type"] == "402"


async def test_of_openai_s_speech_that_is_cut_off_the_sound_that_came_is_charged(
    lane: Lane,
) -> None:
    """The provider stops when nobody listens; nobody tells its tokens then."""
    with OpenAIServer(ttft_ms=20, token_interval_ms=20) as provider:
        voice = openai.TTS(
            model="gpt-4o-mini-tts",
            base_url=provider.base_url,
            api_key="sk-test",
            response_format="pcm",
        )
        with lane.instrumented(budgets=[BUDGET]):
            async with voice.synthesize(TEXT * 10) as stream:
                async for _ in stream:
                    break
            assert provider.wait_idle()
            (record,) = lane.records
            assert (record.stream_end, record.usage.estimated) == ("cancelled", True)
            assert 0 < (record.usage.output_tokens or 0) < len(TEXT * 10) * 1.5 / 4
            assert held(lane, BUDGET) == 0


# In a session, to a caller.


@asynccontextmanager
async def call(lane: Lane, voice: Any, **options: Any) -> AsyncIterator[Any]:
    """A session that speaks."""
    session: AgentSession[None] = AgentSession(llm=lane.llm(), tts=voice, **options)
    session.output.audio = Speaker()
    await session.start(Agent(instructions="Answer in plain sentences."))
    try:
        yield session
    finally:
        await session.aclose()


def spoken(lane: Lane) -> list[CallRecord]:
    """The records of what was said."""
    return [record for record in lane.records if record.model != "gpt-4o"]


@pytest.fixture(params=["streamed", "sentence by sentence"])
def voice(request: pytest.FixtureRequest, speech: SpeechProvider) -> Voice:
    """A plugin of either kind."""
    return Voice(speech, streaming=request.param == "streamed")


async def test_a_turn_s_speech_is_charged_to_the_same_budget(
    lane: Lane, speech: SpeechProvider, voice: Voice
) -> None:
    """What the LLM wrote is what is spoken."""
    with lane.instrumented(budgets=[BUDGET]):
        async with call(lane, voice) as session:
            await session.run(user_input="When is breakfast?")
            assert session.output.audio.heard_s > 1
        (said_by_llm,) = lane.provider.bill.items
        assert sum(record.cost for record in spoken(lane)) == speech.nano_usd > 0
        assert spent(lane, BUDGET) == speech.nano_usd + (said_by_llm.nano_usd or 0)
        assert held(lane, BUDGET) == 0


async def test_openai_s_speech_is_one_charge_a_sentence_in_a_session_too(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit's adapter, LiveKit's stream, the SDK: three layers, one call."""
    voice = openai.TTS(
        model="gpt-4o-mini-tts",
        base_url=provider.base_url,
        api_key="sk-test",
        response_format="pcm",
    )
    with lane.instrumented(budgets=[BUDGET]):
        async with call(lane, voice) as session:
            await session.run(user_input="When is breakfast?")
            assert session.output.audio.heard_s > 0
        items = [item.nano_usd or 0 for item in provider.bill.items]
        assert [record.cost for record in spoken(lane)] == [
            item.nano_usd for item in provider.bill.items if item.model == "gpt-4o-mini-tts"
        ]
        assert spent(lane, BUDGET) == sum(items)
        assert held(lane, BUDGET) == 0
    assert all(span.end_time for span in lane.spans("tts_request"))


async def test_speech_that_the_caller_cuts_off_is_in_livekit_s_usage_too(
    lane: Lane, speech: SpeechProvider
) -> None:
    """LiveKit emits no metrics of a segment that was not spoken to its end."""
    speech.pace_s = 0.02
    with lane.instrumented(budgets=[BUDGET]):
        async with call(lane, Voice(speech)) as session:
            handle = session.say(TEXT * 5)
            async with asyncio.timeout(20):
                while not session.output.audio.heard_s:
                    await asyncio.sleep(0.01)
            handle.interrupt()
            await handle
            (usage,) = [u for u in session.usage.model_usage if u.type == "tts_usage"]
            (record,) = lane.records
            assert record.cost == speech.nano_usd == len(TEXT * 5) * NANO_PER_CHARACTER
            assert usage.characters_count == len(TEXT * 5)
            assert (usage.provider, usage.model) == ("Cartesia", "sonic-3.5")
        assert held(lane, BUDGET) == 0


async def test_speech_of_an_exhausted_budget_is_heard_and_the_next_answer_is_not_asked_for(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Silence in the middle of a turn is no way to say no."""
    with lane.instrumented(budgets=[Budget("calls", 0)]):
        async with call(lane, Voice(speech)) as session:
            await session.say(TEXT)
            assert session.output.audio.heard_s > 1
            (record,) = spoken(lane)
            assert record.decision.action == "allow"
            assert record.observed is not None
            assert record.observed.action == "block"
            with pytest.raises(RequestCancelledError):
                await session.run(user_input="When is breakfast?")
        assert lane.asked == 0


async def test_a_sound_that_is_there_already_costs_nothing(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Nobody is asked to speak it."""

    async def recorded() -> AsyncIterator[rtc.AudioFrame]:
        data = sound(500)
        yield rtc.AudioFrame(data, RATE, 1, len(data) // 2)

    with lane.instrumented(budgets=[BUDGET]):
        async with call(lane, Voice(speech)) as session:
            await session.say(TEXT, audio=recorded())
            assert session.output.audio.heard_s == pytest.approx(0.5)
        assert lane.records == []
        assert spent(lane, BUDGET) == 0
    assert speech.bill == []


async def test_an_aligned_transcript_changes_no_bill(lane: Lane, speech: SpeechProvider) -> None:
    """The words come back from the plugin instead of the LLM."""
    with lane.instrumented(budgets=[BUDGET]):
        voice = Voice(speech, aligned=True)
        async with call(lane, voice, use_tts_aligned_transcript=True) as session:
            await session.run(user_input="When is breakfast?")
        (record,) = spoken(lane)
        assert record.cost == speech.nano_usd > 0


class _Dubbed(tts.TTS[Any]):
    """An adapter that LiveKit does not know as one."""

    def __init__(self, voice: Voice) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1
        )
        self.voice = voice

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = AT_ONCE
    ) -> tts.ChunkedStream:
        """Have another one speak."""
        return _Dubbing(tts=self, input_text=text, conn_options=conn_options)


class _Dubbing(tts.ChunkedStream):
    _tts: _Dubbed

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="r", sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        async with self._tts.voice.stream() as stream:
            stream.push_text(self.input_text)
            stream.end_input()
            async for event in stream:
                output_emitter.push(bytes(event.frame.data))


class _Busy(Voice):
    """Takes its time before it reads what it is given."""

    def stream(self, *, conn_options: APIConnectOptions = AT_ONCE) -> tts.SynthesizeStream:
        """Never gets to the point."""
        return _Waiting(tts=self, conn_options=conn_options)


class _Waiting(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        await asyncio.sleep(60)


class _Telling(Voice):
    """Tells of tokens."""

    def __init__(self, provider: SpeechProvider, read: Any, made: Any) -> None:
        super().__init__(provider, streaming=False, model="gpt-4o-mini-tts", owner="openai")
        self._told = read, made

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = AT_ONCE
    ) -> tts.ChunkedStream:
        """Speak, and tell."""
        stream = super().synthesize(text, conn_options=conn_options)
        read, made = self._told
        stream._set_token_usage(input_tokens=read, output_tokens=made)
        return stream
