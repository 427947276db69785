"""A degrade target that cannot take the request is skipped, or falls back once."""

import re
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

import aden
from aden import ANY, Budget, Degrade
from aden.runtime import current_runtime
from aden.testing import OpenAIServer, RecordingEmitter, Status

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello in 12 tokens."}]
USED_UP_TO_80 = [Budget("b", "1", ladder=[Degrade(0, "gpt-4o-mini")])]


@pytest.fixture
def calls() -> Iterator[RecordingEmitter]:
    """Aden with a ladder that degrades everything."""
    emitter = RecordingEmitter()
    aden.instrument(budgets=USED_UP_TO_80, ledger="memory:", emit_metric=emitter)
    yield emitter
    aden.uninstrument()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "The model `gpt-4o-mini` does not exist"),
        (403, "Project `proj_1` does not have access to model `gpt-4o-mini`"),
        (404, "The model `gpt-4o-mini` does not exist or you do not have access to it."),
        (404, "The API deployment for this resource does not exist."),  # Azure's words
        (422, "model gpt-4o-mini: extra inputs are not permitted"),
    ],
)
def test_an_answer_that_refuses_the_model_falls_back_once_to_the_asked_one(
    status: int, message: str, server: OpenAIServer, calls: RecordingEmitter
) -> None:
    """The caller gets the answer; what is priced and shown is the model that gave it."""
    server.script(Status(status, message=message))
    client = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    (record,) = _settled(calls)
    assert [seen.body and seen.body["model"] for seen in server.requests] == [
        "gpt-4o-mini",
        "gpt-4o",
    ]
    assert (record.model, record.attempts) == ("gpt-4o", 2)
    assert record.cost == server.bill.total_nano_usd


@pytest.mark.parametrize(
    ("status", "message", "raised"),
    [
        (400, "messages is too long", openai.BadRequestError),
        (401, "Incorrect API key for this model.", openai.AuthenticationError),
        (403, "Country, region, or territory not supported", openai.PermissionDeniedError),
    ],
)
async def test_a_refusal_of_something_else_is_the_caller_s(
    status: int,
    message: str,
    raised: type[Exception],
    server: OpenAIServer,
    calls: RecordingEmitter,
) -> None:
    """And nothing is sent twice."""
    server.script(Status(status, message=message))
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="k") as client:
        with pytest.raises(raised):
            await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert len(server.requests) == 1


def test_a_deployment_in_the_client_s_url_cannot_be_degraded(
    server: OpenAIServer, calls: RecordingEmitter
) -> None:
    """What is booked is what that deployment costs."""
    client = _azure(server, "2024-10-21")
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    (record,) = _settled(calls)
    assert record.model == "gpt-4o"
    assert record.cost == server.bill.total_nano_usd


def test_a_deployment_in_the_client_s_url_is_none_of_the_responses_api(
    server: OpenAIServer, calls: RecordingEmitter
) -> None:
    """There Azure reads the model in the request, whatever the client's deployment."""
    client = _azure(server, "2025-04-01-preview")
    client.responses.create(model="gpt-4o", input="Hello in 12 tokens.")
    (record,) = _settled(calls)
    assert record.model == "gpt-4o-mini"
    assert record.cost == server.bill.total_nano_usd


SOUND = "AAAA" * 4_000
SCHEMA = {"name": "room", "schema": {"type": "object"}}
TOLD = {"type": "text", "text": "What is it?"}
DEMANDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an image": (
        "o3-mini",
        "chat.completions",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [TOLD, {"type": "image_url", "image_url": {"url": "https://a.b/c"}}],
                }
            ]
        },
    ),
    "an image, responses": (
        "o3-mini",
        "responses",
        {
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "https://a.b/c"}],
                }
            ]
        },
    ),
    "sound": (
        "gpt-4o-mini",
        "chat.completions",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        TOLD,
                        {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
                    ],
                }
            ]
        },
    ),
    "a spoken answer": (
        "gpt-4o-mini",
        "chat.completions",
        {
            "messages": HELLO,
            "modalities": ["text", "audio"],
            "audio": {"voice": "alloy", "format": "wav"},
        },
    ),
    "a schema": (
        "gpt-3.5-turbo",
        "chat.completions",
        {
            "messages": HELLO,
            "response_format": {"type": "json_schema", "json_schema": SCHEMA},
        },
    ),
    "a schema, responses": (
        "gpt-3.5-turbo",
        "responses",
        {"input": "Hello", "text": {"format": {"type": "json_schema", **SCHEMA}}},
    ),
}


