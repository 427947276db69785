"""What ``extra_body`` lays over a request is what the provider reads, so it is what is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lanes import make_client

from aden import Budget, Degrade, RequestCancelledError
from aden.instrumentation.openai.parameters import as_sent
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

CHAT: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Say hello in 20 tokens"}],
    "max_tokens": 40,
}
RESPONSE: dict[str, Any] = {"model": "gpt-4o-mini", "input": "Say hello in 20 tokens"}
DEARER: dict[str, Any] = {"model": "gpt-4o"}


def create(server: OpenAIServer, request: dict[str, Any], **more: Any) -> Any:
    """Send it by its method."""
    client = make_client("sync", server)
    resource = client.responses if "input" in request else client.chat.completions
    return resource.create(**request, **more)


@pytest.mark.parametrize("request_", [CHAT, RESPONSE])
def test_the_model_that_is_asked_there_is_the_one_that_is_booked(
    request_: dict[str, Any], server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It costs sixteen times as much as the other."""
    house = instrumented()
    create(server, request_, extra_body=DEARER)
    (record,) = house.settled()
    assert (record.asked_model, record.cost) == ("gpt-4o", server.bill.total_nano_usd)


def test_a_degrade_reaches_the_model_that_is_asked_there(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The caller's own mapping is not touched."""
    house = instrumented(budgets=[Budget("all", "100", ladder=[Degrade(0, "gpt-4o-mini")])])
    body = dict(DEARER)
    create(server, CHAT, extra_body=body)
    (record,) = house.settled()
    (item,) = server.bill.items
    assert item.model == record.model == "gpt-4o-mini"
    assert record.cost == server.bill.total_nano_usd
    assert body == DEARER


@pytest.mark.parametrize(
    "body",
    [
        {"web_search_options": {}},
        {"modalities": ["text", "audio"]},
        {"best_of": 5},
        {"n": 5},
        {"max_tokens": 4_000},
        {"functions": [{"name": "f", "description": "long " * 9_000}]},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
    ],
)
def test_what_makes_it_dearer_there_is_not_bounded(
    body: dict[str, Any], server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A budget that may never be exceeded refuses it."""
    instrumented(budgets=[Budget("all", "100", overrun="never")])
    with pytest.raises(RequestCancelledError) as refused:
        create(server, CHAT, extra_body=body)
    assert refused.value.reason == "unbounded"
    create(server, CHAT, extra_body={"user": "somebody"})


def test_azure_reads_the_model_in_the_url() -> None:
    """So there the body's counts for nothing, and the other parameters do."""

    class Azure:
        _azure_deployment = None

    asked = {"model": "mine", "extra_body": {"model": "gpt-4o", "n": 2, "metadata": {}}}
    assert as_sent(asked, Azure()) == asked | {"n": 2}
    assert as_sent(asked, None) == asked | {"n": 2, "model": "gpt-4o"}
