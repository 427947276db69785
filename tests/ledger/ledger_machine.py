"""Random steps that drive the memory ledger and another store side by side."""

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledger_kit import typical

from aden.core.window import Window
from aden.ledger import (
    AlertClaim,
    Ask,
    Balance,
    Charge,
    Confirm,
    Freeze,
    Grant,
    Ledger,
    Line,
    Option,
    Order,
    Raise,
    Refusal,
    Reset,
    Settlement,
)
from aden.ledger.memory import MemoryLedger
from aden.testing.clock import FixedClock

END_OF_SUMMER_TIME = 1_792_890_000.0  # 2026-10-25 01:00 UTC
BUDGETS = {
    "total": (Window("total"), 300),
    "hour": (Window("hour", "Europe/Berlin"), 60),
    "day": (Window("day", "Europe/Berlin"), 100),
    "zero": (Window("week"), 0),
    "rolling": (Window("rolling 1h"), 80),
    "short": (Window("rolling 7s"), 40),
}
WINDOWS = [(key, window) for key, (window, _) in BUDGETS.items()]
KEYS = st.sampled_from(sorted(BUDGETS))
IDS = st.sampled_from([f"op{number}" for number in range(6)])
Key = tuple[str, str]
AMOUNTS = st.integers(0, 50) | st.just(0)


@st.composite
def lines(draw: st.DrawFn) -> tuple[Line, ...]:
    """One to three lines, each of another budget."""
    keys = draw(st.lists(st.sampled_from(sorted(BUDGETS)), min_size=1, max_size=3, unique=True))
    made = []
    for key in keys:
        window, limit = BUDGETS[key]
        amount = draw(AMOUNTS)
        made.append(
            Line(
                budget=key,
                window=window,
                limit=limit,
                amount=amount,
                at_risk=draw(st.integers(0, amount)),
                below=draw(st.none() | st.integers(0, limit)),
                enforce=draw(st.integers(0, 7)) > 0,
                soft=draw(st.integers(0, 5)) == 0,
            )
        )
    return tuple(made)


OPTIONS = st.lists(lines().map(Option), min_size=1, max_size=3).map(tuple)
PROGRESS = st.lists(st.integers(0, 60), min_size=0, max_size=3)
CHARGE = st.tuples(st.sampled_from(sorted(BUDGETS)), st.integers(0, 80))
CHARGES = st.lists(CHARGE, max_size=2)
TOLD = st.lists(CHARGE, min_size=1, max_size=2)


def fits(line: Line, balance: Balance, *, refunded: bool) -> bool:
    """The rule of the ledger, in the words of the protocol."""
    if line.amount == 0 or not line.enforce:
        return True
    held = 0 if refunded else balance.held
    limit = max(line.limit, balance.raised or 0)
    # A raised limit takes the ladder along: spend ÷ raised limit < step ÷ the policy's limit.
    on_step = line.below is None or balance.spent * line.limit < line.below * limit
    if line.limit == limit:
        on_step = line.below is None or balance.spent < line.below
    elif line.limit == 0:
        on_step = True
    bears = line.soft or balance.spent + held + line.amount <= limit
    return on_step and not balance.frozen and bears


