"""`aden spend --live` while the ledger does not answer."""

import io

import pytest
from redis_kit import RedisServer

from aden.budgets.budget import Budget
from aden.budgets.note import make_known
from aden.cli.spend.live import live
from aden.errors import LedgerError
from aden.ledger.redis import RedisLedger


class Screen(io.StringIO):
    """Whoever watches: the server dies after the first frame, and is back after the second."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server
        self.frames: list[str] = []

    def write(self, text: str) -> int:
        self.frames.append(text)
        if len(self.frames) == 1:
            self._server.kill()
        elif len(self.frames) == 2:
            self._server.start()
        return len(text)


def test_the_live_view_outlives_an_outage(own_server: RedisServer, own_redis: RedisLedger) -> None:
    """It is watched when something is wrong; at the start it says that there is nothing to see."""
    make_known(own_redis, [Budget("calls", 10)])
    screen = Screen(own_server)
    live(own_redis, screen, frames=8)
    first, second, *_, last = screen.frames
    assert "of $10.000000" in first
    assert "of $10.000000" in last
    assert "not available" in second
    own_server.kill()
    with pytest.raises(LedgerError):
        live(own_redis, io.StringIO(), frames=1)
