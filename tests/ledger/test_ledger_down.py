"""A whole process whose ledger goes down and comes back: Redis killed, a SQLite file locked."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import openai
import pytest

import aden
from aden import Allowance, Budget, RequestCancelledError
from aden.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from redis_kit import RedisServer

    from aden.testing import OpenAIServer
    from house import House

REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Say hello in 12 tokens."}],
    "max_tokens": 20,
}
LIMIT = "1"
"""US dollars; a request of this kind holds about 240,000 nano-dollars, and costs 152,500."""


class Switch(Protocol):
    """A ledger that can be taken away."""

    url: str

    def down(self) -> None: ...

    def up(self) -> None: ...


class LockedFile:
    """Somebody else begins a transaction in the file, and does not end it."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite://{path}"
        self._path = path
        self._keeper: sqlite3.Connection | None = None

    def down(self) -> None:
        """Lock it."""
        self._keeper = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._keeper.execute("BEGIN IMMEDIATE")

    def up(self) -> None:
        """Let go."""
        if self._keeper is not None:
            self._keeper.close()


class KilledServer:
    """The Redis server dies, and starts again with what it had on disk."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url()
        self._server = server

    def down(self) -> None:
        """SIGKILL, once it has acknowledged what it was told."""
        aden.flush(5)
        self._server.kill()

    def up(self) -> None:
        """Start it."""
        self._server.start()


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Switch]:
    """Each kind in turn."""
    if request.param == "redis":
        yield KilledServer(request.getfixturevalue("own_server"))
        return
    file = LockedFile(tmp_path / "ledger.db")
    yield file
    file.up()


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    """A client without retries."""
    alone = {"connection": "close"}
    made = openai.OpenAI(
        api_key="key", base_url=server.base_url, max_retries=0, default_headers=alone
    )
    with closing(made):
        yield made


def tries(client: openai.OpenAI, count: int) -> list[RequestCancelledError]:
    """The refusals of *count* requests."""
    refusals = []
    for _ in range(count):
        try:
            client.chat.completions.create(**REQUEST)
        except RequestCancelledError as error:
            refusals.append(error)
    return refusals


def booked(house: House, server: OpenAIServer, count: int) -> None:
    """Everything is in the ledger, once, as the provider billed it."""
    house.settled(count)
    assert house.balance().settled == server.bill.total_nano_usd
    assert house.balance().unconfirmed == 0


def test_an_outage_overspends_by_the_allowance_at_most_and_is_booked_once(
    ledger: Switch,
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
    complaints: Callable[[], list[str]],
) -> None:
    """What passes is told as local; the refusal after it names the budget."""
    allowance = Budget("all", LIMIT, on_ledger_down=Allowance("0.0005"))
    house = instrumented(ledger=ledger.url, budgets=[allowance])
    tries(client, 1)
    ledger.down()
    before = server.bill.total_nano_usd

    refusals = tries(client, 8)

    assert 0 < server.bill.total_nano_usd - before <= 500_000
    assert {(each.reason, each.source, each.budget_id) for each in refusals} == {
        ("unavailable", "ledger", "all")
    }
    assert "lets this process spend $0.000500 unasked" in str(refusals[-1])
    (line,) = [line for line in complaints() if "on_ledger_down decides" in line]
    assert "the ledger is down" in line
    ledger.up()
    booked(house, server, 9)
    sent = [record for record in house.calls.records if record.attempts]
    reach = house.ledger.reach
    assert [record.reach for record in sent] == [reach, *["process"] * (len(sent) - 1)]
    shown = [span.attributes or {} for span in house.spans]
    assert shown[1][names.LEDGER_REACH] == "process"
    assert house.failures() == {"ledger": 8}


def test_without_a_word_one_per_cent_passes(
    ledger: Switch,
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
) -> None:
    """Of 0.10 $: a tenth of a cent."""
    house = instrumented(ledger=ledger.url, budgets=[Budget("all", "0.10")])
    ledger.down()
    refusals = tries(client, 12)
    assert len(refusals) > 0
    assert 500_000 < server.bill.total_nano_usd <= 1_000_000
    ledger.up()
    booked(house, server, 12)


def test_repeated_outages_share_one_allowance_until_the_ledger_has_booked_it(
    ledger: Switch,
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
) -> None:
    """After that the process may spend it again: the ledger knows of what was spent before."""
    allowance = Budget("all", LIMIT, on_ledger_down=Allowance("0.0005"))
    house = instrumented(ledger=ledger.url, budgets=[allowance])
    ledger.down()
    tries(client, 5)
    first = server.bill.total_nano_usd
    assert len(tries(client, 1)) == 1
    ledger.up()
    booked(house, server, 6)

    assert tries(client, 1) == []
    between = server.bill.total_nano_usd
    ledger.down()
    tries(client, 5)
    assert server.bill.total_nano_usd - between == first
    ledger.up()
    booked(house, server, 12)


def test_a_call_may_begin_before_an_outage_and_end_in_it_and_the_other_way_round(
    ledger: Switch,
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
) -> None:
    """Each is booked once, at what it cost."""
    house = instrumented(ledger=ledger.url, budgets=[Budget("all", "100")])
    early = client.chat.completions.create(**REQUEST, stream=True)
    next(early)
    ledger.down()
    late = client.chat.completions.create(**REQUEST, stream=True)
    next(late)
    assert len(list(early)) > 3
    ledger.up()
    aden.flush(5)
    assert tries(client, 1) == []
    assert len(list(late)) > 3
    booked(house, server, 3)


@pytest.mark.parametrize(
    ("budget", "options", "passes"),
    [
        ({"on_ledger_down": "refuse"}, {}, False),
        ({"on_ledger_down": "refuse"}, {"fail_open": True}, False),
        ({"on_ledger_down": "allow"}, {}, True),
        ({"limit_usd": "0.0001"}, {}, False),
        ({"limit_usd": "0.01"}, {"fail_open": True}, True),
        ({"limit_usd": 0}, {"fail_open": True}, False),
        ({"on_ledger_down": "refuse", "mode": "observe"}, {}, True),
        ({"on_ledger_down": "refuse"}, {"mode": "observe"}, True),
        ({"on_ledger_down": "refuse"}, {"mode": "off"}, True),
    ],
)
def test_who_decides_in_an_outage(
    budget: dict[str, Any],
    options: dict[str, Any],
    passes: bool,
    tmp_path: Path,
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
) -> None:
    """The budget's word, then fail_open, then one per cent; what is only observed never refuses."""
    file = LockedFile(tmp_path / "ledger.db")
    values: dict[str, Any] = {"limit_usd": "100"}
    chosen = Budget("all", **values | budget)
    house = instrumented(ledger=file.url, budgets=[chosen], **options)
    file.down()
    refusals = tries(client, 1)
    file.up()
    assert (refusals == []) is passes
    assert len(server.requests) == passes
    if options.get("mode") != "off":
        booked(house, server, 1)


