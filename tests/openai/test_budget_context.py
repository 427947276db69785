"""``context.budget`` as the hook finds it: each field, with other calls open, and none matching."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from guide import spend
from lanes import Lane
from shapes import REQUEST, STREAM

import aden
from aden import ANY, BeforeRequestResult, Budget, Degrade, RequestCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aden.testing import OpenAIServer
    from house import House


class Look:
    """A hook that keeps what it is shown and lets everything go."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []

    def __call__(self, params: Any, context: Any) -> Any:
        self.contexts.append(context)
        return BeforeRequestResult.proceed()

    @property
    def budget(self) -> Any:
        """The budget of the latest call."""
        return self.contexts[-1].budget


@pytest.fixture
def look(server: OpenAIServer, instrumented: Callable[..., House]) -> Callable[..., Any]:
    """Make one call under *budgets* after *spent* dollars are gone, and show what the hook saw."""

    def look(budgets: Sequence[Budget], spent: float = 0.0, **options: Any) -> Any:
        hook = Look()
        house = instrumented(before_request=hook, budgets=budgets, **options)
        if spent:
            spend(house, spent, budgets[0].id)
        try:
            Lane("sync", server).chat.create(**REQUEST)
        except RequestCancelledError:
            assert hook.budget["exhausted"]
        return hook.budget

    return look


def test_budget_id_is_the_budgets_id(look: Callable[..., Any]) -> None:
    """The id under which it stands in the policy."""
    assert look([Budget("team", "1")])["budget_id"] == "team"


@pytest.mark.parametrize(("name", "shown"), [("The team", "The team"), ("", "team")])
def test_name_is_the_budgets_name_or_its_id(
    name: str, shown: str, look: Callable[..., Any]
) -> None:
    """A budget without a name is called by its id."""
    assert look([Budget("team", "1", name=name)])["name"] == shown


@pytest.mark.parametrize(
    ("scope", "kind"), [({}, "global"), ({"model": "gpt-4o"}, "model"), ({"model": ANY}, "model")]
)
def test_type_is_what_the_scope_names(
    scope: dict[str, object], kind: str, look: Callable[..., Any]
) -> None:
    """Without a scope the budget is global."""
    assert look([Budget("team", "1", scope=scope)])["type"] == kind


def test_limit_is_in_dollars(look: Callable[..., Any]) -> None:
    """A float for people; the ledger reckons in integers."""
    assert look([Budget("team", "1.25")])["limit"] == 1.25


def test_spent_is_what_is_settled(look: Callable[..., Any]) -> None:
    """Without this call's own hold."""
    assert look([Budget("team", "1")], spent=0.5)["spent"] == 0.5


def test_spent_includes_what_a_dead_process_left_unconfirmed(
    server: OpenAIServer, instrumented: Callable[..., House], tmp_path: Path
) -> None:
    """A hold whose lease ran out is booked at its risk, and counts as spent."""
    from aden.ledger.protocol import Ask, Line, Option

    hook = Look()
    budget = Budget("all", "1")
    house = instrumented(
        before_request=hook, budgets=[budget], ledger=f"sqlite://{tmp_path}/ledger.db"
    )
    line = Line("all", budget.span, budget.limit.amount, 300_000_000, 200_000_000)
    house.ledger.reserve(Ask("dead", (Option((line,)),), lease_ms=1))
    time.sleep(0.05)
    Lane("sync", server).chat.create(**REQUEST)
    assert (hook.budget["spent"], hook.budget["reserved"]) == (0.2, 0.0)


def test_reserved_is_never_the_calls_own(look: Callable[..., Any]) -> None:
    """Alone in the house, a call finds nothing reserved."""
    assert look([Budget("team", "1")])["reserved"] == 0.0


def test_remaining_is_what_is_neither_spent_nor_reserved(look: Callable[..., Any]) -> None:
    """Limit minus spent minus reserved."""
    assert look([Budget("team", "1")], spent=0.25)["remaining"] == 0.75


def test_remaining_is_never_below_zero(look: Callable[..., Any]) -> None:
    """Also where more was spent than allowed."""
    assert look([Budget("team", "1")], spent=1.5)["remaining"] == 0.0


def test_percent_used_is_spent_of_the_limit(look: Callable[..., Any]) -> None:
    """May exceed a hundred."""
    assert look([Budget("team", "2")], spent=2.5)["percent_used"] == 125.0


@pytest.mark.parametrize(
    ("spent", "ladder", "exhausted"),
    [
        (0.9, [], False),
        (0.9999, [], True),
        (0.9999, [Degrade(99, "gpt-4o-mini")], False),
        (0.999999, [Degrade(99, "gpt-4o-mini")], True),
        (1.0, [], True),
    ],
)
def test_exhausted_is_when_the_cheapest_allowed_form_does_not_fit(
    spent: float, ladder: list[Any], exhausted: bool, look: Callable[..., Any]
) -> None:
    """With a cheaper model on the ladder there is a cheaper form."""
    assert look([Budget("team", "1", ladder=ladder)], spent=spent)["exhausted"] is exhausted


