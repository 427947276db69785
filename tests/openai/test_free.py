"""What costs nothing passes: no call, no span, no refusal, and the answer of the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lanes import Lane
from shapes import REQUEST

from aden import Budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

ASK = {"model": "gpt-4o", "input": "Say hello in 12 tokens."}
LISTED = {"object": "list", "first_id": "a", "last_id": "b", "has_more": False}
USES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("chat.completions.retrieve", {"completion_id": "chat"}),
    ("chat.completions.list", {}),
    ("chat.completions.update", {"completion_id": "chat", "metadata": {"a": "b"}}),
    ("chat.completions.delete", {"completion_id": "gone"}),
    ("chat.completions.messages.list", {"completion_id": "chat"}),
    ("responses.retrieve", {"response_id": "response"}),
    ("responses.cancel", {"response_id": "response"}),
    ("responses.delete", {"response_id": "old"}),
    ("responses.input_items.list", {"response_id": "response"}),
    ("responses.input_tokens.count", ASK),
)


async def stored(kind: str, server: OpenAIServer) -> str:
    """The id of a response that the server keeps; a completion and lists are at fixed paths."""
    lane = Lane(kind, server)
    chat = (await lane.create(**REQUEST)).to_dict()
    message = {**chat["choices"][0]["message"], "id": "m1"}
    response = await lane.get(lane.responses.create(**ASK))
    item = response.output[0].to_dict()
    await lane.close()
    root = f"/v1/responses/{response.id}"
    server.serve("/v1/chat/completions/chat", chat)
    server.serve("/v1/chat/completions", {**LISTED, "data": [chat]})
    deleted = {"id": "gone", "object": "chat.completion.deleted", "deleted": True}
    server.serve("/v1/chat/completions/gone", deleted)
    server.serve("/v1/chat/completions/chat/messages", {**LISTED, "data": [message]})
    server.serve("/v1/responses/old", {"id": "old", "object": "response", "deleted": True})
    server.serve(f"{root}/input_items", {**LISTED, "data": [item]})
    counted = {"object": "response.input_tokens", "input_tokens": 7}
    server.serve("/v1/responses/input_tokens", counted)
    return str(response.id)


async def use_all(kind: str, server: OpenAIServer, response_id: str) -> list[Any]:
    """What each method answers, once each."""
    lane = Lane(kind, server)
    answers = []
    for name, asked in USES:
        method: Any = lane.client
        for part in name.split("."):
            method = getattr(method, part)
        kept = {"response_id": response_id} if asked.get("response_id") == "response" else {}
        answer = await lane.get(method(**asked | kept))
        answers.append((name, type(answer), None if answer is None else answer.to_dict()))
    await lane.close()
    return answers


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_is_stored_is_read_and_changed_for_nothing(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Also where no budget has anything left; another process made what is read."""
    response_id = await stored(kind, server)
    bare = await use_all(kind, server, response_id)
    assert [name for name, _, said in bare if not said] == ["responses.delete"]
    billed = server.bill.total_nano_usd
    house = instrumented(budgets=[Budget("all", 0)])
    assert await use_all(kind, server, response_id) == bare
    assert server.bill.total_nano_usd == billed
    house.settled(0)
    assert house.spans == ()
    assert not house.failures()
