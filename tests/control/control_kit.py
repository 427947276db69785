"""Short ways to say what the control tests need."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from aden.budgets.policy import Policy
from aden.control.agent import ControlAgent
from aden.control.kept_policy import PolicyDrawer
from aden.control.server import Server
from aden.control.server_policy import ServerPolicy
from aden.core.attribution import Attribution
from aden.core.record import CallRecord
from aden.core.usage import Usage
from aden.ledger import Ledger
from aden.ledger.memory import MemoryLedger
from aden.testing import ControlServer

KEY = "aden-key"


def budget(limit: float = 100, **more: object) -> dict[str, object]:
    """A budget of a document."""
    return {"id": "b1", "name": "everything", "type": "global", "limit": limit, **more}


def document(*budgets: Mapping[str, object], **more: object) -> dict[str, object]:
    """A document with these budgets, else with one."""
    return {"budgets": list(budgets or (budget(),)), **more}


def record(name: str = "call", **more: Any) -> CallRecord:
    """A finished call of 1,000 input tokens of gpt-4o-mini: 150,000 nano-dollars."""
    values: dict[str, Any] = {
        "id": name,
        "at": time.time(),
        "provider": "openai",
        "asked_model": "gpt-4o-mini",
        "model": "gpt-4o-mini",
        "usage": Usage(1_000, 0),
        "cost": 150_000,
        "attempts": 1,
        "attribution": Attribution(agent="bot", customer_id="acme", tags=("vip",)),
    }
    return CallRecord(**(values | more))


def agent_for(
    server: ControlServer,
    ledger: Ledger | None = None,
    *,
    key: str = KEY,
    policy_id: str | None = None,
    accept: Callable[[Policy], object] = lambda policy: None,
    in_force: bool = True,
    url: str | None = None,
) -> ControlAgent:
    """An agent that looks at the policy ten times a second; not started."""
    at = Server.at(url or server.url, key, policy_id)
    policies = ServerPolicy(
        PolicyDrawer(at), "enforce", ledger or MemoryLedger(), accept, in_force=in_force
    )
    return ControlAgent(at, policies, "tests", "1.2.3", poll_every_s=0.1)


def until(condition: Callable[[], object], timeout_s: float = 15) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)