def test_a_hook_sees_that_its_figures_are_the_processs_own(
    ledger: Switch,
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
) -> None:
    """``context.budget`` tells the last known spend, and the reach ``process``."""
    seen: list[Mapping[str, object]] = []

    def hook(params: object, context: aden.BeforeRequestContext) -> aden.BeforeRequestResult:
        assert context.budget is not None
        seen.append(context.budget)
        return aden.BeforeRequestResult.proceed()

    house = instrumented(ledger=ledger.url, budgets=[Budget("all", "100")], before_request=hook)
    tries(client, 1)
    tries(client, 1)
    ledger.down()
    tries(client, 1)
    assert [view["reach"] for view in seen] == [house.ledger.reach, house.ledger.reach, "process"]
    spent = [float(str(view["spent"])) for view in seen]
    assert spent[0] == 0 < spent[1] <= spent[2]
    ledger.up()
    booked(house, server, 3)


class BusyFile(LockedFile):
    """Somebody is at work in the file all the time, and leaves no gap for anybody else."""

    def down(self) -> None:
        """Begin; from here on the file is locked, but things get done."""
        super().down()
        self._ends = threading.Event()
        self._writer = threading.Thread(target=self._write, args=(self._keeper,))
        self._writer.start()

    def _write(self, keeper: sqlite3.Connection) -> None:
        keeper.execute("PRAGMA cache_size = 1")  # so that the log grows before the end
        keeper.execute("CREATE TABLE somebody_elses (page)")
        while not self._ends.wait(0.02):
            keeper.execute("INSERT INTO somebody_elses VALUES (zeroblob(100000))")

    def up(self) -> None:
        """End."""
        self._ends.set()
        self._writer.join()
        super().up()


@pytest.mark.parametrize("fail_open", [False, True])
def test_a_queue_is_no_outage(
    fail_open: bool,
    tmp_path: Path,
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
    complaints: Callable[[], list[str]],
) -> None:
    """It has its own words and counter, takes nobody's allowance, and says when to ask again."""
    file = BusyFile(tmp_path / "ledger.db")
    house = instrumented(ledger=file.url, budgets=[Budget("all", "100")], fail_open=fail_open)
    file.down()
    refusals = tries(client, 1)
    file.up()
    assert len(server.requests) == fail_open
    if not fail_open:
        assert (refusals[0].reason, refusals[0].retry_after_ms) == ("unavailable", 250)
        assert "others are at work" in str(refusals[0])
    assert house.failures() == {"saturated": 1}
    assert house.meter.reserver.outage._used == {}
    (line,) = [line for line in complaints() if "the ledger is there" in line]
    assert ("let through" if fail_open else "refused") in line
    booked(house, server, 1)
