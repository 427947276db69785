"""``overrun="never"``: by the provider's own bill, no more than the budget is ever spent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import Lane
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response, ResponseIncompleteEvent, ResponseOutputMessage

from aden import Budget, Degrade, RequestCancelledError
from aden.testing import Hang, NoCap, Normal, OpenAIServer, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from house import House

CAP = "gen_ai.request.max_tokens"
TOLD = "Unsupported parameter: '{}' is not supported with this model."


def never(limit_usd: str, **keywords: Any) -> Budget:
    """A budget that is never exceeded."""
    return Budget("all", limit_usd, overrun="never", **keywords)


def asking(tokens: int, model: str = "gpt-4o", **keywords: Any) -> dict[str, Any]:
    """A request whose answer has so many tokens, if nothing caps it."""
    question = {"role": "user", "content": f"Say hello in {tokens} tokens."}
    return {"model": model, "messages": [question], **keywords}


def caps(server: OpenAIServer) -> list[Any]:
    """By what each request was capped."""
    bodies = [seen.body or {} for seen in server.requests]
    return [{key: body[key] for key in body if key.startswith("max_")} for body in bodies]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_cap_is_lowered_to_what_is_left(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """By the parameter that the request uses, halved until it fits, and then it is refused."""
    house = instrumented(budgets=[never("0.006")])
    lane = Lane(kind, server)
    for _ in range(3):
        await lane.create(**asking(300, max_completion_tokens=400))
    with pytest.raises(RequestCancelledError) as refused:
        await lane.create(**asking(300, max_completion_tokens=400))
    assert caps(server) == [{"max_completion_tokens": cap} for cap in (400, 200, 64)]
    assert refused.value.reason == "exhausted"
    records = house.settled(4)
    assert [(span.attributes or {}).get(CAP) for span in house.spans] == [400, 200, 64, 400]
    assert [record.finish_reasons for record in records[:3]] == [
        ("stop",),
        ("length",),
        ("length",),
    ]
    assert house.balance().spent == server.bill.total_nano_usd <= 6_000_000


async def test_a_request_without_a_cap_gets_one(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """An answer of unknown length is none that could be held."""
    house = instrumented(budgets=[never("1")])
    await Lane("async", server).create(**asking(30))
    assert caps(server) == [{"max_tokens": 4096}]
    _, span = house.one_call()
    assert (span.attributes or {})[CAP] == 4096


async def test_a_cheaper_models_whole_answer_comes_before_half_of_the_asked_one(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The ladder is what the user said of a budget that runs out."""
    house = instrumented(budgets=[never("0.003", ladder=[Degrade(80, "gpt-4o-mini")])])
    await Lane("async", server).create(**asking(300, max_tokens=400))
    record, _ = house.one_call()
    assert (record.model, record.usage.output_tokens) == ("gpt-4o-mini", 300)
    assert caps(server) == [{"max_tokens": 400}]


async def test_a_server_that_knows_the_other_name_is_asked_by_it_from_then_on(
    instrumented: Callable[..., House],
) -> None:
    """The caller sees neither the refusal nor the parameter."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=0) as server:
        house = instrumented(budgets=[never("1")])
        server.script(Status(400, message=TOLD.format("max_tokens")))
        lane = Lane("sync", server)
        await lane.create(**asking(30))
        await lane.create(**asking(30))
        names = [next(iter(cap)) for cap in caps(server)]
        assert names == ["max_tokens", "max_completion_tokens", "max_completion_tokens"]
        house.settled(2)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_stream_that_takes_no_cap_ends_when_no_budget_bears_its_next_slice(
    kind: str, instrumented: Callable[..., House]
) -> None:
    """By a chunk as the provider would have sent it, and with its connection closed."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=1) as server:
        house = instrumented(budgets=[never("0.0005")])
        server.script(*(Status(400, message=TOLD.format(name)) for name in CAPS))
        lane = Lane(kind, server)
        stream = await lane.create(**asking(5000, "gpt-4o-mini", stream=True))
        chunks = await lane.all(stream)
        assert await lane.all(stream) == []
        assert server.wait_idle()
        assert caps(server)[-1] == {}
        billed = server.bill.total_nano_usd
    last = chunks[-1]
    assert type(last) is ChatCompletionChunk
    assert (last.id, last.model) == (chunks[0].id, chunks[0].model)
    assert [choice.finish_reason for choice in last.choices] == ["length"]
    assert stream.response.is_closed
    record, span = house.one_call()
    assert record.stream_end == (span.attributes or {})["aden.stream.end"] == "budget"
    assert record.decision.action == "allow"
    assert CAP not in (span.attributes or {})
    assert record.finish_reasons == ("length",)
    assert record.usage.estimated
    assert len(chunks) > 256
    assert billed <= house.balance().spent <= 500_000


