"""What an operator orders in the ledger, as the next request sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from guide import spend
from lanes import make_client
from shapes import REQUEST

from aden import Alert, BeforeRequestResult, Budget, Degrade, RequestCancelledError
from aden.ledger import Freeze, Raise, Reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

ANN: dict[str, Any] = {"who": "ann", "why": "a customer called"}
REPEATS_S = 1.1
"""For how long a refusal may be repeated without asking the ledger again."""


def test_a_frozen_budget_refuses_as_policy(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Though nothing is spent; unfrozen, the request goes."""
    house = instrumented(budgets=[Budget("all", "1")])
    client = make_client("sync", server)
    house.ledger.order(Freeze("all", **ANN))

    with pytest.raises(RequestCancelledError, match="frozen by an operator") as caught:
        client.chat.completions.create(**REQUEST)

    assert (caught.value.reason, caught.value.budget_id) == ("policy", "all")
    assert caught.value.retry_after_ms is None
    assert not server.requests
    house.ledger.order(Freeze("all", frozen=False, **ANN))
    time.sleep(REPEATS_S)
    client.chat.completions.create(**REQUEST)
    assert len(server.bill.items) == 1


def test_a_raised_limit_is_the_limit_everywhere(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """For the ladder, the hook, the alert and the record."""
    seen: list[Any] = []
    alerts: list[Any] = []

    def look(params: Any, context: Any) -> BeforeRequestResult:
        seen.append(context.budget)
        return BeforeRequestResult.proceed()

    ladder: list[Any] = [Alert(50), Degrade(80, "gpt-4o-mini")]
    house = instrumented(
        budgets=[Budget("all", "1", ladder=ladder)], before_request=look, on_alert=alerts.append
    )
    client = make_client("sync", server)
    spend(house, 0.99)
    client.chat.completions.create(**REQUEST)
    house.settled(1)
    house.ledger.order(Raise("all", 10_000_000_000, **ANN))
    client.chat.completions.create(**REQUEST)

    models = [(request.body or {})["model"] for request in server.requests]
    assert models == ["gpt-4o-mini", "gpt-4o"]
    assert [view["limit"] for view in seen] == [1.0, 10.0]
    assert seen[1]["remaining"] > 9
    assert 9 < seen[1]["percent_used"] < 11
    house.settled(2)
    assert 9 < (house.calls.records[1].percent_used or 0) < 11
    assert [alert.id for alert in alerts] == ["all:total:500000000"]


def test_a_reset_begins_anew_and_arms_the_alert(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """An exhausted budget takes requests again, and says again when half of it is gone."""
    alerts: list[Any] = []
    house = instrumented(budgets=[Budget("all", "1", ladder=[Alert(50)])], on_alert=alerts.append)
    client = make_client("sync", server)
    spend(house, 0.9)
    client.chat.completions.create(**REQUEST)
    house.settled(1)

    house.ledger.order(Reset("all", "total", **ANN))
    assert house.balance().spent == 0
    spend(house, 0.9)
    client.chat.completions.create(**REQUEST)
    house.settled(2)

    assert [alert.id for alert in alerts] == ["all:total:500000000", "all:total:500000000:1"]
