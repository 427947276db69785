"""Budgets that count tokens or requests instead of money, end to end."""

import openai
import pytest

import aden
from aden.runtime import current_runtime
from aden.testing import OpenAIServer


def test_a_budget_of_requests_lets_exactly_so_many_through(server: OpenAIServer) -> None:
    """The fourth of three is refused, and the message speaks of requests."""
    aden.instrument(budgets=[aden.Budget("three", limit=aden.requests(3))], ledger="memory:")
    try:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        for _ in range(3):
            _ask(client)
        with pytest.raises(aden.RequestCancelledError, match="3 requests spent of 3 requests"):
            _ask(client)
        assert len(server.bill.items) == 3
    finally:
        aden.uninstrument()


def test_a_budget_of_tokens_books_what_the_provider_counted(server: OpenAIServer) -> None:
    """Input and output together."""
    budget = aden.Budget("tokens", limit=aden.tokens(100_000))
    aden.instrument(budgets=[budget], ledger="memory:")
    try:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        _ask(client)
        runtime = current_runtime()
        assert runtime is not None
        (balance,) = runtime.meter.ledger.balances([("tokens", budget.span)])
        (item,) = server.bill.items
        assert balance.spent == item.input_tokens + item.output_tokens
        assert balance.held == 0
    finally:
        aden.uninstrument()


def _ask(client: openai.OpenAI) -> None:
    client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello in 12 tokens."}]
    )
