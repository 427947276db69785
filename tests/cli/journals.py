"""A journal with known calls, for the commands that read it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from aden.core.attribution import Attribution
from aden.core.decision import ALLOW, Decision
from aden.core.money import NANO, NanoUSD
from aden.core.record import CallRecord
from aden.core.usage import Usage
from aden.ledger.protocol import Settlement
from aden.ledger.sqlite import SqliteLedger

_names = iter(range(10**9))


def at(text: str) -> float:
    """Unix seconds of a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def a_call(
    when: float,
    model: str = "gpt-4o",
    usd: float = 0.01,
    tokens: tuple[int, int] = (100, 10),
    *,
    customer: str | None = None,
    estimated: bool = False,
    refused: bool = False,
    response_model: str | None = None,
    price_source: str = "genai-prices",
) -> CallRecord:
    """A settled call."""
    return CallRecord(
        id=f"call-{next(_names)}",
        at=when,
        provider="openai",
        asked_model=model,
        model=model,
        usage=Usage() if refused else Usage(*tokens, estimated=estimated),
        cost=NanoUSD(0 if refused else round(usd * NANO)),
        decision=Decision("block", "exhausted", "ledger") if refused else ALLOW,
        price_source=price_source,
        attribution=Attribution(customer_id=customer),
        attempts=0 if refused else 1,
        response_model=response_model,
    )


def write_ledger(path: Path, records: Iterable[CallRecord]) -> str:
    """A ledger file whose journal holds *records*; gives its URL."""
    ledger = SqliteLedger(path)
    for record in records:
        ledger.settle(Settlement(record.id, record=record))
    ledger.close()
    return f"sqlite://{path}"
