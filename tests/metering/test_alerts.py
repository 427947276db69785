"""A budget's alert is claimed, raised and acknowledged, in this order."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openai
import pytest

import aden
from aden.budgets import watch
from aden.core.money import NANO
from aden.core.record import AlertEvent
from aden.core.window import Window
from aden.errors import LedgerUnavailable
from aden.ledger import Charge, Reset, Settlement
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Balance
from aden.metering import alerts
from aden.metering.alerts import ClaimedAlert
from aden.testing.clock import FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aden.ledger.protocol import Ledger
    from aden.testing import OpenAIServer
    from house import House

BALANCE = Balance("all", "day:2026-09-22", None)
LEASE_S = 31
HOURS_S = 7_200


class Alerts:
    """One alert, crossed again and again; what its handler was told."""

    def __init__(self, house: House, handler: Callable[[AlertEvent], object]) -> None:
        self.clock = FixedClock()
        self.meter = house.meter
        self.meter.ledger = MemoryLedger(self.clock)
        self.meter.on_alert = self.told
        self.handler = handler
        self.ids: list[str] = []

    def told(self, event: AlertEvent) -> object:
        """The user's ``on_alert``."""
        self.ids.append(event.id)
        return self.handler(event)

    def cross(self, after_s: float = 0) -> None:
        """A call settles above the threshold."""
        self.clock.advance(after_s)
        (seen,) = self.meter.ledger.balances([(BALANCE.budget, Window("day"))])
        claimed = ClaimedAlert(self.meter, replace(BALANCE, epoch=seen.epoch), 80_000, noted)
        self.meter.dispatcher.put(claimed, AlertEvent("info", "80 %"), self.meter.on_alert)
        aden.flush()
        assert self.meter.dispatcher.flush(5)


def noted(balance: Balance, threshold: int) -> None:
    """Nobody has to know that the ledger has answered."""


def nothing(event: AlertEvent) -> None:
    """A handler that is content."""


def bang(event: AlertEvent) -> None:
    """A handler that raises."""
    raise RuntimeError("bang")


async def later(event: AlertEvent) -> None:
    """An async handler."""
    await asyncio.sleep(0)


async def late_bang(event: AlertEvent) -> None:
    """An async handler that raises."""
    await asyncio.sleep(0)
    raise RuntimeError("bang")


@pytest.mark.parametrize("handler", [nothing, bang, later, late_bang])
def test_an_alert_is_told_once_whatever_its_handler_does(
    handler: Callable[[AlertEvent], Any], instrumented: Callable[..., House]
) -> None:
    """One that raises has been told; a reset tells it anew, under another id."""
    crossings = Alerts(instrumented(), handler)
    crossings.cross()
    crossings.cross(LEASE_S)
    crossings.cross(HOURS_S)
    assert crossings.ids == ["all:day:2026-09-22:80000"]

    crossings.meter.ledger.order(Reset("all", "day:2026-09-22", who="ann", why="a test"))
    crossings.cross()
    assert crossings.ids == ["all:day:2026-09-22:80000", "all:day:2026-09-22:80000:1"]


def test_an_alert_that_was_cut_off_is_told_again_after_its_lease(
    instrumented: Callable[..., House],
) -> None:
    """A process that dies in the middle, or an async handler that is cancelled."""
    cut_off = True

    async def slow(event: AlertEvent) -> None:
        if cut_off:
            raise asyncio.CancelledError

    crossings = Alerts(instrumented(), slow)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(claimed_by_hand(crossings))
    crossings.cross(5)
    assert len(crossings.ids) == 1

    cut_off = False
    crossings.cross(LEASE_S)
    crossings.cross(LEASE_S)

    assert crossings.ids == ["all:day:2026-09-22:80000"] * 2


