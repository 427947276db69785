"""STT of any plugin: a stretch at a time, as the provider bills it, and once."""

import asyncio
import contextlib
import itertools
import math
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from lane_kit import Lane, held, spent, until
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, APIError, stt
from livekit.agents.metrics import STTMetrics
from livekit.agents.voice import io
from livekit.plugins import openai
from openai import AsyncOpenAI
from speech_provider import (
    NANO_PER_MS,
    OPENAI_RATE,
    RATE,
    Ear,
    Recognition,
    SpeechProvider,
    Vad,
    Voice,
    frame,
    reported,
)
from workers import clean_environment

from aden import BeforeRequestResult, Budget, RequestCancelledError
from aden.instrumentation.livekit.hearing import SLICE_MS, UNREPORTED_MS
from aden.ledger import open_ledger
from aden.testing import OpenAIServer

BUDGET = Budget("calls", "1")
AT_ONCE = APIConnectOptions(retry_interval=0.0)


@pytest.fixture
async def speech() -> AsyncIterator[SpeechProvider]:
    """A speech provider on a local socket."""
    async with SpeechProvider().running() as provider:
        yield provider


async def listened(
    stream: Any, *lengths: int, ended: bool = True, rate: int = RATE
) -> list[stt.SpeechEvent]:
    """What a stream makes of sounds of so many milliseconds; not *ended*: it is left."""
    async with stream:
        for length in lengths:
            stream.push_frame(frame(length, rate))
            await asyncio.sleep(0)
        if not ended:
            await asyncio.sleep(0.2)
            return []
        stream.end_input()
        return [event async for event in stream]


def heard(lane: Lane) -> list[int | None]:
    """Milliseconds of each record."""
    return [record.usage.audio_input_ms for record in lane.records]


