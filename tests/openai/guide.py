"""The hook of the integration guide, as it stands there, and a budget that is spent so far."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from aden import BeforeRequestResult
from aden.ledger.protocol import Charge, Settlement

if TYPE_CHECKING:
    from house import House


def budget_check(params: Any, context: Any) -> Any:
    """Enforce budget limits before each LLM request."""
    budget_info = getattr(context, "budget", None)

    if budget_info and budget_info.get("exhausted", False):
        return BeforeRequestResult.cancel("Budget exhausted")

    if budget_info and budget_info.get("percent_used", 0) >= 95:
        return BeforeRequestResult.throttle(delay_ms=2000)

    if budget_info and budget_info.get("percent_used", 0) >= 80:
        return BeforeRequestResult.degrade(to_model="gpt-4o-mini", reason="Approaching limit")

    return BeforeRequestResult.proceed()


def spend(house: House, usd: float, budget: str = "all") -> None:
    """Book *usd* on a budget, as other processes would."""
    charge = Charge(budget, house.balance(budget).window_id, round(usd * 1e9))
    house.ledger.settle(Settlement(uuid.uuid4().hex, (charge,)))