RESPONSE = {"model": "gpt-4o-mini", "input": "Say hello in 5000 tokens."}


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_response_that_takes_no_cap_ends_incomplete(
    kind: str, instrumented: Callable[..., House]
) -> None:
    """By the event that the provider sends at a cap, with all that was said."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=1) as server:
        house = instrumented(budgets=[never("0.0005")])
        server.script(Status(400, message=TOLD.format("max_output_tokens")))
        lane = Lane(kind, server)
        stream = await lane.get(lane.responses.create(**RESPONSE, stream=True))
        events = await lane.all(stream)
        assert await lane.all(stream) == []
        assert server.wait_idle()
        record, span = house.one_call()
        assert server.bill.total_nano_usd <= house.balance().spent <= 500_000
    assert stream.response.is_closed
    assert record.stream_end == (span.attributes or {})["aden.stream.end"] == "budget"
    assert (record.decision.action, record.error_type) == ("allow", None)
    assert record.finish_reasons == ("length",)
    assert record.usage.estimated
    assert len(events) > 256
    last = events[-1]
    assert type(last) is ResponseIncompleteEvent
    assert type(last.response) is Response
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert last.response.status == "incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert last.response.output_text == "".join(deltas) != ""
    begun = events[0].response
    assert (last.response.id, last.response.model) == (begun.id, begun.model)
    message = last.response.output[0]
    assert type(message) is ResponseOutputMessage
    assert (message.status, message.role) == ("incomplete", "assistant")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_sdks_own_helper_reads_a_response_that_was_ended(
    kind: str, instrumented: Callable[..., House]
) -> None:
    """``responses.stream`` checks that a response's events belong together."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=1) as server:
        house = instrumented(budgets=[never("0.0005")])
        server.script(Status(400, message=TOLD.format("max_output_tokens")))
        lane = Lane(kind, server)
        async with lane.within(lane.responses.stream(**RESPONSE)) as stream:
            events = await lane.all(stream)
        record, _ = house.one_call()
    assert events[-1].type == "response.incomplete"
    assert record.stream_end == "budget"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_continuation_of_a_text_is_capped_too(
    kind: str, instrumented: Callable[..., House]
) -> None:
    """Legacy ``completions``; where the server keeps to no cap, by a chunk that says ``length``."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=1) as server:
        house = instrumented(budgets=[never("0.001")])
        lane = Lane(kind, server)
        asked = {"model": "gpt-4o-mini", "prompt": "Say hello in 5000 tokens."}
        server.script(Normal(), NoCap())
        whole = await lane.get(lane.client.completions.create(**asked, max_tokens=1800))
        assert whole.choices[0].finish_reason == "length"
        stream = await lane.get(lane.client.completions.create(**asked, stream=True))
        chunks = await lane.all(stream)
        assert server.wait_idle()
        assert caps(server) == [{"max_tokens": 900}, {"max_tokens": 512}]
        record = house.settled(2)[1]
        assert server.bill.total_nano_usd <= house.balance().spent <= 1_000_000
    assert type(chunks[-1]) is Completion
    assert (chunks[-1].id, chunks[-1].choices[0].finish_reason) == (chunks[0].id, "length")
    assert stream.response.is_closed
    assert (record.stream_end, record.finish_reasons) == ("budget", ("length",))
    assert len(chunks) > 512


CAPS = ("max_tokens", "max_completion_tokens")


async def test_a_stream_that_ends_within_its_slices_is_left_alone(
    instrumented: Callable[..., House],
) -> None:
    """Its holds grow with it, and what it did not need is given back."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=0) as server:
        house = instrumented(budgets=[never("0.01")])
        server.script(*(Status(400, message=TOLD.format(name)) for name in CAPS))
        lane = Lane("async", server)
        stream = await lane.create(**asking(700, "gpt-4o-mini", stream=True))
        chunks = await lane.all(stream)
        assert chunks[-1].choices[0].finish_reason == "stop"
        record, _ = house.one_call()
        assert (record.stream_end, record.usage.output_tokens) == ("complete", 700)
        assert house.balance().spent == server.bill.total_nano_usd