WAYS: dict[str, Callable[[SpeechProvider], Any]] = {
    "whole": lambda p: Ear(p).recognize(frame(1200)),
    "several frames": lambda p: Ear(p).recognize([frame(500), frame(700)]),
    "streamed": lambda p: listened(Ear(p).stream(), 700, 500),
    "adapter, whole": lambda p: stt.StreamAdapter(stt=Ear(p), vad=Vad()).recognize(frame(1200)),
    "adapter, streamed": lambda p: listened(
        stt.StreamAdapter(stt=Ear(p, streaming=False), vad=Vad()).stream(), 700, 500
    ),
    "fallback, whole": lambda p: stt.FallbackAdapter([Ear(p), Ear(p)]).recognize(frame(1200)),
    "fallback, streamed": lambda p: listened(stt.FallbackAdapter([Ear(p)]).stream(), 700, 500),
    "several speakers": lambda p: listened(
        stt.MultiSpeakerAdapter(stt=Ear(p, diarization=True)).stream(), 700, 500
    ),
    "an adapter of one's own, whole": lambda p: _Relay(Ear(p)).recognize(frame(1200)),
    "an adapter of one's own, streamed": lambda p: listened(_Relay(Ear(p)).stream(), 700, 500),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_sound_is_charged_once_as_the_provider_bills_it(
    way: str, lane: Lane, speech: SpeechProvider
) -> None:
    """Adapters tell LiveKit of the same request again; that costs nothing."""
    with lane.instrumented(budgets=[BUDGET]):
        await WAYS[way](speech)
        records = lane.records
        assert sum(record.usage.audio_input_ms or 0 for record in records) == 1200
        assert {(each.component, each.price_source) for each in records} == {("stt", "overlay")}
        assert {record.usage.estimated for record in records} == {False}
        assert spent(lane, BUDGET) == sum(record.cost for record in records)
        assert spent(lane, BUDGET) == speech.nano_usd
        assert held(lane, BUDGET) == 0
    shown = [span.attributes for span in lane.spans() if "aden.cost.usd" in (span.attributes or {})]
    assert [each["aden.call.id"] for each in shown if each] == [each.id for each in records]


async def test_each_report_is_a_call_and_a_span_of_its_own(
    lane: Lane, speech: SpeechProvider
) -> None:
    """One begins where the one before ended; none is open when the stream is closed."""
    with lane.instrumented(budgets=[BUDGET]):
        await listened(Ear(speech).stream(), 500, 500, 250)
        assert heard(lane) == [500, 500, 250]
    spans = lane.spans("generate_content nova-3")
    assert len(spans) == 3
    for span, after in itertools.pairwise(spans):
        assert span.end_time is not None
        assert after.start_time is not None
        assert abs(after.start_time - span.end_time) < 1e9
    assert spans[0].attributes is not None
    told = dict(spans[0].attributes)
    assert (
        told
        | {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.output.type": "text",
            "gen_ai.request.model": "nova-3",
            "aden.usage.audio.input_seconds": 0.5,
            "aden.cost.usd": 500 * NANO_PER_MS / 1e9,
        }
        == told
    )


async def test_the_tail_of_a_stream_that_is_left_is_charged(
    lane: Lane, speech: SpeechProvider
) -> None:
    """LiveKit cancels what would tell of it, so Aden tells LiveKit too."""
    told: list[STTMetrics] = []
    ear = Ear(speech)
    ear.on("metrics_collected", told.append)
    with lane.instrumented(budgets=[BUDGET]):
        await listened(ear.stream(), 500, 500, 300, ended=False)
        assert heard(lane) == [500, 500, 300]
        assert [record.usage.estimated for record in lane.records] == [False, False, True]
        assert spent(lane, BUDGET) == speech.nano_usd == 1300 * NANO_PER_MS
        assert held(lane, BUDGET) == 0
    assert sum(each.audio_duration for each in told) == pytest.approx(1.3)
    assert told[-1].audio_duration == pytest.approx(0.3)


async def test_a_plugin_that_tells_nothing_is_charged_by_what_it_is_given(
    lane: Lane, speech: SpeechProvider
) -> None:
    """LiveKit's own numbers lack it altogether."""
    told: list[STTMetrics] = []
    speech.report_every_ms = 0
    ear = Ear(speech)
    ear.on("metrics_collected", told.append)
    with lane.instrumented(budgets=[BUDGET]):
        await listened(ear.stream(), 700, 500)
        (record,) = lane.records
        assert (record.usage.audio_input_ms, record.usage.estimated) == (1200, True)
        assert record.cost == speech.nano_usd
    assert [each.audio_duration for each in told] == [pytest.approx(1.2)]


@pytest.mark.parametrize("ended", [True, False])
async def test_silence_that_is_not_billed_is_not_charged(
    ended: bool, lane: Lane, speech: SpeechProvider
) -> None:
    """Half of what was pushed is told of: of a tail that nobody tells of, half is assumed."""
    with lane.instrumented(budgets=[BUDGET]):
        await listened(_Selective(speech).stream(), *[500] * 20, 300, ended=ended)
        reported = [record for record in lane.records if not record.usage.estimated]
        tail = [record for record in lane.records if record.usage.estimated]
        assert sum(record.usage.audio_input_ms or 0 for record in reported) == 5000
        assert [record.usage.audio_input_ms for record in tail] == ([] if ended else [150])


async def test_a_long_stretch_is_booked_as_it_goes_and_no_report_books_it_again(
    lane: Lane, speech: SpeechProvider
) -> None:
    """The budget sees a call that lasts; the provider tells only at its end."""
    speech.report_every_ms = 1 << 30
    with lane.instrumented(budgets=[BUDGET]):
        async with Ear(speech).stream() as stream:
            for second in range(150):
                stream.push_frame(frame(1000))
                await asyncio.sleep(0.002)
                heard = (second - 10) * 1000 * NANO_PER_MS  # some of it is on its way
                assert held(lane, BUDGET) + spent(lane, BUDGET) >= heard
                assert heard - spent(lane, BUDGET) <= UNREPORTED_MS * NANO_PER_MS
            assert spent(lane, BUDGET) >= 2 * UNREPORTED_MS * NANO_PER_MS
            stream.end_input()
            assert len([event async for event in stream]) == 2
        assert spent(lane, BUDGET) == speech.nano_usd == 150_000 * NANO_PER_MS
        assert held(lane, BUDGET) == 0
        assert [record.usage.estimated for record in lane.records] == [True, True, False]


async def test_what_waits_for_the_provider_is_not_charged(
    lane: Lane, speech: SpeechProvider
) -> None:
    """It does not answer, and the audio piles up."""
    away = SpeechProvider(url="http://127.0.0.1:9")
    options = APIConnectOptions(max_retry=0)
    with lane.instrumented(budgets=[BUDGET]):
        with pytest.raises(APIError):
            await listened(Ear(away).stream(conn_options=options), 700, 500)
        assert lane.records == []
        assert held(lane, BUDGET) == 0


async def test_a_stream_to_which_nobody_speaks_is_no_request(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Its hold is given back."""
    with lane.instrumented(budgets=[BUDGET]):
        async with Ear(speech).stream():
            await asyncio.sleep(0.05)
            assert held(lane, BUDGET) == SLICE_MS * NANO_PER_MS
        assert held(lane, BUDGET) == 0
        assert list(lane.ledger.journal()) == []


async def test_what_an_adapter_hands_to_nobody_is_not_charged(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Its VAD heard no speech in it, so no provider was asked."""
    adapter = stt.StreamAdapter(stt=Ear(speech, streaming=False), vad=Vad(every=100))
    with lane.instrumented(budgets=[BUDGET]):
        await listened(adapter.stream(), 700, 500)
        assert lane.records == []
        assert held(lane, BUDGET) == 0
    assert speech.bill == []


async def test_a_plugin_that_cannot_even_say_its_name_is_heard(
    lane: Lane, speech: SpeechProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Our own trouble with it is none of the caller's."""
    speech.report_every_ms = 0
    with lane.instrumented(budgets=[BUDGET]):
        (event,) = await listened(_Nameless(speech).stream(), 700, 500)
        assert event.alternatives[0].text == "good morning"
        assert lane.records == []
    assert "could not be described" in caplog.text


@pytest.mark.parametrize(
    "report",
    [
        stt.RecognitionUsage(audio_duration=None),  # type: ignore[arg-type]
        stt.RecognitionUsage(audio_duration=-5.0, input_tokens=-1),
        stt.RecognitionUsage(audio_duration=math.nan),
        stt.RecognitionUsage(audio_duration=0.0, output_tokens=None),  # type: ignore[arg-type]
        object(),
    ],
)
async def test_a_report_that_cannot_be_true_is_not_believed(
    report: Any, lane: Lane, speech: SpeechProvider
) -> None:
    """What was given to the plugin is charged instead."""
    speech.report_every_ms = 0
    with lane.instrumented(budgets=[BUDGET]):
        with contextlib.suppress(Exception):  # what LiveKit cannot take, it raises
            await listened(_Odd(speech, report).stream(), 700, 500)
        assert heard(lane) == [1200]
        assert spent(lane, BUDGET) == speech.nano_usd


async def test_a_plugin_that_names_nothing_is_charged_by_the_dearest_rates(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Unknown is a price, not zero."""
    with lane.instrumented(budgets=[BUDGET]):
        await Ear(speech, model="", owner="").recognize(frame(1200))
        await listened(Ear(speech, model="", owner="").stream(), 500)
        assert {(each.provider, each.model) for each in lane.records} == {("unknown", "unknown")}
        assert {each.price_source for each in lane.records} == {"floor"}
        assert spent(lane, BUDGET) >= speech.nano_usd


async def test_a_model_that_is_billed_by_the_time_it_is_connected_is_charged_so(
    lane: Lane, speech: SpeechProvider
) -> None:
    """AssemblyAI: $0.15 an hour, whether or not anybody speaks."""
    ear = Ear(speech, model="universal-streaming", owner="AssemblyAI")
    with lane.instrumented(budgets=[BUDGET]):
        await listened(ear.stream(), 500, 100, ended=False)
        connected = sum(record.usage.session_ms or 0 for record in lane.records)
        assert connected >= 200
        assert spent(lane, BUDGET) == pytest.approx(connected * 0.15e9 / 3_600_000, rel=0.01)
        assert {record.usage.estimated for record in lane.records} == {True}


@pytest.mark.parametrize("failure", [(500, 0), (0, 1)])
async def test_a_failure_is_charged_where_it_may_have_been_billed(
    failure: tuple[int, int], lane: Lane, speech: SpeechProvider
) -> None:
    """A refusal by status is free; of a connection that broke nobody can say."""
    status, billed = failure
    speech.statuses = [status]
    with lane.instrumented(budgets=[BUDGET]):
        with pytest.raises(APIError):
            await Ear(speech).recognize(frame(1000), conn_options=APIConnectOptions(max_retry=0))
        (record,) = lane.records
        assert (record.usage.audio_input_ms or 0) == billed * 1000
        assert spent(lane, BUDGET) == record.cost
        assert held(lane, BUDGET) == 0


@pytest.mark.parametrize(
    ("statuses", "billed_ms"), [((0,), 2000), ((500,), 1000), ((0, 500, 0), 3000)]
)
async def test_a_retry_is_charged_beside_the_attempt_that_may_have_been_billed(
    statuses: tuple[int, ...], billed_ms: int, lane: Lane, speech: SpeechProvider
) -> None:
    """Each by itself: a refusal by status is free, a connection that broke is not."""
    speech.statuses = list(statuses)
    with lane.instrumented(budgets=[BUDGET]):
        retry = APIConnectOptions(max_retry=3, retry_interval=0.0)
        await Ear(speech).recognize(frame(1000), conn_options=retry)
        (record,) = lane.records
        assert record.usage.audio_input_ms == billed_ms
        assert record.usage.estimated == (billed_ms > 1000)
        assert record.attempts == len(statuses) + 1
        assert spent(lane, BUDGET) == record.cost
        assert held(lane, BUDGET) == 0


@pytest.mark.parametrize("paused", [True, False])
async def test_a_recognition_that_is_given_up_is_charged_for_what_was_sent(
    paused: bool, lane: Lane, speech: SpeechProvider
) -> None:
    """In LiveKit's pause before it tries again, that is one sending; in the next one, it is two."""
    speech.statuses = [0]
    with lane.instrumented(budgets=[BUDGET]):
        ear = _Patient(speech)
        recognition = asyncio.create_task(ear.recognize(frame(1000)))
        if paused:
            ear.on("error", lambda _: recognition.cancel())  # before the pause begins
        else:
            await until(lambda: ear.begun == 2)
            recognition.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recognition
        (record,) = lane.records
        sent = 1 if paused else 2
        assert (record.attempts, record.usage.audio_input_ms) == (sent, sent * 1000)
        assert spent(lane, BUDGET) == record.cost
        assert held(lane, BUDGET) == 0


class _Patient(Ear):
    """Waits long for the answer to its second sending."""

    begun = 0

    async def _recognize_impl(self, buffer: Any, **options: Any) -> stt.SpeechEvent:
        self.begun += 1
        if self.begun == 2:
            await asyncio.sleep(60)
        return await super()._recognize_impl(buffer, **options)


async def test_the_sdk_inside_tells_the_tokens_that_livekit_drops(
    lane: Lane, provider: OpenAIServer
) -> None:
    """One call, one span, one charge; and LiveKit's numbers have them too."""
    told: list[STTMetrics] = []
    ear = openai.STT(
        model="gpt-4o-mini-transcribe",
        base_url=provider.base_url,
        api_key="sk-test",
        use_realtime=False,
    )
    ear.on("metrics_collected", told.append)
    with lane.instrumented(budgets=[BUDGET]):
        await ear.recognize(frame(700))
        (record,) = lane.records
        (item,) = provider.bill.items
        assert (record.cost, record.attempts) == (item.nano_usd, 1)
        assert spent(lane, BUDGET) == item.nano_usd
    assert sum(each.input_tokens for each in told) == item.input_tokens
    assert sum(each.output_tokens for each in told) == item.output_tokens
    assert sum(each.audio_duration for each in told) == pytest.approx(0.7)
    shown = [span for span in lane.spans() if "aden.cost.usd" in (span.attributes or {})]
    assert len(shown) == 1


async def test_a_stream_that_asks_by_the_sdk_is_charged_once(
    lane: Lane, provider: OpenAIServer, speech: SpeechProvider
) -> None:
    """Each request tells what it costs; what was pushed to the stream is not counted besides."""
    ear = _Asking(speech, AsyncOpenAI(base_url=provider.base_url, api_key="sk-test"))
    with lane.instrumented(budgets=[BUDGET]):
        await listened(ear.stream(), 700, 500)
        costs = [item.nano_usd for item in provider.bill.items]
        assert len(costs) == 2
        assert [record.cost for record in lane.records] == costs
        assert spent(lane, BUDGET) == sum(cost or 0 for cost in costs)
        assert held(lane, BUDGET) == 0


async def test_tokens_that_are_told_of_a_stream_are_what_is_billed(
    lane: Lane, speech: SpeechProvider
) -> None:
    """OpenAI's own plugin over its WebSocket; of what was cut off, by the seconds."""
    ear = openai.STT(
        model="gpt-4o-transcribe",
        base_url=speech.url + "/v1",
        api_key="sk-test",
        use_realtime=True,
    )
    async with aiohttp.ClientSession() as http:
        ear._session = http
        with lane.instrumented(budgets=[BUDGET]):
            await listened(ear.stream(), *[1000] * 3, 500, ended=False, rate=OPENAI_RATE)
            *told, tail = lane.records
            (item,) = speech.bill
            assert item.tokens == (30, 12)
            assert sum(record.cost for record in told) == item.nano_usd
            assert {record.usage.estimated for record in told} == {False}
            assert tail.usage.estimated
            assert tail.cost == pytest.approx(item.nano_usd / 6, rel=0.5)
        await ear.aclose()


async def test_outside_of_a_session_what_is_exhausted_is_refused(
    lane: Lane, speech: SpeechProvider
) -> None:
    """Nobody's turn waits for it."""
    with lane.instrumented(budgets=[Budget("calls", 0)]):
        with pytest.raises(RequestCancelledError):
            await Ear(speech).recognize(frame(500))
        with pytest.raises(RequestCancelledError):
            await listened(Ear(speech).stream(), 500)
        assert {record.decision.action for record in lane.records} == {"block"}
    assert speech.bill == []


@pytest.mark.parametrize("kind", ["stt", "tts"])
async def test_what_is_closed_while_the_gate_waits_is_neither_sent_nor_charged(
    kind: str, lane: Lane, speech: SpeechProvider
) -> None:
    """A hook takes its time, and the stream is given up meanwhile."""
    asked = asyncio.Event()

    async def hook(*_: Any) -> BeforeRequestResult:
        asked.set()
        await asyncio.sleep(60)
        return BeforeRequestResult.proceed()

    with lane.instrumented(budgets=[BUDGET], before_request=hook, hook_timeout_ms=60_000):
        stream: Any = Ear(speech).stream() if kind == "stt" else Voice(speech).stream()
        if kind == "tts":
            stream.push_text("Breakfast is at seven.")
        await asyncio.wait_for(asked.wait(), 20)
        assert held(lane, BUDGET) > 0
        await stream.aclose()
        assert (spent(lane, BUDGET), held(lane, BUDGET)) == (0, 0)
        assert {record.attempts for record in lane.records} <= {0}
    assert speech.bill == []
    assert all(span.end_time for span in lane.spans())


# In a session, with a caller.


async def test_a_session_hears_on_an_exhausted_budget_and_is_charged_to_its_end(
    lane: Lane, speech: SpeechProvider
) -> None:
    """An agent that is deaf would be no way to say no; LiveKit's own usage has the tail."""
    budget = Budget("calls", "0.00001")
    with lane.instrumented(budgets=[budget]):
        session: AgentSession[None] = AgentSession(llm=lane.llm(), stt=Ear(speech))
        session.input.audio = _Microphone(13)
        await session.start(Agent(instructions="Listen."))
        async with asyncio.timeout(20):
            while sum(item.heard_ms for item in speech.bill) < 1300:
                await asyncio.sleep(0.01)
        await session.aclose()
        (usage,) = [each for each in session.usage.model_usage if each.type == "stt_usage"]
        (item,) = speech.bill  # LiveKit adds silence when a session ends
        assert spent(lane, budget) == item.nano_usd >= 1300 * NANO_PER_MS
        assert held(lane, budget) == 0
        assert usage.audio_duration == pytest.approx(item.heard_ms / 1000)
        assert {each.decision.action for each in lane.records} == {"allow"}
        assert any(each.observed and each.observed.action == "block" for each in lane.records)
    parents = {span.name: span.context.span_id for span in lane.spans() if span.context}
    for span in lane.spans("generate_content nova-3"):
        assert span.parent is not None
        assert span.parent.span_id == parents["agent_session"]


async def test_openai_s_transcripts_in_a_session_are_what_openai_bills(
    lane: Lane, provider: OpenAIServer
) -> None:
    """An utterance is a request, found by a VAD; LiveKit's usage has its tokens."""
    ear = openai.STT(
        model="gpt-4o-mini-transcribe",
        base_url=provider.base_url,
        api_key="sk-test",
        use_realtime=False,
    )
    with lane.instrumented(budgets=[BUDGET]):
        session: AgentSession[None] = AgentSession(stt=ear, vad=Vad(every=5))
        session.input.audio = _Microphone(10)
        await session.start(Agent(instructions="Listen."))
        async with asyncio.timeout(20):
            while len(lane.records) < 2:
                await asyncio.sleep(0.02)
        (usage,) = [each for each in session.usage.model_usage if each.type == "stt_usage"]
        tokens = usage.input_tokens, usage.output_tokens
        await session.aclose()
        items = provider.bill.items[:2]
        assert [record.cost for record in lane.records][:2] == [item.nano_usd for item in items]
        assert tokens == (
            sum(item.input_tokens for item in items),
            sum(item.output_tokens for item in items),
        )
        assert spent(lane, BUDGET) == sum(item.nano_usd or 0 for item in provider.bill.items)
        assert held(lane, BUDGET) == 0


LISTENER = """
import asyncio
from livekit.agents import stt
from speech_provider import Ear, SpeechProvider, frame
import aden

async def main():
    aden.instrument()
    async with SpeechProvider(report_every_ms=0).running() as provider:
        async with Ear(provider).stream() as stream:
            for _ in range(20):
                stream.push_frame(frame(1000))
                await asyncio.sleep(0.005)
            print("heard", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_process_that_is_killed_leaves_its_hold_to_be_booked(tmp_path: Path) -> None:
    """It is off by no more than a slice."""
    (tmp_path / "budgets.toml").write_text('[[budget]]\nid = "calls"\nlimit_usd = "1"\n')
    url = f"sqlite://{tmp_path / 'ledger.db'}"
    environment = clean_environment(ADEN_BUDGETS=str(tmp_path / "budgets.toml"), ADEN_LEDGER=url)
    environment["PYTHONPATH"] += f":{Path(__file__).parent}"
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER], env=environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"heard\n"
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    ledger = open_ledger(url)
    try:
        (hold,) = ledger.holds()
        assert hold.sent
        (charge,) = hold.holds
        assert charge.amount >= 20_000 * NANO_PER_MS
        assert abs(hold.at_risk[0] - 20_000 * NANO_PER_MS) <= SLICE_MS * NANO_PER_MS
    finally:
        ledger.close()


class _Microphone(io.AudioInput):
    """So many frames of 100 ms, then nothing."""

    def __init__(self, count: int) -> None:
        super().__init__(label="test")
        self._left = count

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.005)
        if not self._left:
            await asyncio.Event().wait()
        self._left -= 1
        return frame(100)


class _Selective(Ear):
    """Of each second half is billed."""

    def stream(self, **_: Any) -> stt.RecognizeStream:
        """Listen."""
        return _Half(stt=self, conn_options=AT_ONCE)


class _Half(stt.RecognizeStream):
    async def _run(self) -> None:
        taken = 0.0
        async for each in self._input_ch:
            taken += each.duration if isinstance(each, rtc.AudioFrame) else 0.0
            if taken >= 1:
                taken = 0.0
                self._event_ch.send_nowait(reported(stt.RecognitionUsage(audio_duration=0.5)))


class _Nameless(Ear):
    @property
    def model(self) -> str:
        """Nobody knows."""
        raise RuntimeError("no name")


class _Odd(Ear):
    """Tells of usage in its own way, and then listens."""

    def __init__(self, provider: SpeechProvider, report: Any) -> None:
        super().__init__(provider)
        self.report = report

    def stream(self, **_: Any) -> stt.RecognizeStream:
        """Listen."""
        return _Oddly(stt=self, conn_options=AT_ONCE)


class _Oddly(Recognition):
    async def _run(self) -> None:
        assert isinstance(self._stt, _Odd)
        self._event_ch.send_nowait(reported(self._stt.report))
        await super()._run()


class _Relay(stt.STT[Any]):
    """An adapter that LiveKit does not know as one."""

    def __init__(self, ear: Ear) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.ear = ear

    async def _recognize_impl(self, buffer: Any, **_: Any) -> stt.SpeechEvent:
        return await self.ear.recognize(buffer)

    def stream(self, **_: Any) -> stt.RecognizeStream:
        """Have another one listen."""
        return _Relayed(stt=self, conn_options=AT_ONCE)


class _Relayed(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, _Relay)
        async with self._stt.ear.stream() as stream:
            async for each in self._input_ch:
                if isinstance(each, rtc.AudioFrame):
                    stream.push_frame(each)
            stream.end_input()
            async for event in stream:
                self._event_ch.send_nowait(event)


class _Asking(Ear):
    """Sends each frame as a request of its own."""

    def __init__(self, provider: SpeechProvider, client: AsyncOpenAI) -> None:
        super().__init__(provider)
        self.client = client

    def stream(self, **_: Any) -> stt.RecognizeStream:
        """Listen."""
        return _Asked(stt=self, conn_options=AT_ONCE)


class _Asked(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, _Asking)
        async for each in self._input_ch:
            if isinstance(each, rtc.AudioFrame):
                file = ("sound.wav", each.to_wav_bytes(), "audio/wav")
                await self._stt.client.audio.transcriptions.create(file=file, model="whisper-1")
