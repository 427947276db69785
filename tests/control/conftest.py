"""A state directory of its own for each test, agents that end with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import agent_for, document

from aden.control.agent import ControlAgent
from aden.testing import ControlServer


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where policies are kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "aden"


@pytest.fixture
def control() -> Iterator[ControlServer]:
    """A control server with one budget of $100."""
    with ControlServer(document()) as running:
        yield running


@pytest.fixture
def started() -> Iterator[Callable[..., ControlAgent]]:
    """Start an agent that has heard from its server, or has failed to: ``started(server, …)``."""
    agents: list[ControlAgent] = []

    def start(server: ControlServer, *arguments: Any, **more: Any) -> ControlAgent:
        agent = agent_for(server, *arguments, **more)
        agents.append(agent)
        agent.start()
        assert agent.wait(20)
        return agent

    yield start
    for agent in agents:
        agent.stop()
