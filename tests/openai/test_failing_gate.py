"""Ledger, prices, description and settlement: each fails in its own, stated way."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from guide import spend
from lanes import Lane, make_client
from openai.types.chat import ChatCompletion
from shapes import REQUEST, STREAM

import aden
from aden import Budget, RequestCancelledError
from aden.budgets import gate
from aden.budgets.doubts import ScopeWatch
from aden.core.request import Request
from aden.instrumentation.openai.attempts import Sending
from aden.instrumentation.openai.measuring import measure_messages
from aden.metering.call import Lane as CallLane
from aden.metering.fill import Fill
from aden.metering.leases import LeaseKeeper
from aden.metering.meter import Meter
from aden.metering.repeats import Repeats
from aden.metering.shells import bear
from strikes import mistaken

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aden.testing import OpenAIServer
    from house import House

every_client = pytest.mark.parametrize("kind", ["sync", "async"])


class Broken:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is broken")


class Odd(str):
    """A text that the SDK can send and we cannot measure."""

    __slots__ = ()

    def isascii(self) -> bool:
        raise RuntimeError("odd")


ODD: dict[str, Any] = REQUEST | {
    "messages": [{"role": "user", "content": Odd("Say hello in 12 tokens.")}]
}


@pytest.fixture
def locked(tmp_path: Path, instrumented: Callable[..., House]) -> Callable[..., House]:
    """Instrument on a SQLite ledger whose file somebody else has locked and will not let go of."""

    def start(**options: Any) -> House:
        path = tmp_path / "ledger.db"
        house = instrumented(ledger=f"sqlite://{path}", **options)
        somebody = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        somebody.execute("BEGIN IMMEDIATE")
        locks.append(somebody)
        return house

    locks: list[sqlite3.Connection] = []
    start.locks = locks  # type: ignore[attr-defined]
    return start


@every_client
async def test_a_ledger_that_does_not_answer_refuses(
    kind: str, server: OpenAIServer, locked: Any, complaints: Callable[[], list[str]]
) -> None:
    """Where the budget says so: reason ``unavailable``, nothing sent, nothing booked."""
    house = locked(budgets=[Budget("all", "100", on_ledger_down="refuse")])
    for _ in range(2):
        with pytest.raises(RequestCancelledError) as caught:
            await Lane(kind, server).create(**REQUEST)
        assert (caught.value.reason, caught.value.source) == ("unavailable", "ledger")
    locked.locks[0].close()
    assert not server.requests
    assert house.failures() == {"ledger": 2}
    (line,) = complaints()
    assert "the ledger is down, its budgets' on_ledger_down decides" in line
    house.settled(2)


@every_client
async def test_with_fail_open_a_ledger_that_does_not_answer_lets_through_and_books_later(
    kind: str, server: OpenAIServer, locked: Any
) -> None:
    """What was spent meanwhile is written as soon as the file is free."""
    house = locked(fail_open=True)
    await Lane(kind, server).create(**REQUEST)
    locked.locks[0].close()
    house.settled(1)
    assert house.balance().spent == server.bill.total_nano_usd > 0


@every_client
async def test_a_mistake_of_ours_lets_the_request_through_and_is_counted(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """No budget has said no; the caller is not to suffer from our code."""
    house = instrumented()
    house.meter.prices = Broken()  # type: ignore[assignment]
    assert (await Lane(kind, server).create(**REQUEST)).usage.completion_tokens == 12
    assert house.failures()["gate"] == 1


def test_a_mistake_of_ours_after_the_ledger_refused_changes_nothing(
    instrumented: Callable[..., House],
) -> None:
    """A budget that has said no stays with it."""
    meter = instrumented(budgets=[Budget("all", 0)]).meter
    call = meter.begin(Request("openai", "gpt-4o", input_chars=10), {}, CallLane())
    ask = meter.plan(call)
    assert ask is not None
    call.outcome = meter.ledger.reserve(ask)
    with pytest.raises(RequestCancelledError) as caught:
        meter.gate_failed(call, RuntimeError("a mistake of ours"))
    assert (caught.value.reason, caught.value.budget_id) == ("exhausted", "all")


BESIDE_THE_DECISION = [
    ScopeWatch.saw,
    Repeats.again,
    Repeats.alike,
    Fill.saw,
    Repeats.granted,
    Meter.open_span,
    LeaseKeeper.keep,
]


def answered(make: Callable[..., Any], failing: Any = None) -> str:
    """The model that answers, or why none does; where *failing*, of ours, fails once meanwhile."""
    answers: list[str] = []

    def ask() -> None:
        try:
            answers.append(str(make(**REQUEST).model))
        except RequestCancelledError as refusal:
            answers.append(refusal.reason)

    if failing is None:
        ask()
    else:
        mistaken(failing.__code__, RuntimeError("a mistake of ours"), ask)
    return answers.pop()


def test_what_fails_beside_a_decision_does_not_undo_it(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A degrade, a hook's no and a rule's hold, whatever else of ours is wrong."""
    create = make_client("sync", server).chat.completions.create
    cheap = Budget("all", "100", ladder=[aden.Degrade(at=0, to="gpt-4o-mini")])
    ways: dict[str, dict[str, Any]] = {
        "gpt-4o-mini": {"budgets": [cheap]},
        "hook": {"before_request": lambda *_: aden.BeforeRequestResult.cancel("not now")},
        "policy": {"rules": [aden.Rule(aden.Block("not here"))]},
        "exhausted": {"budgets": [Budget("all", 0)]},
    }
    for expected, options in ways.items():
        house = instrumented(**options)
        assert expected in answered(create)
        for each in BESIDE_THE_DECISION:
            house.meter.reserver.repeats = Repeats(house.meter.settler.report)
            assert expected in answered(create, failing=each), each
        assert house.balance().held == 0
        aden.AdenInstrumentor().uninstrument()
        aden.uninstrument()


