"""What an operator's order does to the books."""

from dataclasses import replace

from aden.core.window import rolling_of
from aden.ledger.memory_books import Books
from aden.ledger.memory_entries import Operation
from aden.ledger.operator import AuditEntry, Confirm, Freeze, Marks, Order, Raise, Reset
from aden.ledger.rules import RETAIN_S


def carry_out(books: Books, now: float, order: Order) -> bool:
    """Carry out an order and note it; False where there is nothing to confirm."""
    books.expire(now)
    if isinstance(order, Reset):
        _reset(books, now, order)
    elif isinstance(order, Raise):
        marks = books.marks.get(order.budget, Marks())
        raised = marks._replace(raised=order.limit, epoch=marks.epoch + 1)
        note = _note(now, order, "raise", order.budget, before=marks.raised, after=order.limit)
        books.marks[order.budget] = raised
        books.audit += (note,)
    elif isinstance(order, Freeze):
        marks = books.marks.get(order.budget, Marks())
        marks = marks._replace(frozen=order.frozen)
        note = _note(now, order, "freeze" if order.frozen else "unfreeze", order.budget)
        books.marks[order.budget] = marks
        books.audit += (note,)
    else:
        return _confirm(books, now, order)
    return True


def _reset(books: Books, now: float, order: Reset) -> None:
    windows = reset_windows(order.window_id, now)
    changed = {}
    spent = 0
    for window_id in windows:
        key = order.budget, window_id
        window = books.windows.get(key)
        if window is not None:
            spent += window.spent
            changed[key] = replace(window, settled=0, unconfirmed=0)
    operations = {
        name: replace(operation, at_risk=_at_risk_after(operation, order.budget, windows))
        for name, operation in books.operations.items()
        if operation.state == "unconfirmed"
    }
    marks = books.marks.get(order.budget, Marks())
    marks = marks._replace(epoch=marks.epoch + 1)
    note = _note(
        now, order, "reset", order.budget, window_id=order.window_id, before=spent, after=0
    )
    books.windows |= changed
    books.operations |= operations
    books.marks[order.budget] = marks
    books.audit += (note,)


def _at_risk_after(operation: Operation, budget: str, windows: tuple[str, ...]) -> tuple[int, ...]:
    """What is left booked as unconfirmed where these windows of a budget are emptied."""
    return tuple(
        0 if hold.budget == budget and hold.window_id in windows else amount
        for hold, amount in zip(operation.holds, operation.at_risk, strict=True)
    )


def reset_windows(window_id: str, now: float) -> tuple[str, ...]:
    """What a reset of this window empties: of a rolling one, all slices that count now."""
    rolling = rolling_of(window_id)
    if rolling is None:
        return (window_id,)
    return tuple(rolling.id(start) for start in rolling.starts(now))


def _confirm(books: Books, now: float, order: Confirm) -> bool:
    operation = books.operations.get(order.operation)
    if operation is None or operation.state != "unconfirmed":
        return False
    notes = []
    books.take_back(now, operation)
    for hold, booked in zip(operation.holds, operation.at_risk, strict=True):
        amount = order.amounts.get(hold.budget, booked)
        books.add(now, hold, settled=amount)
        note = _note(
            now,
            order,
            "confirm",
            hold.budget,
            window_id=hold.window_id,
            operation=order.operation,
            before=booked,
            after=amount,
        )
        notes.append(note)
    done = Operation("settled", until=books.remember(order.operation, now + RETAIN_S))
    books.changes = []
    books.operations[order.operation] = done
    books.audit += notes
    return True


def _note(
    now: float,
    order: Order,
    verb: str,
    budget: str,
    *,
    window_id: str | None = None,
    operation: str | None = None,
    before: int | None = None,
    after: int | None = None,
) -> AuditEntry:
    return AuditEntry(now, verb, order.who, order.why, budget, window_id, operation, before, after)
