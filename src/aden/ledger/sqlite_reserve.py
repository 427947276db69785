"""Reserving inside one SQLite transaction, for one request or for all that waited for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aden.core.window import Window
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Refusal
from aden.ledger.rules import choose, retry_after_ms
from aden.ledger.sqlite_file import Connection
from aden.ledger.sqlite_rows import write_rows
from aden.ledger.sqlite_verbs import drop, expire
from aden.ledger.sqlite_windows import Changes, look


def reserve(db: Connection, now: float, *, ask: Ask) -> Grant | Refusal:
    """Hold the first option that fits, all its lines or none."""
    return reserve_together(db, now, asks=(ask,))[0]


def reserve_together(db: Connection, now: float, *, asks: Sequence[Ask]) -> list[Grant | Refusal]:
    """`reserve` for each: who comes later sees what is held for who came before."""
    several = len(asks) > 1
    own = [_windows(ask) for ask in asks]
    windows = {budget: window for each in own for budget, window in each.items()}
    budgets = tuple(windows.items())
    operations = [ask.operation for ask in asks]
    seen, due, known = look(db, now, budgets, operations)
    if several and (known or not all(each.items() <= windows.items() for each in own)):
        # Some are asked again, or by another policy than others.
        return [reserve(db, now, ask=each) for each in asks]
    if due or known:
        expire(db, now)
        drop(db, now, operations[0])
        seen = look(db, now, budgets)[0]
    balances = {each.budget: each for each in seen}
    answers: list[Grant | Refusal] = []
    granted: list[tuple[Ask, Grant]] = []
    for ask, keys in zip(asks, own, strict=True):
        answer = _answer(now, ask, balances, tuple([balances[key] for key in keys]))
        answers.append(answer)
        if isinstance(answer, Grant):
            granted.append((ask, answer))
            if several:
                _take(answer.holds, balances)
    if granted:
        _hold(db, now, granted)
    return answers


def _windows(ask: Ask) -> dict[str, Window]:
    return {line.budget: line.window for option in ask.options for line in option.lines}


def _answer(
    now: float, ask: Ask, balances: Mapping[str, Balance], seen: tuple[Balance, ...]
) -> Grant | Refusal:
    verdict = choose(ask, balances)
    if verdict.option is None:
        wait_ms = retry_after_ms(verdict, balances[verdict.budget], now)
        return Refusal(ask.operation, verdict.reason, verdict.budget, seen, wait_ms)
    holds = tuple(
        [
            Charge(line.budget, balances[line.budget].window_id, line.amount)
            for line in ask.options[verdict.option].lines
        ]
    )
    return Grant(ask.operation, verdict.option, holds, seen)


def _take(holds: Sequence[Charge], balances: dict[str, Balance]) -> None:
    for hold in holds:
        before = balances[hold.budget]
        balances[hold.budget] = replace(before, held=before.held + hold.amount)


def _hold(db: Connection, now: float, granted: Sequence[tuple[Ask, Grant]]) -> None:
    """Write down what operations hold that nobody knows yet."""
    write_rows(
        db,
        "INSERT INTO operation (id, state, sent, lease_until) VALUES {}",
        [(ask.operation, "open", 1, now + ask.lease_ms / 1000) for ask, _ in granted],
    )
    changes = Changes()
    rows: list[tuple[str, int, str, str, int, int]] = []
    for ask, grant in granted:
        lines = ask.options[grant.option].lines
        for position, (hold, line) in enumerate(zip(grant.holds, lines, strict=True)):
            changes.add(hold, held=hold.amount)
            what = (hold.budget, hold.window_id, hold.amount, line.at_risk)
            rows.append((ask.operation, position, *what))
    changes.book(db, now)
    write_rows(
        db,
        "INSERT INTO hold (operation, position, budget, window_id, amount, at_risk) VALUES {}",
        rows,
    )
