"""Each sending of a request is an attempt of one call, and one that may be billed is priced."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from lanes import Lane
from shapes import REQUEST, STREAM, streamed

import aden
from aden.testing import Drop, Hang, OpenAIServer, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing.script import Step
    from house import House

KINDS = ("sync", "async")
SOON = Status(503, retry_after_s=0.01)


@dataclass(frozen=True)
class Case:
    """What the server does, and what we have to make of it."""

    name: str
    steps: tuple[Step, ...]
    attempts: int
    unsure: int
    """Attempts of which nobody knows whether they were billed."""
    error: type[Exception] | None = None


CASES = (
    Case("the first try answers", (), 1, 0),
    Case("500, then an answer", (Status(500, retry_after_s=0.01),), 2, 0),
    Case("429, then an answer", (Status(429, retry_after_s=0.01),), 2, 0),
    Case("503 to the end", (SOON, SOON, SOON), 3, 0, openai.InternalServerError),
    Case("a time-out, then an answer", (Hang(2),), 2, 1),
    Case("500, a time-out, an answer", (SOON, Hang(2)), 3, 1),
    Case("cut, then an answer", (Drop(4),), 2, 1),
    Case("time-outs to the end", (Hang(2), Hang(2)), 2, 2, openai.APITimeoutError),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_attempts_are_counted_and_those_that_may_be_billed_are_priced(
    case: Case, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A refusal by status is free; what was sent and never answered costs what was reserved."""
    house = instrumented()
    server.script(*case.steps)
    lane = Lane(kind, server, max_retries=case.attempts - 1, timeout=0.2)
    if case.error:
        with pytest.raises(case.error):
            await lane.create(**REQUEST)
    else:
        await lane.create(**REQUEST)
    await lane.close()
    assert server.wait_idle()
    record, span = house.one_call()
    assert record.attempts == case.attempts == len(server.requests)
    assert (span.attributes or {})["aden.attempts"] == case.attempts
    assert record.usage.estimated is bool(case.unsure)
    answered = 0 if case.error else 12
    assert (record.usage.output_tokens or 0) == answered + 40 * case.unsure
    billed = server.bill.total_nano_usd
    assert record.cost == billed if not case.unsure else record.cost >= billed


@pytest.mark.parametrize("kind", KINDS)
async def test_a_timed_out_stream_that_never_began_is_priced_and_its_retry_too(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The provider may have worked all the while: silence is no reason to book nothing."""
    house = instrumented()
    server.script(Hang(2))
    lane = Lane(kind, server, max_retries=1, timeout=0.2)
    await streamed(lane)
    await lane.close()
    assert server.wait_idle()
    record, _ = house.one_call()
    assert (record.attempts, record.stream_end) == (2, "complete")
    assert record.usage.output_tokens == 12 + 40
    assert record.cost >= server.bill.total_nano_usd > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("request_", [REQUEST, STREAM], ids=["plain", "stream"])
async def test_a_refused_connection_is_free(
    kind: str, request_: dict[str, Any], server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What never reached a provider is counted as an attempt and costs nothing."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    house = instrumented()
    lane = Lane(kind, server, base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(openai.APIConnectionError):
        await lane.create(**request_)
    record, span = house.one_call()
    assert (record.attempts, record.cost, record.usage.output_tokens) == (1, 0, None)
    assert (span.attributes or {})["error.type"] == "openai.APIConnectionError"


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("limit", "sent"), [("0.0006", 1), ("0.0018", 2)])
async def test_a_retry_of_what_may_have_been_billed_has_to_fit_as_well(
    kind: str, limit: str, sent: int, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Else each open call could cost many times what it held; what is owed stays booked."""
    house = instrumented(budgets=[aden.Budget("all", limit)])
    server.script(Hang(2))
    lane = Lane(kind, server, max_retries=1, timeout=0.6)
    if sent == 1:
        with pytest.raises(aden.RequestCancelledError, match="'all' is exhausted") as refused:
            await lane.create(**REQUEST)
        assert refused.value.details.budget_id == "all"
    else:
        await lane.create(**REQUEST)
    await lane.close()
    assert server.wait_idle()
    record, _ = house.one_call()
    assert record.attempts == len(server.requests) == sent
    assert house.balance().settled == record.cost >= server.bill.total_nano_usd > 0


async def test_the_answers_own_input_count_prices_the_attempt_that_timed_out(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Two attempts of one request have the same prompt: what the second counted holds for both."""
    house = instrumented()
    server.script(Hang(2))
    await Lane("sync", server, max_retries=1, timeout=0.2).create(**REQUEST)
    record, _ = house.one_call()
    assert record.usage.input_tokens == 2 * server.bill.items[0].input_tokens


class Certified(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """A network that gives a token for a certificate, and times out before it answers."""

    def __init__(self) -> None:
        self.asked = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer the token's request and the second of the API's."""
        if request.url.path.endswith("/token"):
            token = {"access_token": "abc", "token_type": "Bearer", "expires_in": 3600}
            kind = "urn:ietf:params:oauth:token-type:access_token"
            return httpx2.Response(200, json=token | {"issued_token_type": kind})
        self.asked += 1
        if self.asked == 1:
            raise httpx2.ReadTimeout("no answer", request=request)
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        return httpx2.Response(200, json={"id": "c", "choices": [], "usage": usage})

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The same."""
        return self.handle_request(request)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_a_certificate_admits_has_its_attempts_too(
    kind: str, instrumented: Callable[..., House]
) -> None:
    """It is sent past the method that sends all others."""
    house = instrumented()
    identity: Any = {"type": "x509", "identity_provider_id": "idp", "service_account_id": "account"}
    transport: Any = Certified()
    make: Any = openai.AsyncOpenAI if kind == "async" else openai.OpenAI
    http: Any = httpx2.AsyncClient if kind == "async" else httpx2.Client
    client = make(workload_identity=identity, http_client=http(transport=transport), max_retries=1)
    answer = client.chat.completions.create(**REQUEST)
    if kind == "async":
        await answer
    record, _ = house.one_call()
    assert record.attempts == transport.asked == 2
    assert record.usage.estimated
    assert (record.usage.input_tokens or 0) > 10
