"""What an operator's order does to the books."""

from aden.core.window import rolling_of
from aden.ledger.memory_books import Books, Operation
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
        books.marks[order.budget] = raised
        _note(books, now, order, "raise", order.budget, before=marks.raised, after=order.limit)
    elif isinstance(order, Freeze):
        marks = books.marks.get(order.budget, Marks())
        books.marks[order.budget] = marks._replace(frozen=order.frozen)
        _note(books, now, order, "freeze" if order.frozen else "unfreeze", order.budget)
    else:
        return _confirm(books, now, order)
    return True


def _reset(books: Books, now: float, order: Reset) -> None:
    windows = reset_windows(order.window_id, now)
    spent = 0
    for window_id in windows:
        window = books.windows.get((order.budget, window_id))
        if window is not None:
            spent += window.spent
            window.settled = window.unconfirmed = 0
    for operation in books.operations.values():
        if operation.state != "unconfirmed":
            continue
        operation.at_risk = tuple(
            0 if hold.budget == order.budget and hold.window_id in windows else amount
            for hold, amount in zip(operation.holds, operation.at_risk, strict=True)
        )
    marks = books.marks.get(order.budget, Marks())
    books.marks[order.budget] = marks._replace(epoch=marks.epoch + 1)
    _note(
        books, now, order, "reset", order.budget, window_id=order.window_id, before=spent, after=0
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
    books.drop(now, order.operation)
    for hold, booked in zip(operation.holds, operation.at_risk, strict=True):
        amount = order.amounts.get(hold.budget, booked)
        books.add(now, hold, settled=amount)
        _note(
            books,
            now,
            order,
            "confirm",
            hold.budget,
            window_id=hold.window_id,
            operation=order.operation,
            before=booked,
            after=amount,
        )
    books.remember(order.operation, Operation("settled"), now + RETAIN_S)
    return True


def _note(
    books: Books,
    now: float,
    order: Order,
    verb: str,
    budget: str,
    *,
    window_id: str | None = None,
    operation: str | None = None,
    before: int | None = None,
    after: int | None = None,
) -> None:
    entry = AuditEntry(now, verb, order.who, order.why, budget, window_id, operation, before, after)
    books.audit.append(entry)