@pytest.mark.parametrize(
    ("window", "longest"), [("total", None), ("month", 31), ("week", 7), ("day", 1), ("hour", 1)]
)
def test_window_end_is_when_the_budget_is_whole_again(
    window: Any, longest: int | None, look: Callable[..., Any]
) -> None:
    """An aware datetime; None where the budget is for good."""
    ends = look([Budget("team", "1", window=window)])["window_end"]
    if longest is None:
        assert ends is None
    else:
        now = datetime.now(UTC)
        assert now < ends <= now + timedelta(days=longest, seconds=1)


@pytest.mark.parametrize(("ledger", "reach"), [("memory:", "process"), ("sqlite", "host")])
def test_reach_is_the_ledgers(
    ledger: str, reach: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    """Who shares these figures."""
    url = f"sqlite://{tmp_path}/ledger.db" if ledger == "sqlite" else ledger
    assert look([Budget("team", "1")], ledger=url)["reach"] == reach


def test_the_view_cannot_be_written(look: Callable[..., Any]) -> None:
    """What a hook is shown it cannot change."""
    view = look([Budget("team", "1")])
    with pytest.raises(TypeError):
        view["limit"] = 1e9
    assert set(view) == {
        *("budget_id", "name", "type", "unit", "limit", "spent", "reserved", "remaining"),
        *("percent_used", "exhausted", "window_end", "reach"),
    }


def test_a_limit_of_zero_is_exhausted_and_wholly_used(look: Callable[..., Any]) -> None:
    """So that the guide's cancel branch is reached."""
    view = look([Budget("team", 0)])
    assert (view["exhausted"], view["percent_used"], view["remaining"]) == (True, 100.0, 0.0)


@pytest.mark.parametrize("budgets", [[], [Budget("acme", "1", scope={"customer": "acme"})]])
def test_there_is_none_where_none_matches(budgets: list[Budget], look: Callable[..., Any]) -> None:
    """``context.budget`` is None, and nothing is held anywhere."""
    assert look(budgets) is None


def test_all_matching_budgets_are_shown_the_tightest_first(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """By the share that is spent; one that is exhausted comes before all."""
    hook = Look()
    budgets = [
        Budget("wide", "100"),
        Budget("narrow", "0.01"),
        Budget("acme", "1", scope={"customer": "acme"}),
        Budget("other", "1", scope={"customer": "other"}),
    ]
    house = instrumented(before_request=hook, budgets=budgets)
    spend(house, 60, "wide")
    spend(house, 0.005, "narrow")
    spend(house, 0.7, "acme")
    with aden.attribution(customer_id="acme"):
        Lane("sync", server).chat.create(**REQUEST)
    context = hook.contexts[0]
    assert [each["budget_id"] for each in context.budgets] == ["acme", "wide", "narrow"]
    assert context.budget is context.budgets[0]
    assert context.attribution.customer_id == "acme"
    house.settled()


async def test_with_fifty_calls_open_their_holds_are_reserved_and_not_spent(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The 51st sees what the others hold, and not its own."""
    hook = Look()
    house = instrumented(before_request=hook, budgets=[Budget("all", "1")])
    lane = Lane("async", server)
    streams = await asyncio.gather(*(lane.create(**STREAM) for _ in range(50)))
    held = house.balance().held
    last = await lane.create(**STREAM)
    view = hook.budget
    assert view["reserved"] == held / 1e9 > 0
    assert house.balance().held == held * 51 // 50
    assert (view["spent"], view["percent_used"]) == (0.0, 0.0)
    assert view["remaining"] == pytest.approx(1 - held / 1e9)
    assert not view["exhausted"]
    await asyncio.gather(*(lane.all(stream) for stream in (*streams, last)))
    house.settled(51)
    assert house.balance().spent == server.bill.total_nano_usd


async def test_what_open_calls_take_up_is_busy_and_not_exhausted(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It would fit if they were refunded: the refusal says so and when to come back."""
    hook = Look()
    house = instrumented(before_request=hook, budgets=[Budget("all", "0.001")])
    lane = Lane("async", server)
    first = await lane.create(**STREAM)
    second = await lane.create(**STREAM)
    with pytest.raises(RequestCancelledError) as caught:
        await lane.create(**STREAM)
    assert hook.budget["exhausted"] is False
    assert (caught.value.reason, caught.value.retry_after_ms) == ("busy", 250)
    for stream in (first, second):
        await lane.all(stream)
    await lane.create(**REQUEST)
    house.settled(4)
