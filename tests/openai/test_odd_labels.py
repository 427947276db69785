"""Labels that are no texts: what they pay for is gated, booked and told like any other."""

from __future__ import annotations

import enum
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from lanes import make_client

from aden import ANY, Budget, RequestCancelledError, attribution
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

REQUEST: Any = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Say hello in 20 tokens"}],
    "max_tokens": 40,
}


class Customer(str, enum.Enum):  # noqa: UP042 - its ``str()`` is not its value
    """A program's own list of customers."""

    ACME = "acme"


@pytest.mark.parametrize("label", [0, 42, uuid.UUID(int=7), ["a"], {"id": 1}, Customer.ACME])
def test_a_label_of_any_type_is_refused_by_an_exhausted_budget(
    label: Any, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Each time that it asks, also right after another refusal; and each refusal is journaled."""
    house = instrumented(budgets=[Budget("each", "0", scope={"customer": ANY})])
    create = make_client("sync", server).chat.completions.create
    for who in ("globex", "globex", label, label):
        with attribution(customer_id=who, session_id=who), pytest.raises(RequestCancelledError):
            create(**REQUEST)
    assert server.bill.items == ()
    assert {each.attribution.customer_id for each in house.settled(4)} == {
        "globex",
        "acme" if label is Customer.ACME else str(label),
    }


def test_a_budget_for_a_customer_meets_the_one_that_is_named_by_an_enum(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """By its value, which is what the budget names."""
    instrumented(budgets=[Budget("acme", "0", scope={"customer": "acme"})])
    create = make_client("sync", server).chat.completions.create
    with attribution(customer_id=Customer.ACME), pytest.raises(RequestCancelledError):
        create(**REQUEST)


def test_a_number_in_a_request_s_metadata_is_a_label_too(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The provider takes texts only, so it is not sent; the budget is asked all the same."""
    instrumented(budgets=[Budget("each", "0", scope={"customer": ANY})])
    create = make_client("sync", server).chat.completions.create
    with pytest.raises(RequestCancelledError) as refused:
        create(**REQUEST, extra_body={"metadata": {"customer_id": 42}})
    assert refused.value.scope == "customer=42"


async def test_an_async_function_that_is_decorated_meets_its_customer_s_budget(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What it awaits is inside the block."""
    instrumented(budgets=[Budget("acme", "0", scope={"customer": "acme"})])

    @attribution(customer_id="acme")
    async def answer() -> Any:
        async with make_client("async", server) as client:
            return await client.chat.completions.create(**REQUEST)

    with pytest.raises(RequestCancelledError):
        await answer()