@pytest.mark.parametrize("what", DEMANDS)
def test_what_the_target_cannot_take_keeps_the_asked_model(what: str, server: OpenAIServer) -> None:
    """No request is spent on finding out; the same target takes a plain request."""
    target, resource, request = DEMANDS[what]
    aden.instrument(budgets=[Budget("b", "1", ladder=[Degrade(0, target)])], ledger="memory:")
    client = openai.OpenAI(base_url=server.base_url, api_key="k")
    attrgetter(resource)(client).create(model="gpt-4o", **request)
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    aden.uninstrument()
    assert [seen.body and seen.body["model"] for seen in server.requests] == ["gpt-4o", target]


def test_a_record_names_the_budget_that_decided(server: OpenAIServer) -> None:
    """Not the one of all customers, of which more is spent than of this customer's."""
    told: list[aden.CallRecord] = []
    each = Budget("each", "0.005", scope={"customer": ANY}, ladder=[Degrade(90, "gpt-4o-mini")])
    aden.instrument(budgets=[each, Budget("all", "1")], ledger="memory:", emit_metric=told.append)
    client = openai.OpenAI(base_url=server.base_url, api_key="k")
    for customer in ("acme", "globex"):
        with aden.attribution(customer_id=customer):
            client.chat.completions.create(model="gpt-4o", messages=HELLO)
    aden.flush()
    aden.uninstrument()
    assert [(record.decision.action, record.budget_id) for record in told] == [
        ("degrade", "each"),
        ("degrade", "each"),
    ]


def test_a_reasoning_effort_keeps_the_model_that_takes_one(
    server: OpenAIServer, calls: RecordingEmitter
) -> None:
    """gpt-4o-mini knows no reasoning effort."""
    client = openai.OpenAI(base_url=server.base_url, api_key="k")
    client.chat.completions.create(model="o1", messages=HELLO, reasoning_effort="low")
    assert [seen.body and seen.body["model"] for seen in server.requests] == ["o1"]
    (record,) = _settled(calls)
    assert record.cost == server.bill.total_nano_usd


@pytest.mark.parametrize(
    ("asked", "target", "least", "most"), [("gpt-4o", "o1", 30, 30), ("o1", "gpt-4o", 1, 20)]
)
def test_left_early_it_costs_what_the_model_that_was_sent_may_have_thought(
    asked: str, target: str, least: int, most: int
) -> None:
    """Nobody sees what a reasoning model generates; another one hides nothing."""
    told: list[aden.CallRecord] = []
    aden.instrument(
        budgets=[],
        ledger="memory:",
        emit_metric=told.append,
        before_request=lambda *_: aden.BeforeRequestResult.degrade(target, "a test"),
    )
    with (
        OpenAIServer(ttft_ms=0, token_interval_ms=50) as slow,
        openai.OpenAI(base_url=slow.base_url, api_key="k") as client,
        client.chat.completions.create(
            model=asked, messages=HELLO, stream=True, max_completion_tokens=30
        ) as stream,
    ):
        next(stream)
    aden.flush()
    aden.uninstrument()
    (record,) = told
    assert record.model == target
    assert least <= (record.usage.output_tokens or 0) <= most


def test_parse_passes_the_same_gate(server: OpenAIServer) -> None:
    """It does not go through create."""
    aden.instrument(budgets=[Budget("none", 0)], ledger="memory:")
    try:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        with pytest.raises(aden.RequestCancelledError):
            client.chat.completions.parse(model="gpt-4o", messages=HELLO)
        assert not server.requests
    finally:
        aden.uninstrument()


def _settled(calls: RecordingEmitter) -> list[aden.CallRecord]:
    aden.flush()
    runtime = current_runtime()
    assert runtime is not None
    return list(calls.records)


def test_a_hook_s_dearer_model_is_refused_by_what_it_may_cost_itself(server: OpenAIServer) -> None:
    """Not by the asked model's cost, which would have fitted."""
    aden.instrument(
        budgets=[Budget("b", "0.002")],
        ledger="memory:",
        before_request=lambda params, context: aden.BeforeRequestResult.degrade("o1", "smarter"),
    )
    try:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        with pytest.raises(aden.RequestCancelledError) as refused:
            client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, max_tokens=50)
    finally:
        aden.uninstrument()
    may_cost = re.search(r"may cost \$([\d.]+)", str(refused.value))
    assert may_cost is not None
    assert float(may_cost[1]) > 50 * 60 / 1e6


def _azure(server: OpenAIServer, api_version: str) -> openai.AzureOpenAI:
    """A client with a deployment in its URL."""
    return openai.AzureOpenAI(
        azure_endpoint=server.azure_endpoint,
        azure_deployment="gpt-4o",
        api_version=api_version,
        api_key="k",
    )
