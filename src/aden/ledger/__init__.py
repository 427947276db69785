"""Where reservations and spend live: one protocol, a store a module."""

from aden.ledger.open import default_ledger_url, open_ledger, shown_url
from aden.ledger.operator import (
    Account,
    AuditEntry,
    Confirm,
    Freeze,
    Held,
    Order,
    Raise,
    Reset,
)
from aden.ledger.protocol import (
    AlertClaim,
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
    "Account",
    "AlertClaim",
    "Ask",
    "AuditEntry",
    "Balance",
    "Charge",
    "Confirm",
    "Freeze",
    "Grant",
    "Held",
    "Ledger",
    "Line",
    "Option",
    "Order",
    "Raise",
    "Reach",
    "Refusal",
    "Reset",
    "Settlement",
    "default_ledger_url",
    "open_ledger",
    "shown_url",
]