def test_an_alert_that_its_loop_cut_off_is_told_again_at_once(
    instrumented: Callable[..., House],
) -> None:
    """The process that claimed it tells it to the end, under the same id."""
    told = []

    async def slow(event: AlertEvent) -> None:
        await asyncio.sleep(0.05)
        told.append(event.id)

    crossings = Alerts(instrumented(), slow)

    async def the_last_call() -> None:
        claimed = ClaimedAlert(crossings.meter, BALANCE, 80_000, noted)
        home = asyncio.get_running_loop()
        crossings.meter.dispatcher.put(claimed, AlertEvent("info", "80 %"), home=home)
        while not crossings.ids:
            await asyncio.sleep(0.01)

    asyncio.run(the_last_call())
    assert crossings.meter.dispatcher.flush(5)
    crossings.cross(LEASE_S)
    assert told == ["all:day:2026-09-22:80000"]


def test_an_alert_waits_for_a_ledger_that_is_down(
    instrumented: Callable[..., House],
    server: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody has to call again once the ledger is back."""
    monkeypatch.setattr(alerts, "LOOK_AGAIN_S", 0.05)
    told: list[str] = []
    ladder = [aden.Alert(1)]
    house = instrumented(
        budgets=[aden.Budget("all", "0.02", ladder=ladder)],
        on_alert=lambda event: told.append(event.id),
    )
    house.meter.ledger = failing = DownTwice(house.ledger)
    openai.OpenAI(base_url=server.base_url, api_key="k").chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "in 40 tokens"}]
    )
    deadline = time.monotonic() + 30
    while not told and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (told, failing.times) == (["all:total:200000"], 2)
    assert house.failures()["alert"] == 2


def test_a_limit_that_is_raised_in_the_file_has_an_alert_of_its_own(
    instrumented: Callable[..., House],
    server: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Half of what was meant to be all is told, and half of what is meant now."""
    path = tmp_path / "budgets.toml"
    monkeypatch.setenv("ADEN_BUDGETS", str(path))
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(watch, "SETTLED_S", 0.0)
    told: list[str] = []
    house: House | None = None
    for limit, spent in (("1", "0.6"), ("10", "0.3"), ("10", "4.2")):
        path.write_text(
            f"[[budget]]\nid = 'all'\nlimit_usd = '{limit}'\n"
            "ladder = [{ action = 'alert', at = 50 }]\n"
        )
        house = house or instrumented(budgets=None, on_alert=lambda event: told.append(event.id))
        booked = Charge("all", "total", int(float(spent) * NANO))
        house.ledger.settle(Settlement(f"others, of {limit}: {spent}", (booked,)))
        openai.OpenAI(base_url=server.base_url, api_key="k").chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "in 40 tokens"}]
        )
        aden.flush(5)
    assert told == ["all:total:500000000", "all:total:5000000000"]


class DownTwice:
    """A ledger that cannot be read two times, and is itself in all else."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.times = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def balances(self, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """Fails twice."""
        if self.times < 2:
            self.times += 1
            raise LedgerUnavailable("it is down")
        return self._ledger.balances(budgets)


async def claimed_by_hand(crossings: Alerts) -> None:
    """What the dispatcher does, in this test's own loop, so that it can be cut off."""
    result: Any = ClaimedAlert(crossings.meter, BALANCE, 80_000, noted)(AlertEvent("info", "80 %"))
    await result


async def test_an_async_handler_is_at_home_on_the_loop_of_the_call(
    instrumented: Callable[..., House],
) -> None:
    """Where its own sessions live; one that raises has been told, and is blamed."""
    homes: list[asyncio.AbstractEventLoop] = []
    done = asyncio.Event()

    async def at_home(event: AlertEvent) -> None:
        homes.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        done.set()
        raise RuntimeError("bang")

    crossings = Alerts(instrumented(), at_home)
    crossings.cross()
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0.05)
    crossings.cross(after_s=LEASE_S)
    await asyncio.sleep(0.05)
    assert homes == [asyncio.get_running_loop()]
    assert len(crossings.ids) == 1
