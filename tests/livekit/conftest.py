"""The local provider and the lane through it."""

from collections.abc import Iterator

import pytest
from lane_kit import Lane

from aden.testing import OpenAIServer


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    """A local OpenAI-compatible server with an exact bill."""
    with OpenAIServer(ttft_ms=5, token_interval_ms=1) as server:
        yield server


@pytest.fixture
def lane(provider: OpenAIServer) -> Lane:
    """LiveKit sessions of this process, on the local provider."""
    return Lane(provider)
