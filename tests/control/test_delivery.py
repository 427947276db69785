"""Events reach the server: once each, in the end, or they are counted as lost."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import openai
import pytest
from control_kit import KEY, budget, document, record, until

import aden
from aden.control.agent import ControlAgent
from aden.control.outbox import MAX_EVENTS
from aden.core.attribution import Attribution
from aden.core.decision import Decision
from aden.core.usage import Usage
from aden.runtime import current_runtime
from aden.testing import ControlServer, OpenAIServer
from aden.testing.control_contract import Reply
from aden.testing.control_server import DROP, HANG
from house import House

Start = Callable[..., ControlAgent]
EVENTS = "/v1/control/events"
LOST = "aden.telemetry.lost"


def test_a_call_becomes_a_metric_that_the_server_prices_and_attributes(
    control: ControlServer, started: Start
) -> None:
    """The server accepts nothing that is not as the contract has it."""
    agent = started(control)
    usage = Usage(1_000, 100, cached_tokens=400, reasoning_tokens=20)
    agent.tell(record(usage=usage, provider="gcp.gemini", latency_ms=12.5, response_id="resp-1"))
    assert agent.flush(20)
    (event,) = control.books.of_kind("metric")
    data = event["data"]
    assert isinstance(data, dict)
    counted = ("input", "output", "total", "cached", "reasoning")
    assert [data[f"{each}_tokens"] for each in counted] == [1_000, 100, 1_100, 400, 20]
    assert (data["provider"], data["request_id"]) == ("gemini", "resp-1")
    assert event["event_id"] == "call:metric"
    assert data["metadata"] == {"agent": "bot", "customer_id": "acme", "tags": ["vip"]}
    assert (event["agent_name"], event["sdk_instance_id"]) == ("bot", agent.instance_id)
    told = control.books.document()["budgets"]
    assert told == [{**budget(), "spent": (600 * 0.15 + 400 * 0.075 + 100 * 0.6) / 1e6}]
    assert control.books.refused == []


def test_a_refusal_becomes_a_control_event_and_no_metric(
    control: ControlServer, started: Start
) -> None:
    """Nothing was sent, so there is nothing to price."""
    agent = started(control)
    decision = Decision("block", "exhausted", "ledger", "no more", budget_id="b1")
    agent.tell(record(attempts=0, decision=decision, repeats=7, error_type="X"))
    assert agent.flush(20)
    (event,) = control.books.of_kind("control")
    assert (event["action"], event["reason"], event["budget_id"]) == ("block", "no more", "b1")
    assert (event["policy_id"], event["repeats"]) == ("default", 7)
    assert control.books.of_kind("metric") == []


def test_a_degraded_call_is_both(control: ControlServer, started: Start) -> None:
    """It was decided, and it was sent."""
    agent = started(control)
    degrade = Decision("degrade", "policy", "policy", None, "b1", "gpt-4o-mini", 250)
    agent.tell(record(asked_model="gpt-4o", decision=degrade))
    assert agent.flush(20)
    (event,) = control.books.of_kind("control")
    told = (event["original_model"], event["degraded_to"], event["throttle_delay_ms"])
    assert told == ("gpt-4o", "gpt-4o-mini", 250)
    assert len(control.books.of_kind("metric")) == 1


def test_a_heartbeat_says_how_many_requests_there_were(
    control: ControlServer, started: Start
) -> None:
    """Refusals that repeat count each; what the gate refuses is no error."""
    control.always(EVENTS, Reply(503))
    agent = started(control)
    until(lambda: control.asked(EVENTS))
    agent.tell(record("a", error_type="APITimeoutError"))
    agent.tell(record("b", attempts=0, repeats=5, decision=Decision("block", "exhausted")))
    control.always(EVENTS, None)
    until(lambda: control.books.of_kind("heartbeat"))
    (beat,) = control.books.of_kind("heartbeat")
    assert (beat["requests_since_last"], beat["errors_since_last"]) == (6, 1)
    assert (beat["sdk_version"], beat["websocket_connected"]) == ("1.2.3", False)


def test_events_outlive_a_server_that_is_away(started: Start) -> None:
    """They are sent when it is back, each once, although it did not say that it had the first."""
    with ControlServer(document()) as first:
        agent = started(first)
        agent.tell(record("a"))
        assert agent.flush(20)
    agent.tell(record("b"))
    assert not agent.flush(5)
    assert agent.state.waiting == 1
    assert agent.state.last_error is not None
    with ControlServer(books=first.books, port=first.port) as again:
        until(lambda: agent.flush(5))
        assert len(again.books.of_kind("metric")) == 2
        assert agent.state.dropped == agent.state.rejected == 0


def test_an_answer_that_is_lost_makes_no_event_count_twice(started: Start) -> None:
    """The event keeps its id, and a server that knows it counts it once."""

    class Forgetful(ControlServer):
        """Books the first events and loses its answer."""

        lost = 0

        def reply_to(self, method: str, path: str, headers: object, body: bytes) -> Reply:
            """As usual, but for the first answer to a metric."""
            reply = super().reply_to(method, path, headers, body)  # type: ignore[arg-type]
            if path == EVENTS and b'"metric"' in body and not self.lost:
                self.lost += 1
                return DROP
            return reply

    with Forgetful(document()) as control:
        agent = started(control)
        agent.tell(record("a"))
        until(lambda: agent.flush(5))
        assert control.lost == 1
        assert len(control.books.of_kind("metric")) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_for_good_is_narrowed_down_to_one_event(
    started: Start, status: int
) -> None:
    """The others arrive; the one that cannot is counted."""

    class Picky(ControlServer):
        """Has something against one of the events."""

        def reply_to(self, method: str, path: str, headers: object, body: bytes) -> Reply:
            """As usual, but for what has this event in it."""
            if path == EVENTS and b'"bad:metric"' in body:
                return Reply(status)
            return super().reply_to(method, path, headers, body)  # type: ignore[arg-type]

    with Picky(document()) as control:
        agent = started(control)
        for number in range(9):
            agent.tell(record(f"good-{number}"))
        agent.tell(record("bad"))
        agent.tell(record("good-9"))
        assert agent.flush(20)
        assert len(control.books.of_kind("metric")) == 10
        assert (agent.state.rejected, agent.state.sent) == (1, 10)


@pytest.mark.parametrize("reply", [Reply(401), Reply(429), Reply(500), Reply(302), DROP], ids=str)
def test_what_is_refused_for_now_is_kept(
    control: ControlServer, started: Start, reply: Reply
) -> None:
    """Until the server takes it."""
    control.always(EVENTS, reply)
    agent = started(control)
    agent.tell(record("a"))
    assert not agent.flush(5)
    control.always(EVENTS, None)
    until(lambda: agent.flush(5))
    assert len(control.books.of_kind("metric")) == 1


def test_the_outbox_is_bounded_and_says_what_it_loses(
    control: ControlServer, started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, however many are lost; to put one in takes no time."""
    control.always(EVENTS, HANG)
    agent = started(control)
    begun = time.perf_counter()
    one = record("a")
    for _ in range(MAX_EVENTS + 50):
        agent.tell(one)
    assert time.perf_counter() - begun < 20
    assert (agent.state.waiting, agent.state.dropped) == (MAX_EVENTS, 50)
    assert sum("new ones are dropped" in line for line in caplog.messages) == 1


