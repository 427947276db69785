"""A push changes the policy and raises alerts, and can do nothing else."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from control_kit import KEY, budget, document, until

from aden.control.agent import ControlAgent
from aden.control.push import MAX_ALERTS, Pushes
from aden.testing.control_contract import ControlBooks

Start = Callable[..., ControlAgent]


def test_of_several_policies_the_last_one_counts() -> None:
    """And budgets that were pushed before it are part of it already."""
    pushes = Pushes()
    for message in (
        {"type": "policy", "policy": 1},
        {"type": "budget_policy", "budgets": 2},
        {"type": "policy", "policy": 3},
        {"type": "budget_policy", "budgets": 4},
        {"type": "budget_policy", "budgets": 5},
    ):
        assert pushes.message(message)
    assert [(each.kind, each.body) for each in pushes.taken()] == [
        ("policy", 3),
        ("budget_policy", 5),
    ]
    assert not pushes


def test_alerts_are_bounded_and_of_a_form_that_handlers_know() -> None:
    """They come from outside."""
    pushes = Pushes()
    odd: list[object] = [{"level": "doom", "message": 5}, None, [], {"message": "x" * 9_999}]
    for alert in odd * MAX_ALERTS:
        pushes.message({"type": "alert", "alert": alert})
    taken = list(pushes.taken())
    assert len(taken) == MAX_ALERTS
    assert {each.level for each in taken} == {"warning"}
    assert max(len(each.text) for each in taken) == 1_000


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "policy",
        {},
        {"type": "command", "command": {"action": "shutdown"}},
        {"type": "command"},
        {"type": "error", "error": "no"},
        {"type": ["policy"]},
    ],
    ids=str,
)
def test_nothing_else_has_an_effect(message: object, caplog: pytest.LogCaptureFixture) -> None:
    """It is named in the log, once."""
    pushes = Pushes()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not pushes.message(message)
    assert not pushes
    assert len(caplog.messages) == 1


class TestOverASocket:
    """With the extra installed, and a server that pushes."""

    @pytest.fixture
    def pushing(self) -> Iterator[Any]:
        """A server with one budget of $100."""
        pytest.importorskip("socketio")
        from push_kit import PushingServer

        with PushingServer(ControlBooks(KEY, document(), is_old=True), KEY) as server:
            yield server

    def test_a_pushed_policy_holds_at_once(self, pushing: Any, started: Start) -> None:
        """The key, the instance: as over HTTP."""
        agent = started(pushing)
        alerts: list[tuple[str, str]] = []
        agent.on_alert = lambda level, text: alerts.append((level, text))
        until(lambda: agent.state.connected)
        assert pushing.connected[0]["x-sdk-instance-id"] == agent.instance_id
        agent._poll.at = agent._poll.at + 3_600  # what comes now, comes by a push
        agent._poll_every_s = 3_600
        pushing.push({"type": "policy", "policy": document(budget(7), version="seven")})
        until(lambda: agent.state.version == "seven")
        assert agent.policy().budgets[0].limit.amount == 7 * 10**9
        assert agent.state.source == "push"
        pushing.push({"type": "budget_policy", "budgets": [budget(3)]})
        until(lambda: agent.policy().budgets[0].limit.amount == 3 * 10**9)
        pushing.push({"type": "policy", "policy": {"budgets": 5}})
        until(lambda: "pushed policy is not valid" in str(agent.state.last_error))
        assert agent.policy().budgets[0].limit.amount == 3 * 10**9
        pushing.push({"type": "alert", "alert": {"level": "critical", "message": "look"}})
        until(lambda: alerts == [("critical", "look")])

    def test_a_server_that_does_not_let_in_is_polled(
        self, pushing: Any, started: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One line says that it cannot push, and none has the key."""
        pushing.key = "another"
        with caplog.at_level(logging.DEBUG):
            agent = started(pushing)
            until(lambda: "cannot push" in caplog.text)
        assert agent.state.source == "server"
        assert not agent.state.connected
        assert KEY not in caplog.text
