"""What the endpoints beside chat are asked, sent and told: models, files, odd values."""

from __future__ import annotations

import copy
import io
import json
import pickle
import tempfile
from typing import TYPE_CHECKING, Any

import openai
import pytest
from endpoint_shapes import ROWS, Row, sound, wav_file
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes import Lane

import aden
from aden.core.request import Request
from aden.instrumentation.openai import responses
from aden.instrumentation.openai.measuring import IMAGE_TOKENS
from aden.instrumentation.openai.paths import GATED
from aden.instrumentation.openai.uploads import duration
from aden.metering.attempt import Attempt
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

KINDS = ("sync", "async")
CLIENT = openai.OpenAI(api_key="k")
PICTURE = "data:image/png;base64," + 400_000 * "A"
NAMED = {row.name: row for row in ROWS}


@pytest.mark.parametrize("name", ["embeddings", "completions", "images", "speech by the character"])
def test_the_module_level_client_is_gated(
    name: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``openai.embeddings.create(…)`` and its kin."""
    monkeypatch.setattr(openai, "api_key", "key")
    monkeypatch.setattr(openai, "base_url", server.base_url + "/")
    house = instrumented()
    row = NAMED[name]
    resource: Any = openai
    *path, method = row.method.split(".")
    for each in path:
        resource = getattr(resource, each)
    try:
        getattr(resource, method)(**row.request())
    finally:
        openai._reset_client()
    record, _ = house.one_call()
    assert record.cost == server.bill.total_nano_usd > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "target", "taken"),
    [
        ("embeddings", "text-embedding-3-large", True),
        ("embeddings", "gpt-4o-mini", False),
        ("speech by tokens that nobody tells", "tts-1", True),
        ("speech by the character", "gpt-4o-mini", False),
        ("transcript by the second", "gpt-4o-mini-transcribe", True),
        ("images, edited", "gpt-image-1.5", True),
        ("images", "gpt-4o", False),
        ("completions", "davinci-002", True),
    ],
)
async def test_a_degrade_is_taken_by_models_that_make_the_same(
    name: str,
    target: str,
    taken: bool,
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """The wire has the target; a target that makes something else is skipped."""
    house = instrumented(
        before_request=lambda _params, _context: aden.BeforeRequestResult.degrade(target)
    )
    lane, row = Lane(kind, server), NAMED[name]
    await row.use(lane, "create")
    await lane.close()
    record, span = house.one_call()
    asked = row.request()["model"]
    sent = target if taken else asked
    (seen,) = server.requests
    assert seen.body is not None
    assert seen.body["model"] == record.model == sent
    assert record.asked_model == asked
    assert span.name == f"{row.operation} {sent}"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_hook_sees_the_parameters_and_the_callers_are_not_touched(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Also the uploaded file, whose position stays."""
    shown: list[Any] = []
    house = instrumented(before_request=lambda params, _context: shown.append(params))
    lane = Lane(kind, server)
    file = wav_file()
    file.seek(7)
    metadata = {"metadata": {"tenant_id": "t1"}}
    kept = json.dumps(metadata)
    request = {"model": "whisper-1", "file": file, "extra_body": metadata}
    with pytest.raises(aden.RequestCancelledError):  # the hook answers nothing
        await lane.get(lane.client.audio.transcriptions.create(**request))
    await lane.close()
    assert file.tell() == 7
    assert json.dumps(metadata) == kept
    (params,) = shown
    assert params["model"] == "whisper-1"
    assert params["file"] is file
    (record,) = house.settled()
    assert record.attribution.tenant_id == "t1"


def test_a_wav_tells_its_length_wherever_it_lies() -> None:
    """Bytes, a file in memory, a file on disk, with and without a name; nothing moves."""
    data = sound(3.25)
    with tempfile.TemporaryFile() as on_disk:
        on_disk.write(data)
        on_disk.flush()
        on_disk.seek(11)
        memory = io.BytesIO(data)
        memory.seek(5)
        for file in (data, memory, on_disk, ("a.wav", data), ("a.wav", memory, "audio/wav")):
            assert duration(file) == (3.25, True)
        assert (memory.tell(), on_disk.tell()) == (5, 11)


@pytest.mark.parametrize("size", [0, 2**32 - 1])
def test_a_wav_that_was_written_while_it_was_made_is_measured_by_its_size(size: int) -> None:
    """Its header names no length, or the largest that there is."""
    data = bytearray(sound(2.0))
    data[40:44] = size.to_bytes(4, "little")
    assert duration(bytes(data)) == (2.0, True)


@pytest.mark.parametrize("file", [None, 7, "text", object(), (), ("name",), ("n", None), b""])
def test_what_has_no_size_has_no_length(file: Any) -> None:
    """It is asked of the provider all the same."""
    seconds, exact = duration(file)
    assert (seconds, exact) == ((0.001, False) if file == "text" else (0.0, False)) or seconds == 0


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_no_file_breaks_the_measuring(content: bytes) -> None:
    """Whatever its bytes are, also behind a WAV's first ones."""
    for data in (content, b"RIFF\0\0\0\0WAVE" + content):
        seconds, _ = duration(data)
        assert seconds >= 0


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "usage",
                    "input_tokens",
                    "output_tokens",
                    "prompt_tokens",
                    "completion_tokens",
                    "input_tokens_details",
                    "input_token_details",
                    "image_tokens",
                    "audio_tokens",
                    "seconds",
                    "duration",
                    "type",
                    "data",
                    "embedding",
                    "choices",
                    "text",
                    "delta",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
OWN = sorted(path for path in GATED if path.startswith(("/comp", "/emb", "/images", "/audio")))


@pytest.mark.parametrize("path", OWN)
@settings(deadline=None, max_examples=50)
@given(answer=st.dictionaries(st.sampled_from(["usage", "data", "choices", "text"]), JUNK))
def test_no_answer_makes_a_count_that_is_none(path: str, answer: dict[str, Any]) -> None:
    """A reader may give up on garbage; what it has noted is a count, or nothing."""
    attempt = Attempt(Request("openai", "m", max_output_tokens=4))
    for reader in (GATED[path].read, lambda a, x: GATED[path].feed(a, x, False)):
        try:
            reader(attempt, answer)
        except (TypeError, AttributeError, KeyError, ValueError):
            continue  # the call is settled by an estimate, and a counter tells
        for name in ("input_tokens", "output_tokens", "audio_input_ms", "images"):
            count = getattr(attempt.usage, name)
            assert count is None or (isinstance(count, int) and count >= 0)
    billed = attempt.billed(3, 4)
    assert (billed.input_tokens or 0) >= 0


@pytest.mark.parametrize("path", OWN)
@settings(deadline=None, max_examples=50)
@given(
    body=st.dictionaries(
        st.sampled_from(
            [
                "model",
                "input",
                "prompt",
                "n",
                "size",
                "quality",
                "file",
                "image",
                "stream",
                "dimensions",
                "encoding_format",
                "stream_format",
                "max_tokens",
                "best_of",
                "partial_images",
            ]
        ),
        JUNK,
    )
)
def test_every_request_can_be_described(path: str, body: dict[str, Any]) -> None:
    """Odd parameters are the provider's to refuse, not ours to fall over."""
    request = GATED[path].describe(body, CLIENT)
    assert request.input_chars >= 0
    assert request.input_extra_tokens >= 0
    sent, _ = GATED[path].rewrite(dict(body), "other", True)
    assert set(sent) - {"stream_options"} == set(body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [NAMED["embeddings"], NAMED["speech by the character"]])
@pytest.mark.parametrize("model", ["ü" * 5_000, "x" * 10_000, "ft:tts:org::id"])
async def test_models_with_odd_names_are_settled(
    row: Row, model: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Unknown prices are floored, never zero."""
    house = instrumented()
    lane = Lane(kind, server)
    *path, name = row.method.split(".")
    resource = lane.client
    for each in path:
        resource = getattr(resource, each)
    await lane.get(getattr(resource, name)(**(row.request() | {"model": model})))
    await lane.close()
    record, _ = house.one_call()
    assert (record.price_source, record.cost > 0) == ("floor", True)


@pytest.mark.parametrize("kind", KINDS)
async def test_positional_arguments_and_missing_ones_fail_as_without_us(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The SDK says it itself; nothing was asked, so nothing is booked."""
    lane = Lane(kind, server)
    wrong: tuple[Callable[[], Any], ...] = (
        lambda: lane.client.embeddings.create("text"),
        lambda: lane.client.audio.speech.create(input="x"),
        lane.client.images.generate,
    )
    said = []
    for instrument in (False, True):
        house = instrumented() if instrument else None
        errors = []
        for each in wrong:
            with pytest.raises(TypeError) as error:
                await lane.get(each())
            errors.append(str(error.value))
        said.append(errors)
    await lane.close()
    assert said[0] == said[1]
    assert house is not None
    assert house.settled(0) == ()


def test_what_was_spoken_can_be_copied_and_pickled(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """As without us, to be cached or handed to another process."""
    house = instrumented()
    with openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        sound = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello there")
    assert pickle.loads(pickle.dumps(sound)).content == sound.content  # noqa: S301 - our own
    assert copy.deepcopy(sound).content == sound.content
    house.one_call()


@pytest.mark.parametrize(
    "item",
    [
        {
            "type": "computer_call_output",
            "call_id": "c1",
            "output": {"type": "computer_screenshot", "image_url": PICTURE},
        },
        {"type": "image_generation_call", "id": "i1", "status": "completed", "result": PICTURE},
    ],
)
def test_a_picture_in_a_conversation_is_measured_as_one(item: dict[str, Any]) -> None:
    """Not as a text of its base64, whose tokens no budget would bear."""
    request = responses.describe({"model": "gpt-4o", "input": [item]}, CLIENT)
    assert request.media
    assert request.input_extra_tokens > IMAGE_TOKENS
    assert request.input_chars < 100