def test_lost_events_are_a_metric_by_cause(
    control: ControlServer, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What the server refuses for good, and what waits when nobody sends it any more."""
    control.always(EVENTS, Reply(413))
    house = instrumented(server_url=control.url, api_key=KEY)
    client = openai.OpenAI(base_url=server.base_url, api_key="k")
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
    runtime = current_runtime()
    assert runtime is not None
    assert runtime.control is not None
    agent = runtime.control
    until(lambda: agent.state.rejected == 1)
    control.always(EVENTS, Reply(503))
    agent.tell(record("b"))
    agent.stop()
    found = {tuple(each.attributes.values()): each.value for each in house.metric(LOST)}
    assert {key: count for key, count in found.items() if "control" in key} == {
        ("control", "http_413"): 1,
        ("control", "stopped"): 1,
    }


def test_a_flush_does_not_wait_longer_than_it_may(control: ControlServer, started: Start) -> None:
    """For a server that never answers."""
    control.always(EVENTS, HANG)
    agent = started(control)
    agent.tell(record("a"))
    begun = time.perf_counter()
    assert not agent.flush(0.5)
    assert time.perf_counter() - begun < 3


def test_labels_of_any_length_and_kind_are_sent(control: ControlServer, started: Start) -> None:
    """They come from requests, so from anybody."""
    agent = started(control)
    long = Attribution(agent="a" * 50_000, customer_id="\ud800\x00é", tags=("t",) * 5_000)
    agent.tell(record(attribution=long))
    assert agent.flush(20)
    (event,) = control.books.of_kind("metric")
    assert len(json.dumps(event)) < 20_000


PROGRAM = """
import sys, aden, openai
aden.instrument(server_url=sys.argv[2], api_key="aden-key", ledger="memory:")
openai.OpenAI(base_url=sys.argv[1], api_key="k").chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "my secret in 5 tokens"}]
)
"""


def test_a_process_that_ends_at_once_has_told_everything(
    control: ControlServer, server: OpenAIServer
) -> None:
    """The last events leave within the exit time-out; no content is among them."""
    arguments = [sys.executable, "-c", PROGRAM, server.base_url, control.url]
    subprocess.run(arguments, check=True, timeout=60, capture_output=True)
    assert len(control.books.of_kind("metric")) == 1
    assert "secret" not in json.dumps(control.books.events)
    assert KEY not in json.dumps(control.books.events)


def test_an_emitter_that_hangs_keeps_nothing_from_the_server(
    control: ControlServer, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What a flush cannot hand out is said, and it is not the telemetry."""
    go_on = threading.Event()
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        aden.instrument(
            server_url=control.url,
            api_key=control.key,
            ledger="memory:",
            budgets=[],
            emit_metric=lambda _record: go_on.wait(60),
        )
        client.embeddings.create(model="text-embedding-3-small", input="Hi")
        aden.flush(4)
    sent = control.books.of_kind("metric")
    go_on.set()
    aden.uninstrument()
    assert len(sent) == 1
    said = [each.getMessage() for each in caplog.records if " within " in each.getMessage()]
    assert said == [
        "aden: emit_metric or on_alert was not done within 4 s, and what waits for it may be lost;"
        " what was spent is in the ledger"
    ]