@pytest.mark.parametrize(("limit", "fits"), [("1", True), ("0.01", False)])
async def test_a_plain_call_that_takes_no_cap_may_fill_the_context_window(
    limit: str, fits: bool, instrumented: Callable[..., House]
) -> None:
    """Where not even that is left, it is refused after all."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=0) as server:
        house = instrumented(budgets=[never(limit)])
        server.script(*(Status(400, message=TOLD.format(name)) for name in CAPS))
        lane = Lane("async", server)
        if fits:
            await lane.create(**asking(30, "gpt-4o-mini"))
        else:
            with pytest.raises(RequestCancelledError, match="this request may cost"):
                await lane.create(**asking(30, "gpt-4o-mini"))
        house.settled()
        assert len(server.bill.items) == fits


async def test_what_is_free_needs_no_bound(
    server: OpenAIServer, instrumented: Callable[..., House], tmp_path: Path
) -> None:
    """Nobody knows how many tokens a picture is to a model of one's own; none of them costs."""
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nhost = "127.0.0.1"\nmodel = "*"\nfree = true\n')
    house = instrumented(budgets=[never("0.01")], prices=str(prices))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    await Lane("async", server).create(
        model="llava", messages=[{"role": "user", "content": [picture]}]
    )
    record, _ = house.one_call()
    assert (record.decision.action, record.cost, house.balance().spent) == ("allow", 0, 0)


async def test_each_sending_that_may_be_billed_is_held_before_it_leaves(
    instrumented: Callable[..., House],
) -> None:
    """A time-out is retried by the SDK only as long as the budget bears one more whole answer."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=0) as server:
        # Each costs 2,032,500 at most by the bill, and 2,152,500 by what can be known before.
        house = instrumented(budgets=[never("0.005")])
        server.script(Hang(30), Hang(30), Hang(30), Hang(30))
        lane = Lane("async", server, max_retries=3, timeout=0.3)
        with pytest.raises(RequestCancelledError) as refused:
            await lane.create(**asking(200, max_tokens=200))
        assert isinstance(refused.value, openai.APIStatusError)
        record, _ = house.one_call()
        assert record.attempts == len(server.bill.items) == 2
        assert server.bill.total_nano_usd <= house.balance().spent <= 5_000_000


async def run(lane: Lane, callers: int, tries: int, tokens: Callable[[int], int]) -> None:
    """All callers at once, each again and again; in mid-run the answers may get longer."""

    async def caller(number: int) -> None:
        for turn in range(tries):
            try:
                stream = bool((number + turn) % 2)
                answer = await lane.create(**asking(tokens(turn), stream=stream))
                if stream:
                    await lane.all(answer)
            except RequestCancelledError:
                await asyncio.sleep(0.02)
            except openai.APITimeoutError:
                pass

    await asyncio.gather(*(caller(number) for number in range(callers)))


@pytest.mark.parametrize("ledger", ["memory", "sqlite"])
@pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
async def test_many_callers_never_spend_more_whatever_the_answers_length(
    ledger: str, retried: bool, instrumented: Callable[..., House], tmp_path: Path
) -> None:
    """Answers that nobody caps get ten times as long in mid-run; some are sent twice."""
    url = "memory:" if ledger == "memory" else f"sqlite://{tmp_path}/ledger.db"
    limit = 30_000_000
    house = instrumented(budgets=[never("0.03")], ledger=url)
    with OpenAIServer(ttft_ms=2, token_interval_ms=0.2) as server:
        if retried:
            for _ in range(30):
                server.script(Normal(), Normal(), Hang(20))
        lane = Lane(
            "async", server, timeout=5 if retried else 60, max_retries=1, default_headers={}
        )
        await run(lane, 50, 12, lambda turn: 20 if turn < 4 else 200)
        await lane.close()
        assert server.wait_idle(10)
        billed = server.bill.total_nano_usd
    assert billed <= limit
    assert house.balance().held == 0
    if not retried:
        assert billed >= 0.9 * limit
