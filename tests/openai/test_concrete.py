"""Where the SDK takes any iterable, it is held and booked as the list that it stands for."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from lanes import make_client

from aden.instrumentation.openai import completions
from aden.instrumentation.openai.concrete import concrete
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from house import House

TEXTS = ["word " * 2000] * 3
PARTS = [{"type": "text", "text": text} for text in TEXTS]


class Column:
    """As a data frame has one: no list, and read as often as one likes."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


KINDS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "deque": deque,
    "column": Column,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["messages", "content"])
def test_a_conversation_of_any_iterables_is_held_by_its_text(
    where: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A message's parts may be one as well; what reaches the provider is the same."""
    house = instrumented()
    content: Any = KINDS[kind](PARTS) if where == "content" else PARTS
    messages: Any = [{"role": "user", "content": content}]
    messages = KINDS[kind](messages) if where == "messages" else messages
    create = make_client("sync", server).chat.completions.create
    stream = create(model="gpt-4o", messages=messages, max_tokens=5, stream=True)
    text = sum(map(len, TEXTS))
    assert house.balance().held > text // 4 * 2_500
    body: Any = server.requests[-1].body
    assert body["messages"] == [{"role": "user", "content": PARTS}]
    list(stream)


def test_what_can_be_read_twice_stays_the_caller_s_own() -> None:
    """Nothing is copied then."""
    messages = [{"role": "user", "content": PARTS}]
    asked = {"messages": messages, "tools": None, "user": iter("abc")}
    made = concrete(asked)
    assert made == asked
    assert made["messages"] is messages


@pytest.mark.parametrize("kind", [list, tuple])
def test_each_of_several_prompts_has_choices_of_its_own(kind: Callable[[list[str]], Any]) -> None:
    """In whatever sequence they are given."""
    asked = {"model": "gpt-3.5-turbo-instruct", "prompt": kind(["a", "b", "c"]), "n": 2}
    assert completions.describe(asked, None).choices == 6
