"""Budgets from a server decide requests, as exactly as those of a file."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import openai
import pytest
from control_kit import KEY, agent_for, budget, document, record, until

import aden
from aden import Budget, RequestCancelledError
from aden.control.agent import ControlAgent
from aden.core.window import Window
from aden.doctor.gate import gate
from aden.ledger import Reset, open_ledger
from aden.ledger.memory import MemoryLedger
from aden.runtime import current_runtime
from aden.testing import ControlServer, OpenAIServer
from aden.testing.control_contract import Reply
from endpoints import nobody
from house import House

Start = Callable[..., ControlAgent]
POLICY = "/v1/control/policy"
MONTH = Window("month")


def ask(server: OpenAIServer, model: str = "gpt-4o-mini") -> str:
    """One short request; the model that answered."""
    client = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)
    message = {"role": "user", "content": "in 5 tokens"}
    return client.chat.completions.create(model=model, messages=[message]).model  # type: ignore[list-item]


def spent(ledger: MemoryLedger, at: float | None = None) -> int:
    """What the budget of the tests has spent this month, in nano-dollars."""
    del at
    return ledger.balances([("b1", MONTH)])[0].spent


def agent_in_force() -> ControlAgent:
    """The agent of this process."""
    runtime = current_runtime()
    assert runtime is not None
    assert runtime.control is not None
    return runtime.control


def start(instrumented: Callable[..., House], control: ControlServer, **more: object) -> House:
    """This process, with the server's budgets."""
    options = {"budgets": None, "server_url": control.url, "api_key": KEY}
    return instrumented(**(options | more))


