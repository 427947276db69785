"""The arguments of the Redis ledger's scripts, and what their answers mean. No I/O."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, Protocol, TypeVar

from aden.core.window import Span, Window
from aden.ledger.journal import Keep
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Line, Refusal, Settlement
from aden.ledger.redis_call import Call, Reply
from aden.ledger.rules import Verdict, output_bucket, percentile_of, retry_after_ms

SCHEMA = 2
OLDEST_READER = 1
"""The oldest schema whose programs can go on beside this one."""
PROBE = Call("open", (b"", b"%d" % SCHEMA, b"%d" % OLDEST_READER, b"0"))
"""Asks whether the server is there, and for the typical outputs."""
HELLO = Call("open", (b"", b"%d" % SCHEMA, b"%d" % OLDEST_READER, b"1"))
"""Asks for all that a process wants to know before it begins."""
T_co = TypeVar("T_co", covariant=True)

_REASONS: Mapping[bytes, Literal["exhausted", "busy", "policy"]] = {
    b"exhausted": "exhausted",
    b"busy": "busy",
    b"policy": "policy",
}
_attempts = itertools.count(time.time_ns() // 1_000)
"""Numbers of attempts to reserve; they only have to rise within the process that makes the call."""


class WrongClockError(Exception):
    """The windows that were sent are not those of the server's time; it is told here."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.now = now


class Verb(Protocol[T_co]):
    """A call of a script that somebody waits for."""

    def call(self, at: float) -> Call:
        """The call, with the windows around the unix second *at*."""

    def read(self, reply: Reply) -> T_co:
        """What the answer means.

        Raises:
            WrongClockError: It has to be asked again.
        """


class Reserve:
    """`Ledger.reserve`."""

    def __init__(self, ask: Ask, given: float | None) -> None:
        self._ask = ask
        self._given = given
        self._attempt = number(next(_attempts))
        self._windows = {line.budget: line.window for opt in ask.options for line in opt.lines}
        self._spans: list[tuple[Span, ...]] = []

    def call(self, at: float) -> Call:
        """The call, with the windows around *at*."""
        ask = self._ask
        words = [*self._head(), number(ask.lease_ms)]
        self._spans = _add_budgets(words, list(self._windows.items()), at)
        places = {key: place for place, key in enumerate(self._windows, 1)}
        for option in ask.options:
            words.append(number(len(option.lines)))
            words += (_line(places[line.budget], line) for line in option.lines)
        return Call("reserve", words)

    def read(self, reply: Reply) -> Grant | Refusal:
        """The grant or refusal, with the balances as the server saw them."""
        now, said, *rest = reply
        if said == b"clock":
            raise WrongClockError(float(now))
        place, *figures = rest
        seen = _balances(self._windows.items(), self._spans, figures)
        operation = self._ask.operation
        if said == b"granted":
            found = {balance.budget: balance.window_id for balance in seen}
            lines = self._ask.options[place].lines
            holds = tuple(Charge(line.budget, found[line.budget], line.amount) for line in lines)
            return Grant(operation, place, holds, seen)
        balance = seen[place]
        verdict = Verdict(None, _REASONS[said], balance.budget)
        wait_ms = retry_after_ms(verdict, balance, float(now))
        return Refusal(operation, verdict.reason, balance.budget, seen, wait_ms)

    def undo(self) -> Call:
        """Takes the hold back, also where this attempt has yet to reach the server."""
        return Call("abandon", self._head())

    def _head(self) -> list[bytes]:
        return [moment(self._given), text(self._ask.operation), self._attempt]


class Balances:
    """`Ledger.balances`."""

    def __init__(self, budgets: Sequence[tuple[str, Window]], given: float | None) -> None:
        self._budgets = list(budgets)
        self._given = given
        self._spans: list[tuple[Span, ...]] = []

    def call(self, at: float) -> Call:
        """The call, with the windows around *at*."""
        words = [moment(self._given)]
        self._spans = _add_budgets(words, self._budgets, at)
        return Call("balances", words)

    def read(self, reply: Reply) -> tuple[Balance, ...]:
        """The balances, in the order of the budgets."""
        now, said, *figures = reply
        if said == b"clock":
            raise WrongClockError(float(now))
        return _balances(self._budgets, self._spans, figures)


class Plain:
    """A call whose arguments do not depend on the time, answered as it is; *heard* is told too."""

    def __init__(self, call: Call, heard: Callable[[Reply], None] | None = None) -> None:
        self._call = call
        self._heard = heard

    def call(self, at: float) -> Call:
        """The call."""
        return self._call

    def read(self, reply: Reply) -> Reply:
        """The answer itself."""
        if self._heard is not None:
            self._heard(reply)
        return reply


