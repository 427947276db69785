"""The arguments of the Redis ledger's scripts for alerts, orders and listings. No I/O."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from aden.ledger.operator import AuditEntry, Confirm, Freeze, Held, Marks, Order, Raise, Row
from aden.ledger.protocol import AlertClaim, Balance, Charge
from aden.ledger.redis_call import Call, Reply, Words
from aden.ledger.redis_verbs import moment, number, text
from aden.ledger.rules import alert_id, alert_key


def claim_alert(given: float | None, balance: Balance, threshold: int, lease_ms: int) -> Call:
    """`Ledger.claim_alert`; the claim has an id of its own, so that it may be sent twice."""
    series, _ = alert_key(balance.window_id)
    name = alert_id(balance.budget, balance.window_id, threshold, balance.epoch)
    words = [moment(given), text(balance.budget), text(balance.window_id), text(series)]
    words += (number(threshold), number(lease_ms), _unique(), text(name), number(balance.epoch))
    return Call("claim_alert", words)


def acknowledge_alert(given: float | None, claim: AlertClaim) -> Call:
    """`Ledger.acknowledge_alert`."""
    series, again_s = alert_key(claim.window_id)
    words = [moment(given), text(claim.budget), text(series), number(claim.threshold)]
    return Call("acknowledge_alert", (*words, text(claim.id), moment(again_s)))


def order(given: float | None, order: Order) -> Call:
    """`Ledger.order`; an order has an id, so that it may be sent twice."""
    head = [moment(given), _unique(), text(order.who), text(order.why)]
    if isinstance(order, Confirm):
        amounts = ((text(budget), number(amount)) for budget, amount in order.amounts.items())
        words = [text(order.operation), *(word for pair in amounts for word in pair)]
        return Call("confirm", (*head, *words))
    verb, said = _verb_of(order)
    return Call(verb, (*head, text(order.budget), said))


def _verb_of(order: "Order") -> tuple[str, bytes]:
    if isinstance(order, Raise):
        return "raise", b"" if order.limit is None else number(order.limit)
    if isinstance(order, Freeze):
        return "freeze", b"1" if order.frozen else b"0"
    assert not isinstance(order, Confirm)
    return "reset", text(order.window_id)


def describe(given: float | None, notes: Mapping[str, str]) -> Iterator[Call]:
    """`Ledger.describe`, some budgets at a time."""
    words = [(text(name), text(said)) for name, said in notes.items()]
    for start in range(0, len(words), 500):
        part = words[start : start + 500]
        flat = (word for pair in part for word in pair)
        yield Call("describe", (moment(given), *flat))


def descriptions(given: float | None) -> Call:
    """`Ledger.descriptions`."""
    return Call("descriptions", (moment(given),))


def descriptions_of(flat: Words) -> dict[str, str]:
    """The texts in the answer."""
    names = map(_name, flat)
    return dict(zip(names, names, strict=True))


def accounts(given: float | None, cursor: bytes, count: int) -> Call:
    """A page of `Ledger.accounts`."""
    return Call("accounts", (moment(given), cursor, number(count)))


def rows_of(flat: Words) -> Iterator[Row]:
    """The balances of such a page."""
    for field, figures in zip(flat[::2], flat[1::2], strict=True):
        length, _, rest = field.partition(b":")
        budget, window_id = rest[: int(length)], rest[int(length) + 1 :]
        settled, unconfirmed, held = map(int, figures.split())
        yield _name(budget), _name(window_id), settled, unconfirmed, held


def marks_of(flat: Words) -> dict[str, Marks]:
    """What was ordered for each budget."""
    found = {}
    for budget, told in zip(flat[::2], flat[1::2], strict=True):
        raised, frozen, epoch = told.split()
        limit = None if raised == b"-" else int(raised)
        found[_name(budget)] = Marks(limit, frozen == b"1", int(epoch))
    return found


def holds(given: float | None) -> Call:
    """`Ledger.holds`."""
    return Call("holds", (moment(given),))


def open_holds(given: float | None) -> Call:
    """`Ledger.open_holds`."""
    return Call("open_holds", (moment(given),))


def held_of(reply: Reply) -> tuple[Held, ...]:
    """The answer to it."""
    return tuple(sorted(map(_held, reply), key=lambda held: held.operation))


def _held(told: Sequence[bytes]) -> Held:
    name, state, sent, until, *flat = told
    lines = list(zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True))
    charges = tuple(
        Charge(_name(key), _name(window), int(amount)) for key, window, amount, _ in lines
    )
    at_risk = tuple(int(line[3]) for line in lines)
    kind: Literal["open", "unconfirmed"] = "open" if state == b"open" else "unconfirmed"
    return Held(_name(name), kind, sent == b"1", float(until), charges, at_risk)


def page(stream: str, last: bytes, count: int, since: float = 0.0) -> Call:
    """The entries of a stream behind the entry *last*."""
    first = b"%d" % int(since * 1000) if since > 0 else b"-"
    return Call("page", (b"", stream.encode(), last, number(count), first))


def booked_at(entry: Sequence[Reply]) -> float:
    """When a line of the journal was booked."""
    key, fields = entry
    return float(fields[3]) if len(fields) > 3 else int(key.partition(b"-")[0]) / 1000


def audit_of(fields: Words) -> AuditEntry:
    """An entry of the audit table."""
    said = dict(zip(fields[::2], map(_name, fields[1::2]), strict=True))
    before, after = said[b"before"], said[b"after"]
    return AuditEntry(
        float(said[b"at"]),
        said[b"verb"],
        said[b"who"],
        said[b"why"],
        said[b"budget"],
        said[b"window"] or None,
        said[b"operation"] or None,
        int(before) if before else None,
        int(after) if after else None,
    )


def _unique() -> bytes:
    return secrets.token_hex(8).encode()


def _name(told: bytes) -> str:
    return told.decode(errors="surrogatepass")