def test_the_first_request_already_meets_the_servers_budget(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The start waits for the first policy."""
    with ControlServer(document(budget(0))) as control:
        start(instrumented, control)
        with pytest.raises(RequestCancelledError) as refused:
            ask(server)
        assert (refused.value.reason, refused.value.budget_id) == ("exhausted", "b1")


def test_a_policy_changes_while_requests_go_on(
    control: ControlServer, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """From one request to the next, both ways."""
    start(instrumented, control)
    ask(server)
    for rules, model in (
        ({"blocks": [{"reason": "not now"}]}, None),
        ({"blocks": [], "degradations": [DEGRADE]}, "gpt-4o-mini"),
    ):
        control.books.policies["default"].update(rules)
        assert agent_in_force().refresh(20)
        if model is None:
            with pytest.raises(RequestCancelledError, match="not now"):
                ask(server, "gpt-4o")
        else:
            assert ask(server, "gpt-4o").startswith(model)


DEGRADE = {"from_model": "gpt-4o", "to_model": "gpt-4o-mini", "trigger": "always"}


def test_code_wins_over_the_server(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its policy is known and shown, its figures are not booked."""
    with ControlServer(document(budget(0))) as control:
        control.books.spend("mine", "50")
        house = start(instrumented, control, budgets=[Budget("b1", "1", window="month")])
        ask(server)
        assert agent_in_force().state.in_force is False
        assert house.balance("b1").spent < 10**9
        house.settled(1)


def test_without_any_policy_requests_are_refused_as_unavailable(
    control: ControlServer, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Until the first one comes."""
    control.always(POLICY, Reply(500))
    house = start(instrumented, control)
    with pytest.raises(RequestCancelledError) as refused:
        ask(server)
    assert refused.value.reason == "unavailable"
    assert house.failures()["policy"] == 1
    control.always(POLICY, None)
    assert agent_in_force().refresh(20)
    ask(server)


def test_with_a_server_that_is_not_there_everybody_says_what_to_do(
    server: OpenAIServer,
    instrumented: Callable[..., House],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line at the start, the refusal and the doctor: why, and which settings help."""
    instrumented(budgets=None, server_url=nobody(), api_key=KEY)
    runtime = current_runtime()
    assert runtime is not None
    (started,) = [line for line in caplog.messages if "requests are refused: no policy" in line]
    with pytest.raises(RequestCancelledError) as refused:
        ask(server)
    assert refused.value.reason == "unavailable"
    (found,) = [each for each in gate(runtime.subject()) if each.level == "failure"]
    for said in (started, str(refused.value), found.said):
        for word in ("ADEN_API_URL", "ADEN_FAIL_OPEN=true", "ADEN_BUDGETS", "budgets=[]"):
            assert word in said
    assert "Connection refused" in started
    assert KEY not in caplog.text


def test_without_any_policy_fail_open_lets_requests_through(
    control: ControlServer, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """And counts them."""
    control.always(POLICY, Reply(500))
    house = start(instrumented, control, fail_open=True)
    ask(server)
    assert house.failures()["policy"] == 1


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_without_any_policy_nothing_is_refused_where_nothing_is_enforced(
    control: ControlServer, server: OpenAIServer, instrumented: Callable[..., House], mode: str
) -> None:
    """The mode is this program's own word."""
    control.always(POLICY, Reply(500))
    start(instrumented, control, mode=mode)
    ask(server)


def test_uninstrument_ends_the_thread(
    control: ControlServer, instrumented: Callable[..., House]
) -> None:
    """And nothing is asked of the server any more; a second start begins anew."""
    start(instrumented, control)
    aden.uninstrument()
    assert "aden-control" not in {thread.name for thread in threading.enumerate()}
    start(instrumented, control)
    assert agent_in_force().state.running


def test_a_second_start_keeps_the_agent(
    control: ControlServer, instrumented: Callable[..., House]
) -> None:
    """One thread, one instance; the new options hold."""
    start(instrumented, control)
    agent = agent_in_force()
    start(instrumented, control, mode="observe")
    assert agent_in_force() is agent
    assert agent.policy().mode == "observe"
    assert sum(thread.name == "aden-control" for thread in threading.enumerate()) == 1


def test_what_the_server_knows_to_be_spent_elsewhere_counts_here(
    control: ControlServer, started: Start
) -> None:
    """The larger of the two figures; what is spent here comes on top until the server knows it."""
    ledger = MemoryLedger()
    control.books.spend("b1", "60")
    agent = started(control, ledger)
    until(lambda: spent(ledger) == 60 * 10**9)
    control.books.spend("b1", "5")
    assert agent.refresh(20)
    assert spent(ledger) == 65 * 10**9


def test_a_lower_figure_lowers_nothing_and_an_explicit_reset_does(
    control: ControlServer, started: Start
) -> None:
    """At the server first, then in the ledger."""
    ledger = MemoryLedger()
    control.books.spend("b1", "60")
    agent = started(control, ledger)
    until(lambda: spent(ledger) == 60 * 10**9)
    control.books.spend("b1", "-60")
    assert agent.refresh(20)
    assert spent(ledger) == 60 * 10**9
    ledger.order(Reset("b1", MONTH.at(time.time()).id, who="ann", why="a new contract"))
    assert agent.refresh(20)
    assert spent(ledger) == 0


@pytest.mark.parametrize(
    ("at", "window", "booked"),
    [
        ("2026-12-01T00:00:30", "2026-12", 0),  # it may still be the figure of November
        ("2026-12-01T00:02:30", "2026-12", 60),
        ("2026-12-31T23:59:30", "2026-12", 60),
    ],
)
def test_a_figure_belongs_to_the_servers_month(
    started: Start, at: str, window: str, booked: int
) -> None:
    """By its clock, whatever ours says; shortly after its turn it is passed over."""
    server_time = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    ledger = MemoryLedger()
    with ControlServer(document(), clock=lambda: server_time) as control:
        control.books.spend("b1", "60")
        agent = started(control, ledger)
        assert agent.refresh(20)
        (account,) = ledger.accounts() or (None,)
        found = {each.window_id: each.spent for each in account.balances} if account else {}
        assert found == ({f"month:{window}-01": booked * 10**9} if booked else {})
        assert abs(agent.state.skew_s - (server_time - time.time())) < 60


def test_a_ledger_that_is_down_is_said(control: ControlServer, tmp_path: Path) -> None:
    """The policy holds all the same."""
    control.books.spend("b1", "60")
    path = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite://{path}")
    agent = agent_for(control, ledger)
    ledger.close()
    path.write_bytes(b"this is no database" * 1_000)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    agent.start()
    until(lambda: agent.state.source == "server")
    assert agent.policy().budgets[0].id == "b1"
    assert "could not be booked" in str(agent.state.last_error)
    agent.stop()


def test_two_ledgers_on_one_server_exceed_a_limit_by_what_one_spends_unseen(
    started: Start,
) -> None:
    """Each sees the other's spend with its next look, so it does not happen again."""
    with ControlServer(document(), is_old=True) as control:
        ledgers = MemoryLedger(), MemoryLedger()
        agents = [started(control, ledger) for ledger in ledgers]
        agents[0].tell(record("a"))
        agents[1].tell(record("b"))
        assert all(agent.flush(20) for agent in agents)
        assert all(agent.refresh(20) for agent in agents)
        assert [spent(ledger) for ledger in ledgers] == [300_000, 300_000]
