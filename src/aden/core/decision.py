"""What is decided about one request, and by whom."""

from dataclasses import dataclass, replace
from typing import Literal

Action = Literal["allow", "alert", "throttle", "degrade", "block"]
Reason = Literal[
    "exhausted", "busy", "policy", "hook", "unpriced", "unbounded", "unavailable", "misconfigured"
]
Source = Literal["policy", "ledger", "hook", "settings", "foreign"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The most restrictive of what policy, ledger and hook said about one request.

    Degrade and throttle may both apply; `action` then names the degrade and `delay_ms` is set.
    """

    action: Action = "allow"
    reason: Reason | None = None
    source: Source | None = None
    """Who decided; None where nobody objected. ``foreign``: nobody was asked, as another
    instrumentation told of the call when it was over."""
    message: str | None = None
    budget_id: str | None = None
    model: str | None = None
    """The model to send instead of the asked one; None where it stays."""
    delay_ms: int = 0
    delay_source: Source | None = None
    """Who asked for the delay."""
    retry_after_ms: int | None = None


ALLOW = Decision()


def most_restrictive(left: Decision, right: Decision) -> Decision:
    """Join two decisions: block wins, then degrade and throttle together, then alert.

    Where both say the same, *right* is kept, so pass the more specific voice there.
    """
    if right is ALLOW or left is ALLOW:
        return left if right is ALLOW else right
    if "block" in (left.action, right.action):
        return right if right.action == "block" else left
    winner = right if _rank(right) >= _rank(left) else left
    other = left if winner is right else right
    slower = right if right.delay_ms >= left.delay_ms else left
    return replace(
        winner,
        message=winner.message or other.message,
        budget_id=winner.budget_id or other.budget_id,
        model=winner.model or other.model,
        delay_ms=slower.delay_ms,
        delay_source=slower.delay_source,
    )


_ORDER: tuple[Action, ...] = ("allow", "alert", "throttle", "degrade", "block")


def _rank(decision: Decision) -> int:
    return _ORDER.index(decision.action)