def settle(given: float | None, settlement: Settlement, line: str | None, keep: Keep) -> Call:
    """`Ledger.settle`."""
    output = b""
    if settlement.output is not None:
        model, tokens = settlement.output
        output = number(output_bucket(tokens)) + b":" + text(model)
    words = [moment(given), text(settlement.operation), output]
    words += (b"" if line is None else text(line), number(keep.calls), moment(keep.seconds))
    for charge in settlement.charges:
        words += (text(charge.budget), text(charge.window_id), number(charge.amount))
    return Call("settle", words)


def true_up(given: float | None, spent: Iterable[Charge]) -> Call:
    """`Ledger.true_up`."""
    words = [moment(given)]
    for charge in spent:
        words += (text(charge.budget), text(charge.window_id), number(charge.amount))
    return Call("true_up", words)


def renew(given: float | None, progress: Mapping[str, Sequence[int]], lease_ms: int) -> Call:
    """`Ledger.renew`."""
    words = [moment(given), number(lease_ms)]
    for operation, amounts in progress.items():
        words += (text(operation), number(len(amounts)), *map(number, amounts))
    return Call("renew", words)


def mark_sent(given: float | None, operation: str, sent: bool) -> Call:
    """`Ledger.mark_sent`."""
    return Call("mark_sent", (moment(given), text(operation), b"1" if sent else b"0"))


def extend(given: float | None, operation: str, amounts: Sequence[int]) -> Call:
    """`Ledger.extend`."""
    return Call("extend", (moment(given), text(operation), *map(number, amounts)))


def outputs(flat: Sequence[bytes]) -> dict[str, int | None]:
    """The typical output of each model, from the server's counts."""
    histograms: dict[str, dict[int, int]] = {}
    for field, seen in zip(flat[::2], flat[1::2], strict=True):
        bucket, _, model = field.partition(b":")
        name = model.decode(errors="surrogatepass")
        histograms.setdefault(name, {})[int(bucket)] = int(seen)
    return {model: percentile_of(histogram) for model, histogram in histograms.items()}


def number(value: int) -> bytes:
    """An integer, exactly; anything else is a mistake of ours."""
    return b"%d" % value


def text(value: str) -> bytes:
    """Any text: labels come from users, lone surrogates included."""
    return value.encode(errors="surrogatepass")


def moment(given: float | None) -> bytes:
    """The time as the scripts take it: empty for the server's own."""
    return b"" if given is None else repr(given).encode()


@lru_cache(maxsize=4096)
def _spans_around(window: Window, minute: int) -> tuple[tuple[Span, ...], bytes]:
    """The windows that touch the minute, the one before or the one after; as the scripts read them.

    The server picks by its own clock, so the clocks need not agree to better than a minute. The
    slices of a window that rolls it works out itself.
    """
    if rolling := window.rolling:
        return (), b"~ %d %d" % (rolling.seconds, rolling.width)
    spans: dict[str, Span] = {}
    for near in range(minute - 1, minute + 3):
        span = window.at(near * 60)
        spans[span.id] = span
    ends = {span.id: "-" if span.ends_at is None else repr(span.ends_at) for span in spans.values()}
    written = " ".join(f"{name} {end}" for name, end in ends.items())
    return tuple(spans.values()), written.encode()


def _line(place: int, line: Line) -> bytes:
    below = b"-" if line.below is None else number(line.below)
    return b"%d %d %d %d %b %d %d" % (
        place,
        line.limit,
        line.amount,
        line.at_risk,
        below,
        line.enforce,
        line.soft,
    )


def _add_budgets(
    words: list[bytes], pairs: Sequence[tuple[str, Window]], at: float
) -> list[tuple[Span, ...]]:
    """Append when the windows are right, the budgets and their windows."""
    minute = int(at // 60)
    words += (number((minute - 1) * 60), number((minute + 2) * 60), number(len(pairs)))
    candidates = []
    for key, window in pairs:
        spans, written = _spans_around(window, minute)
        candidates.append(spans)
        words += (text(key), written)
    return candidates


def _balances(
    budgets: Iterable[tuple[str, Window]],
    candidates: Sequence[tuple[Span, ...]],
    answer: Sequence[bytes],
) -> tuple[Balance, ...]:
    """The balances of an answer: of each budget, which window, settled, unconfirmed, held."""
    seen = []
    for (key, window), spans, told in zip(budgets, candidates, answer, strict=True):
        tag, *figures = told.split()
        settled, unconfirmed, held = map(int, figures[:3])
        if window.rolling is None:
            span = spans[int(tag)]
        else:
            span = Span(window.rolling.slice(int(tag[1:])).id, float(figures[3]))
        raised = None if figures[4] == b"-" else int(figures[4])
        frozen = figures[5] == b"1"
        seen.append(
            Balance(
                key,
                span.id,
                span.ends_at,
                settled,
                unconfirmed,
                held,
                raised,
                frozen,
                int(figures[6]),
            )
        )
    return tuple(seen)