@pytest.mark.parametrize("broken", [gate.decide, Meter._choose_model])
def test_a_decision_that_fails_sends_what_the_ledger_granted(
    broken: Any, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The asked model may not fit: what is held is the cheaper one."""
    cheap = Budget("all", "100", ladder=[aden.Degrade(at=0, to="gpt-4o-mini")])
    house = instrumented(budgets=[cheap])
    create = make_client("sync", server).chat.completions.create
    mistake = RuntimeError("a mistake of ours")
    assert mistaken(broken.__code__, mistake, lambda: create(**REQUEST))
    (record,) = house.settled(1)
    assert (record.model, record.decision.action) == ("gpt-4o-mini", "degrade")
    assert record.cost == server.bill.total_nano_usd


def no_thread(thread: threading.Thread) -> None:
    """As at the limit of a container's threads."""
    raise RuntimeError("can't start new thread")


def test_a_refusal_is_repeated_though_no_thread_can_be_had_to_report_it(
    server: OpenAIServer, instrumented: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported later, with the others."""
    house = instrumented(rules=[aden.Rule(aden.Block("not here"))])
    chat = make_client("sync", server).chat.completions
    with pytest.raises(RequestCancelledError):
        chat.create(**REQUEST)
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RequestCancelledError):
            chat.create(**REQUEST)
    assert [record.repeats for record in house.settled(2)] == [1, 1]
    assert not server.bill.items


def test_an_async_hook_that_no_thread_can_ask_for_a_sync_client_refuses(
    server: OpenAIServer, instrumented: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that fails."""

    async def hook(*_: object) -> aden.BeforeRequestResult:
        return aden.BeforeRequestResult.proceed()

    house = instrumented(before_request=hook)
    client = make_client("sync", server)
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RequestCancelledError) as refused:
            client.chat.completions.create(**REQUEST)
    assert refused.value.reason == "hook"
    assert house.failures() == {"hook": 1}


@every_client
async def test_a_request_that_cannot_be_measured_is_gated_and_metered(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its model is known: that is enough to refuse it, and the answer tells what it used."""
    house = instrumented(budgets=[Budget("all", "1")])
    lane = Lane(kind, server)
    await lane.create(**ODD)
    spend(house, 1)
    with pytest.raises(RequestCancelledError):
        await lane.create(**ODD)
    done, refused = house.settled(2)
    assert done.cost == server.bill.total_nano_usd
    assert (refused.attempts, len(server.requests)) == (0, 1)
    assert house.failures() == {"description": 2}


@pytest.mark.parametrize("limit", ["100", 0])
def test_a_request_that_cannot_be_bounded_is_gated_and_metered(
    limit: Any, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Where a true bound is needed, its model's context window is one."""
    house = instrumented(budgets=[Budget("all", limit, overrun="never")])
    create = make_client("sync", server).chat.completions.create
    if limit:
        create(**ODD)
    else:
        with pytest.raises(RequestCancelledError):
            create(**ODD)
    (record,) = house.settled(1)
    assert record.cost == server.bill.total_nano_usd
    assert bool(record.cost) == bool(limit)


def test_a_request_that_cannot_be_measured_keeps_its_own_cap(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Where a true bound is needed, one of ours may lower it and never raise it."""
    house = instrumented(budgets=[Budget("all", "1", overrun="never")])
    create = make_client("sync", server).chat.completions.create
    mistake = RuntimeError("a mistake of ours")
    assert mistaken(measure_messages.__code__, mistake, lambda: create(**REQUEST))
    (sent,) = server.requests
    assert sent.body is not None
    assert sent.body["max_tokens"] == REQUEST["max_tokens"] == 40
    house.settled(1)


@pytest.mark.parametrize("failing", [Sending.__init__, Sending.__enter__, bear])
def test_what_only_the_client_s_own_method_gates_is_booked_though_nobody_can_follow_it(
    failing: Any, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It goes out all the same, and below that method it is not gated once more."""
    house = instrumented()
    client, answers = make_client("sync", server), list[ChatCompletion]()

    def post() -> None:
        answers.append(client.post("/chat/completions", cast_to=ChatCompletion, body=REQUEST))

    assert mistaken(failing.__code__, RuntimeError("a mistake of ours"), post)
    assert [answer.object for answer in answers] == ["chat.completion"]
    (record,) = house.settled(1)
    assert record.cost >= server.bill.total_nano_usd > 0
    assert (record.usage.estimated, record.error_type) == (True, None)


def test_a_call_that_cannot_be_priced_is_booked_at_its_hold(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The caller has his answer; the money is on the safe side; the hold does not stay."""
    house = instrumented()
    stream = make_client("sync", server).chat.completions.create(**STREAM)
    held = house.balance().held
    house.meter.prices = Broken()  # type: ignore[assignment]
    assert len(list(stream)) == 14
    balance = house.balance()
    assert (balance.held, balance.spent) == (0, held)
    assert house.meter.leases._held == {}
    assert house.failures() == {"settlement": 1}


@every_client
async def test_an_answer_that_cannot_be_read_is_handed_over_and_estimated(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Absurd figures are no figures: no crash, no credit, no fortune."""
    from aden.testing import Usage

    house = instrumented()
    lane = Lane(kind, server)
    absurd = ({"prompt_tokens": -5}, {"completion_tokens": 10**12}, {"prompt_tokens": "many"})
    for overrides in absurd:
        server.script(Usage(**overrides))
        assert (await lane.create(**REQUEST)).choices[0].message.content
    for record in house.settled(3):
        assert record.usage.estimated
        assert 0 < record.cost < 1_000_000


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_what_is_only_observed_refuses_nothing(
    mode: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """An exhausted budget that is not enforced is reported and nothing more."""
    house = instrumented(budgets=[Budget("all", 0)], mode=mode)
    with closing(make_client("sync", server)) as client:
        client.chat.completions.create(**REQUEST)
    aden.flush()
    (record,) = house.calls.records
    assert record.cost == server.bill.total_nano_usd
