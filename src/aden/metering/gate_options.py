"""How the gate behaves where it cannot evaluate something, and how long it waits."""

from dataclasses import dataclass, field

from aden.budgets.heard import Heard
from aden.core.attribution import NOBODY, Attribution


@dataclass(frozen=True, slots=True)
class GateOptions:
    """How the gate behaves where it cannot evaluate something, and how long it waits."""

    fail_open: bool = False
    """What cannot be evaluated (hook, ledger, configuration) lets through instead of refusing;
    while a ledger is down, each budget's ``on_ledger_down`` counts before it."""
    hook_timeout_ms: int = 1000
    busy_wait_ms: int | None = None
    """How long a request waits for a refund when only open holds stand in its way; None: as its
    lane does."""
    refuse_speech: bool = False
    """Ask, before a session of a framework begins, whether its first speech is borne."""
    trust_request_metadata: bool = False
    meter_foreign: bool = True
    """Book calls that other instrumentations tell of."""
    attribution: Attribution = NOBODY
    """The process's default."""
    heard: Heard = field(default_factory=Heard)
    """What callers hear, where a framework speaks with them."""
