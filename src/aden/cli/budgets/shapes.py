"""Budgets, holds and the audit table, for people and for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from aden.budgets.note import Note
from aden.cli.budgets.state import Standing, show
from aden.cli.cells import beginning, cut, one_line, padded, width
from aden.ledger.operator import AuditEntry, Held

BAR = 24
KEY = 64
"""Columns up to which keys are padded; a longer one is shown whole, for an order names it."""
NARROW_BAR = 10
NARROW_FACTS = 44
"""Columns of a narrow line for per cent, spend, limit and a word more, at most."""
NO_BUDGETS = "no budgets: nothing was booked in this ledger, and no program described any"


def table(found: Sequence[Standing]) -> str:
    """A line with a bar for each budget's window."""
    if not found:
        return NO_BUDGETS
    columns = min(KEY, max(width(each.budget) for each in found))
    return "\n".join(
        f"{padded(each.budget, columns)}  {_window(each.balance.window_id):<18} {bar(each)} "
        f"{_facts(each)}"
        for each in found
    )


def narrow_table(found: Sequence[Standing], columns: int) -> str:
    """As `table`; where that is too wide, without windows, and with short keys and bars."""
    whole = table(found)
    if not found or max(map(width, whole.splitlines())) <= columns:
        return whole
    facts = [_facts(each) for each in found]
    room = columns - NARROW_BAR - 2 - min(NARROW_FACTS, max(map(len, facts)))
    most = min(max(width(each.budget) for each in found), max(16, room))
    lines = (
        f"{padded(_both_ends(each.budget, most), most)} {bar(each, NARROW_BAR)} {fact}"
        for each, fact in zip(found, facts, strict=True)
    )
    return "\n".join(cut(line, columns) for line in lines)


def _both_ends(key: str, most: int) -> str:
    """A key that is too long: it begins with its budget's id, and differs at its end."""
    if width(key) <= most:
        return key
    head = (most - 1) // 2
    return f"{beginning(key, head)}…{beginning(key[::-1], most - 1 - head)[::-1]}"


def _facts(each: Standing) -> str:
    balance, limit = each.balance, each.limit
    of = f" of {each.show(limit)}" if limit is not None else ""
    percent = f"{each.percent:5.1f} %" if each.percent is not None else "       "
    marks = [
        "FROZEN" if balance.frozen else "",
        "RAISED" if balance.raised is not None else "",
        f"held {each.show(balance.held)}" if balance.held else "",
        f"unconfirmed {each.show(balance.unconfirmed)}" if balance.unconfirmed else "",
        each.note.mode if each.note and each.note.mode != "enforce" else "",
        "" if each.current else "past",
        "no longer defined" if each.is_gone else "",
    ]
    told = ", ".join(mark for mark in marks if mark)
    return f"{percent}  {each.show(balance.spent)}{of}{'  ' + told if told else ''}"


def _window(name: str) -> str:
    """A window's name; that of an hour, which is a number, as its beginning."""
    kind, _, begins_at = name.partition(":")
    if kind != "hour" or not begins_at.isdecimal():
        return name
    return f"hour {datetime.fromtimestamp(int(begins_at), UTC):%m-%d %H:%MZ}"


def bar(each: Standing, of: int = BAR) -> str:
    """How full a budget is, in *of* blocks: settled, unconfirmed, held."""
    limit = each.limit
    if not limit:
        return "█" * of if limit == 0 else " " * of
    balance = each.balance
    settled = min(of, of * balance.settled // limit)
    spent = min(of, of * balance.spent // limit)
    all_ = min(of, -(-of * (balance.spent + balance.held) // limit)) if balance.held else spent
    return "█" * settled + "▓" * (spent - settled) + "▒" * (all_ - spent) + "·" * (of - all_)


def as_json(found: Iterable[Standing]) -> str:
    """For programs: amounts in the budget's unit, and whole as the ledger keeps them."""
    return _json(_plain(each) for each in found)


def _plain(each: Standing) -> dict[str, object]:
    balance, note = each.balance, each.note
    amounts = {
        "limit": each.limit,
        "spent": balance.spent,
        "settled": balance.settled,
        "unconfirmed": balance.unconfirmed,
        "held": balance.held,
    }
    shown = {
        name: amount if note is None or amount is None else note.limit.value(amount)
        for name, amount in amounts.items()
    }
    return {
        "budget": each.budget,
        "name": note.name if note else None,
        "window": balance.window_id,
        "current": each.current,
        "unit": note.limit.unit if note else None,
        **shown,
        "percent_used": each.percent,
        "raised": balance.raised is not None,
        "frozen": balance.frozen,
        "mode": note.mode if note else None,
        "defined": note is not None and not each.is_gone,
        "exact": amounts,
    }


def holds_table(found: Sequence[Held], notes: Mapping[str, Note]) -> str:
    """A line for each operation that is open or unconfirmed."""
    if not found:
        return "nothing is held or unconfirmed"
    lines = []
    for held in found:
        is_open = held.state == "open"
        amounts = [hold.amount for hold in held.holds] if is_open else held.at_risk
        what = ", ".join(
            f"{hold.budget} {show(notes, hold.budget, amount)}"
            for hold, amount in zip(held.holds, amounts, strict=True)
        )
        until = "lease to" if is_open else "kept to"
        lines.append(f"{held.operation}  {held.state:<11} {until} {moment(held.until)}  {what}")
    return "\n".join(lines)


def holds_json(found: Iterable[Held]) -> str:
    """For programs: amounts as the ledger keeps them."""
    return _json(
        {
            "operation": held.operation,
            "state": held.state,
            "sent": held.sent,
            "until": moment(held.until),
            "holds": {hold.budget: hold.amount for hold in held.holds},
            "at_risk": dict(zip((h.budget for h in held.holds), held.at_risk, strict=True)),
        }
        for held in found
    )


def audit_table(entries: Sequence[AuditEntry], notes: Mapping[str, Note]) -> str:
    """A line for each order."""
    if not entries:
        return "nobody has ordered anything"
    return "\n".join(
        f"{moment(entry.at)}  {entry.verb:<9} {entry.budget}  {_change(entry, notes)}"
        f"by {one_line(entry.who)}: {one_line(entry.why)}"
        for entry in entries
    )


def audit_json(entries: Iterable[AuditEntry]) -> str:
    """For programs."""
    return _json(
        {name: getattr(entry, name) for name in entry.__slots__} | {"at": moment(entry.at)}
        for entry in entries
    )


def _change(entry: AuditEntry, notes: Mapping[str, Note]) -> str:
    if entry.before is None and entry.after is None:
        return ""
    before, after = (
        "policy" if amount is None else show(notes, entry.budget, amount)
        for amount in (entry.before, entry.after)
    )
    return f"{before} → {after}  "


def moment(at: float) -> str:
    """A unix second as people and programs read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(rows: Iterable[object]) -> str:
    return json.dumps(list(rows), indent=2, ensure_ascii=False)
