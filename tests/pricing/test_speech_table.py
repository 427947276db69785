"""The speech table: each row whole, dated and sourced; the table looked at of late."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from aden.core.request import Request
from aden.core.usage import Usage
from aden.pricing import PriceBook, genai
from aden.pricing.rows import Row
from aden.pricing.table import Bridge, bridges, speech_table

BOOK = PriceBook()
ROWS = list(speech_table().rows.values())
BRIDGES = [(key, bridge) for key, each in bridges().items() for bridge in each]
MAX_AGE = timedelta(days=120)
MAX_ROW_AGE = timedelta(days=365)


def _today() -> date:
    return datetime.now(UTC).date()


def test_somebody_has_looked_at_the_table_within_120_days() -> None:
    """Else compare it with its sources again, and date the rows that were read."""
    newest = max(row.as_of for row in ROWS if row.as_of)
    assert _today() - newest <= MAX_AGE, f"newest row: {newest}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.provider}/{row.model}/{row.tier}")
def test_each_row_says_what_where_and_when(row: Row) -> None:
    """A rate, a page of the provider, a day that is past and not a year ago."""
    assert row.provider
    assert row.rates is not None
    assert row.source
    assert re.match(r"https://\S+", row.source)
    assert row.as_of
    assert timedelta(0) <= _today() - row.as_of <= MAX_ROW_AGE
    assert row.model == row.model.lower()
    assert all(rate.nano > 0 for rate in row.rates.values())
    assert row.rates or row.model == "omni-moderation"


@pytest.mark.parametrize(("key", "bridge"), BRIDGES, ids=str)
def test_each_bridge_stands_on_a_model_that_is_billed_by_the_token(
    key: tuple[str, str], bridge: Bridge
) -> None:
    """And on no rate that the model has itself."""
    provider, model = key
    assert provider in genai.providers()
    price = BOOK.find(provider, model)
    assert price is not None
    assert price.bridges
    assert bridge.unit not in price.rates
    assert bridge.over(price).rates[bridge.unit].nano > 0
    assert re.match(r"https://\S+", bridge.source)
    assert timedelta(0) <= _today() - bridge.as_of <= MAX_ROW_AGE


@pytest.mark.parametrize(
    ("model", "usage", "usd", "source"),
    [
        ("gpt-4o-transcribe", Usage(audio_input_ms=60_000), 0.006, "bridge"),
        ("gpt-4o-mini-transcribe", Usage(audio_input_ms=60_000), 0.003, "bridge"),
        ("gpt-4o-mini-tts", Usage(audio_output_ms=60_000, characters=750), 0.015, "bridge"),
        ("gpt-4o-mini-tts", Usage(characters=750), 0.0151, "bridge"),
        ("whisper-1", Usage(audio_input_ms=60_000), 0.006, "genai-prices"),
        ("tts-1", Usage(characters=1000), 0.015, "genai-prices"),
        (
            "gpt-4o-transcribe",
            Usage(600, 240, audio_input_tokens=600, audio_input_ms=60_000),
            0.006,
            "genai-prices",
        ),
    ],
)
def test_a_minute_costs_what_the_provider_says_it_does(
    model: str, usage: Usage, usd: float, source: str
) -> None:
    """By its unit where that is known; estimated from another one where not; never both."""
    price = BOOK.price(Request("openai", model), model, usage)
    assert price.cost(usage) / 1e9 == pytest.approx(usd, rel=0.01)
    assert price.source == source


def test_a_stream_that_is_billed_while_it_is_open_is_estimated_from_its_speech() -> None:
    """Where nobody tells how long it was open; else by that alone."""
    request = Request("assemblyai", "universal-streaming")
    for usage, source in (
        (Usage(audio_input_ms=3_600_000), "bridge"),
        (Usage(audio_input_ms=1000, session_ms=3_600_000), "overlay"),
    ):
        price = BOOK.price(request, request.model, usage)
        assert (price.cost(usage), price.source) == (150_000_000, source)


def test_livekits_own_list_comes_before_its_vendors() -> None:
    """It bills the connection, not the speech; what it does not list goes by the vendor."""
    heard = Usage(audio_input_ms=60_000)
    price = BOOK.price(Request("livekit", "deepgram/nova-3"), "deepgram/nova-3", heard)
    assert (price.cost(heard), price.source) == (4_800_000, "bridge")
    listed, vendors = BOOK.find("livekit", "openai/gpt-4o"), BOOK.find("openai", "gpt-4o")
    assert listed
    assert vendors
    assert (listed.source, listed.context_tokens) == ("overlay", vendors.context_tokens)
    assert (other := BOOK.find("livekit", "openai/o3"))
    assert (other.origin.model, other.source) == ("openai/o3", "genai-prices")


@pytest.mark.parametrize(
    ("provider", "model", "usage", "nano"),
    [
        ("deepgram", "nova-3", Usage(audio_input_ms=60_000), 4_800_000),
        ("deepgram", "aura-2-thalia-en", Usage(characters=1000), 30_000_000),
        ("elevenlabs", "eleven_flash_v2_5", Usage(characters=1000), 50_000_000),
        ("assemblyai", "universal-streaming", Usage(session_ms=3_600_000), 150_000_000),
        ("rime", "mistv3", Usage(characters=1000), 30_000_000),
        ("inworld", "inworld-tts-2", Usage(characters=1000), 25_000_000),
        ("inworld", "inworld-tts-1.5-mini", Usage(characters=1000), 15_000_000),
        ("deepgram", "nova-2-phonecall", Usage(audio_input_ms=3_600_000), 350_000_000),
        ("cartesia", "sonic-3.5", Usage(characters=1_000_000), 50_000_000_000),
        ("x_ai", "grok-voice-latest", Usage(session_ms=60_000), 80_000_000),
        ("assemblyai", "universal-3-6-pro", Usage(session_ms=3_600_000), 450_000_000),
        ("assemblyai", "assemblyai-tts-1", Usage(characters=1000), 15_000_000),
        ("deepgram", "nova-3-medical", Usage(audio_input_ms=60_000), 7_700_000),
        ("inworld", "inworld-tts-1", Usage(characters=1000), 15_000_000),
        ("soniox", "stt-rt-v5", Usage(audio_input_ms=3_600_000), 120_000_000),
        (
            "soniox",
            "tts-rt-v1-preview",
            Usage(characters=50_000, audio_output_ms=3_600_000),
            705_000_000,
        ),
        ("speechmatics", "enhanced", Usage(audio_input_ms=3_600_000), 430_000_000),
        ("speechmatics", "unknown", Usage(characters=1000, audio_output_ms=60_000), 11_000_000),
        ("x_ai", "unknown", Usage(audio_input_ms=3_600_000), 200_000_000),
        ("x_ai", "unknown", Usage(characters=1000, audio_output_ms=60_000), 15_000_000),
        ("azure stt", "unknown", Usage(audio_input_ms=3_600_000), 1_000_000_000),
        ("amazon transcribe", "unknown", Usage(audio_input_ms=60_000), 10_000_000),
        ("amazon polly", "generative", Usage(characters=1000), 30_000_000),
        ("amazon polly", "standard", Usage(characters=1000), 4_000_000),
        ("resemble", "unknown", Usage(characters=900, audio_output_ms=60_000), 30_000_000),
        ("hume", "Octave", Usage(characters=1000), 150_000_000),
        ("lmnt", "blizzard", Usage(characters=1000), 50_000_000),
        ("minimax", "speech-02-turbo", Usage(characters=1000), 60_000_000),
        ("mistral_ai", "voxtral-mini-tts-latest", Usage(characters=1000), 16_000_000),
        ("smallestai", "lightning_v3.1_pro", Usage(characters=1000), 19_500_000),
        ("smallestai", "pulse", Usage(audio_input_ms=60_000), 8_000_000),
        ("livekit", "deepgram/nova-2", Usage(session_ms=60_000), 5_800_000),
        ("livekit", "deepgram/flux-general", Usage(session_ms=60_000), 6_500_000),
        ("livekit", "google/gemma-4-31b-it", Usage(1_000_000, 100_000), 520_000_000),
        ("livekit", "fishaudio/s2.1-pro", Usage(characters=1000), 15_000_000),
        ("livekit", "elevenlabs/eleven_flash_v2_5", Usage(characters=1000), 150_000_000),
        ("livekit", "openai/gpt-5.4", Usage(1_000_000, 100_000, 200_000), 6_350_000_000),
    ],
)
def test_speech_is_priced_as_its_vendor_bills_it(
    provider: str, model: str, usage: Usage, nano: int
) -> None:
    """Where genai-prices knows nothing."""
    price = BOOK.price(Request(provider, model), model, usage)
    assert (price.cost(usage), price.source) == (nano, "overlay")


def test_a_recording_costs_no_more_than_the_same_heard_live() -> None:
    """At every vendor; a table that says so has taken one column for another."""
    live = speech_table().rows
    batch = [row for row in ROWS if row.tier == "batch"]
    assert batch
    for row in batch:
        streamed = live[(row.provider or "", row.model, None)]
        assert row.rates is not None
        assert streamed.rates is not None
        assert row.rates["speech"].nano <= streamed.rates["speech"].nano, row.model


@pytest.mark.parametrize(
    ("model", "nano"),
    [
        ("westeurope:en-US-JennyNeural", 15_000_000),
        ("chinaeast2:en-US-JennyNeural", None),
        ("usgovvirginia:en-US-JennyNeural", None),
        ("eastus:zh-CN-liaoning-XiaobeiNeural", 15_000_000),
        ("mine.cognitiveservices.azure.com:en-US-JennyNeural", 15_000_000),
        ("mine.cognitiveservices.azure.us:en-US-JennyNeural", None),
        ("westeurope:en-US-Ava:DragonHDLatestNeural", 22_000_000),
        ("westeurope:en-US-Ava:DragonHDFlashLatestNeural", 15_000_000),
        ("westeurope:en-US-Ava:DragonHDOmniLatestNeural", None),
        ("westeurope:OurOwnNeural:4d1c4b6e", None),
        ("westeurope:en-US-OurOwnNeural:4d1c4b6e", None),
        ("unknown", None),
    ],
)
def test_azures_voices_are_priced_by_their_kind(model: str, nano: int | None) -> None:
    """Its plugin names a region and a voice; a voice of one's own has a price of its own."""
    price = BOOK.find("azure tts", model)
    assert (price and price.cost(Usage(characters=1000))) == nano
