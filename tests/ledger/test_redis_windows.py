"""Calendar windows in a Redis ledger: the server's clock picks among those that we send along."""

import time

import pytest
from ledger_kit import PATIENT_S, EventfulClock, ask, balance, charged, granted, line
from redis_kit import RedisServer

from aden.core.window import Window
from aden.ledger.redis import RedisLedger

WINDOWS = [
    Window(period, zone)
    for period in ("hour", "day", "week", "month", "total")
    for zone in ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia")
] + [Window("rolling 7s"), Window("rolling 1h"), Window("rolling 30d")]
TURNS = [
    1_767_225_600,  # 2026-01-01 00:00 UTC
    1_774_746_000,  # 2026-03-29 01:00 UTC: summer time begins in Berlin
    1_792_890_000,  # 2026-10-25 01:00 UTC: it ends there
    1_793_509_800,  # 2026-11-01: it ends in St. John's
    1_772_362_800,  # 2026-03-01 11:00 UTC: midnight in Apia
]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("off", [-3_600, -61, -60, -1, -0.001, 0, 0.001, 59.999, 60, 3_600])
def test_the_server_picks_the_window_of_its_time(
    redis_server: RedisServer, clock: EventfulClock, turn: int, off: float
) -> None:
    """On both sides of every turn, to the millisecond."""
    ledger = RedisLedger(redis_server.url(), clock, deadline_s=PATIENT_S)
    clock.set(turn + off)
    asked = [(f"{number}", window) for number, window in enumerate(WINDOWS)]

    seen = ledger.balances(asked)

    spans = [window.at(clock()) for window in WINDOWS]
    assert [(each.window_id, each.ends_at) for each in seen] == [
        (span.id, span.ends_at) for span in spans
    ]
    ledger.close()


@pytest.mark.parametrize("hours", [-1_000, -3, -1, -0.03, 0.03, 1, 3, 1_000])
def test_our_own_clock_does_not_matter(redis: RedisLedger, hours: float) -> None:
    """Wrong by any amount: the windows are the server's, for one more trip."""
    hour, month = Window("hour"), Window("month", "Asia/Tokyo")
    redis._wire.pump.offset_s = hours * 3_600

    before = time.time()
    answer = redis.reserve(ask("a", line("h", window=hour), line("m", window=month)))
    after = time.time()

    ids = [hold.window_id for hold in granted(answer).holds]
    assert ids in [[hour.at(now).id, month.at(now).id] for now in (before, after)]
    if abs(hours) >= 1:
        assert abs(redis._wire.pump.offset_s) < 5
    redis._wire.pump.offset_s = hours * 3_600
    assert balance(redis, "m", month).held == 10


def test_a_lease_ends_by_the_servers_clock(redis: RedisLedger) -> None:
    """However wrong ours is."""
    redis._wire.pump.offset_s = 86_400.0
    granted(redis.reserve(ask("a", line(amount=10), lease_ms=200)))
    assert balance(redis).held == 10
    time.sleep(0.3)
    assert balance(redis).unconfirmed == 10
    redis.settle(charged("a", 3))
    assert balance(redis).spent == 3