class Ledgers(RuleBasedStateMachine):
    """The memory ledger is the model; two handles on each other store have to behave like it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FixedClock(END_OF_SUMMER_TIME - 7_000)
        self.memory = MemoryLedger(self.clock)
        self.turns = 0
        self.allowance: Counter[Key] = Counter()
        self.latest = self.clock()
        self.set_back = 0.0
        self.claims: list[AlertClaim] = []
        self.raised: Counter[str] = Counter()
        self.last: dict[str, tuple[Charge, ...]] = {}
        self.handles: list[Ledger] = [self.another() for _ in range(2)]

    def another(self) -> Ledger:
        """One more handle on the store."""
        raise NotImplementedError

    def stored(self) -> dict[Key, tuple[int, ...]]:
        """What the store itself says of each window: settled, unconfirmed, held."""
        raise NotImplementedError

    def open_holds(self) -> dict[Key, int]:
        """What the store's open operations hold in each window."""
        raise NotImplementedError

    @property
    def other(self) -> Ledger:
        """The handle whose turn it is."""
        self.turns += 1
        return self.handles[self.turns % 2]

    def table(self) -> dict[Key, tuple[int, int, int]]:
        """Every window of the model: looked at from inside, as `balances` would end leases."""
        return {
            key: figures
            for key, found in self.memory.books.windows.items()
            if any(figures := (found.settled, found.unconfirmed, found.held))
        }

    def totals(self) -> Counter[Key]:
        """Spent and held in every window."""
        return Counter({key: sum(figures) for key, figures in self.table().items()})

    @initialize(spent=st.integers(0, 60))
    def begin(self, spent: int) -> None:
        """Something is spent already."""
        self.settle_with("before", [("hour", spent), ("day", spent)])

    @rule(name=IDS, choices=OPTIONS, lease_ms=st.sampled_from([500, 60_000]))
    def reserve(self, name: str, choices: tuple[Option, ...], lease_ms: int) -> None:
        """Both grant the same option, or refuse for the same reason, as the protocol says."""
        request = Ask(name, choices, lease_ms)
        answer = self.memory.reserve(request)
        assert answer == self.other.reserve(request)
        balances = {balance.budget: balance for balance in answer.balances}
        fitting = [
            all(fits(line, balances[line.budget], refunded=False) for line in option.lines)
            for option in choices
        ]
        if isinstance(answer, Grant):
            assert fitting.index(True) == answer.option
            self.last[name] = answer.holds
            for line, hold in zip(choices[answer.option].lines, answer.holds, strict=True):
                if line.soft or not line.enforce:
                    self.allowance[hold.budget, hold.window_id] += hold.amount
        else:
            assert isinstance(answer, Refusal)
            refunded = [
                all(fits(line, balances[line.budget], refunded=True) for line in option.lines)
                for option in choices
            ]
            assert not any(fitting)
            if answer.reason == "policy":
                assert balances[answer.budget].frozen
                assert not any(refunded)
            else:
                assert answer.reason == ("busy" if any(refunded) else "exhausted")
            for balance in answer.balances:
                assert self.held_in(balance) == balance.held, "a refusal holds nothing"
            self.last.pop(name, None)

    def held_in(self, balance: Balance) -> int:
        """What the window of a balance holds now, of a rolling one all slices that count."""
        windows = [balance.window_id]
        if rolling := BUDGETS[balance.budget][0].rolling:
            windows = [rolling.slice(start).id for start in rolling.starts(self.clock())]
        table = self.table()
        return sum(table.get((balance.budget, each), (0, 0, 0))[2] for each in windows)

    def settle_with(self, name: str, charges: list[tuple[str, int]], *, own: bool = False) -> None:
        """Settle in both, and note by how much it raised what is spent and held."""
        before = self.totals()
        held = self.last.get(name, ())
        windows = {key: window.at(self.clock()).id for key, window in WINDOWS}
        windows |= {hold.budget: hold.window_id for hold in held} if own else {}
        booked = tuple(Charge(key, windows[key], amount) for key, amount in charges)
        settlement = Settlement(name, booked, output=("m", sum(amount for _, amount in charges)))
        self.memory.settle(settlement)
        self.other.settle(settlement)
        self.allowance += self.totals() - before

    @rule(name=IDS, charges=CHARGES)
    def settle(self, name: str, charges: list[tuple[str, int]]) -> None:
        """More, less, nothing, again, of an unknown operation: into the current windows."""
        self.settle_with(name, charges)

    @rule(name=IDS, off=st.integers(-20, 20))
    def settle_near_the_hold(self, name: str, off: int) -> None:
        """What most calls do: about what they held, in the windows of their reserve."""
        held = self.last.get(name, ())
        self.settle_with(name, [(h.budget, max(0, h.amount + off)) for h in held], own=True)

    @rule(name=IDS, amounts=PROGRESS, lease_ms=st.sampled_from([500, 60_000]))
    def renew(self, name: str, amounts: list[int], lease_ms: int) -> None:
        """With progress of the right and of the wrong shape, in time and late."""
        held = self.last.get(name, ())
        progress = [min(amount, hold.amount) for amount, hold in zip(amounts, held, strict=False)]
        before = self.totals()
        self.memory.renew({name: progress}, lease_ms)
        self.other.renew({name: progress}, lease_ms)
        self.allowance += self.totals() - before

    @rule(name=IDS, sent=st.booleans())
    def mark_sent(self, name: str, sent: bool) -> None:
        """Sent or not."""
        self.memory.mark_sent(name, sent=sent)
        self.other.mark_sent(name, sent=sent)

    @rule(name=IDS, amounts=PROGRESS)
    def extend(self, name: str, amounts: list[int]) -> None:
        """Streams grow past every limit."""
        before = self.totals()
        self.memory.extend(name, amounts)
        self.other.extend(name, amounts)
        self.allowance += self.totals() - before

    @rule(spent=TOLD, back_s=st.sampled_from([0, 3_700]))
    def true_up(self, spent: list[tuple[str, int]], back_s: int) -> None:
        """What others have spent, now or in a window that is past; a budget may be named twice."""
        before = self.totals()
        at = self.clock() - back_s
        told = [Charge(key, BUDGETS[key][0].at(at).id, amount) for key, amount in spent]
        self.memory.true_up(told)
        self.other.true_up(told)
        self.allowance += self.totals() - before

    @rule()
    def look(self) -> None:
        """Looking ends the leases that ran out, in both."""
        assert self.memory.balances(WINDOWS) == self.other.balances(WINDOWS)

    @rule(seconds=st.sampled_from([0.4, 0.5, 61, 3_600, 86_401, 700_000, 6_000_000]))
    def go_on(self, seconds: float) -> None:
        """Past leases, past windows, past what is remembered."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([0.5, 100, 4_000, 90_000]))
    def go_back(self, seconds: float) -> None:
        """Somebody set the clock."""
        self.latest = max(self.latest, self.clock())
        self.clock.advance(-seconds)
        self.set_back = max(self.set_back, self.latest - self.clock())

    @precondition(lambda self: self.turns % 5 == 0)
    @rule()
    def reopen(self) -> None:
        """A process ends and another begins."""
        self.handles[0].close()
        self.handles[0] = self.another()

    @rule(
        key=KEYS,
        threshold=st.integers(1, 2),
        lease_ms=st.sampled_from([400, 30_000]),
        stale=st.integers(0, 7).map(lambda number: number == 0),
    )
    def claim(self, key: str, threshold: int, lease_ms: int, stale: bool) -> None:
        """One of all claims wins, until its lease or a rolling window has ended."""
        (balance,) = self.memory.balances([(key, BUDGETS[key][0])])
        assert self.other.balances([(key, BUDGETS[key][0])]) == (balance,)
        seen = replace(balance, epoch=max(0, balance.epoch - stale))
        won = self.memory.claim_alert(seen, threshold, lease_ms)
        assert won == self.other.claim_alert(seen, threshold, lease_ms)
        if won is not None:
            self.claims.append(won)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """In time, late, twice."""
        claim = data.draw(st.sampled_from(self.claims))
        self.memory.acknowledge_alert(claim)
        self.other.acknowledge_alert(claim)

    @rule(key=KEYS, back_s=st.sampled_from([0, 3_700]))
    def reset(self, key: str, back_s: int) -> None:
        """The current window, or one that is past."""
        window = BUDGETS[key][0].at(self.clock() - back_s).id
        self.give(Reset(key, window, who="ann", why="a test"))

    @rule(key=KEYS, limit=st.none() | st.integers(0, 200))
    def raise_limit(self, key: str, limit: int | None) -> None:
        """Above the policy's limit, below it, no more."""
        self.give(Raise(key, limit, who="bob", why="a test"))
        self.raised[key] = max(self.raised[key], limit or 0)

    @rule(key=KEYS, frozen=st.integers(0, 3).map(lambda number: number == 0))
    def freeze(self, key: str, frozen: bool) -> None:
        """Seldom; unfrozen more often."""
        self.give(Freeze(key, frozen, who="ann", why="a test"))

    @rule(name=IDS, amounts=st.dictionaries(st.sampled_from(sorted(BUDGETS)), AMOUNTS, max_size=2))
    def confirm(self, name: str, amounts: dict[str, int]) -> None:
        """What is unconfirmed, open, settled, unknown."""
        before = self.totals()
        self.give(Confirm(name, amounts, who="ann", why="a test"))
        self.allowance += self.totals() - before

    def give(self, order: Order) -> None:
        """The order has the same effect in both."""
        assert self.memory.order(order) == self.other.order(order)

    @rule()
    def list_everything(self) -> None:
        """Operators see the same."""
        other = self.other
        assert self.memory.accounts() == other.accounts()
        assert self.memory.holds() == other.holds()
        assert self.memory.open_holds() == other.open_holds()
        assert list(self.memory.audit()) == list(other.audit())

    @invariant()
    def both_say_the_same(self) -> None:
        """Every figure of every window, and the typical output."""
        assert all(handle.flush(5) for handle in self.handles)
        assert self.table() == self.stored()
        assert self.memory.typical_output("m") == typical(self.other, "m")

    @invariant()
    def nothing_is_negative_or_beyond_what_was_allowed(self) -> None:
        """Spent + held stays within the limit and what settled and grown calls exceeded it by."""
        for key, figures in self.table().items():
            assert min(figures) >= 0
            limit = max(BUDGETS[key[0]][1], self.raised[key[0]])
            assert sum(figures) <= limit + self.allowance[key]

    @invariant()
    def no_rolling_window_holds_more_than_was_allowed(self) -> None:
        """Over all its slices, unless the clock was set back by more than the window."""
        totals = self.totals()
        for key, window in WINDOWS:
            rolling = window.rolling
            if rolling is None or self.set_back > rolling.seconds:
                continue
            parts = [(key, rolling.slice(start).id) for start in rolling.starts(self.clock())]
            allowed = max(BUDGETS[key][1], self.raised[key]) + sum(
                self.allowance[part] for part in parts
            )
            assert sum(totals[part] for part in parts) <= allowed

    @invariant()
    def held_is_the_sum_of_the_open_holds(self) -> None:
        """As the store itself says it."""
        held = {key: figures[2] for key, figures in self.stored().items() if figures[2]}
        assert held == self.open_holds()

    def teardown(self) -> None:
        """Let go of the store."""
        for handle in self.handles:
            handle.close()
