"""Where reservations and spend live: one protocol, a store a module."""

from aden.ledger.open import default_ledger_url, open_ledger, shown_url
from aden.ledger.protocol import (
    Ask,
    Balance,
    Charge,
    Grant,
    Ledger,
    Line,
    Option,
    Reach,
    Refusal,
    Settlement,
)

__all__ = [
    "Ask",
    "Balance",
    "Charge",
    "Grant",
    "Ledger",
    "Line",
    "Option",
    "Reach",
    "Refusal",
    "Settlement",
    "default_ledger_url",
    "open_ledger",
    "shown_url",
]
