"""Everything that Aden raises, as one tree.

::

    AdenError
    ├── ConfigurationError (ValueError)   a setting is wrong: its name, its value, what is allowed
    ├── RequestCancelledError             a budget, policy or hook said no; do not retry it as is
    │   ├── OpenAIRequestCancelledError   … out of the openai SDK: also an openai.APIStatusError
    │   ├── LiveKitRequestCancelledError  … inside LiveKit: also a livekit.agents.APIStatusError
    │   └── LiveKitRealtimeRequestCancelledError  … of a realtime reply: also an llm.RealtimeError
    └── LedgerError                       a ledger could not answer; callers see only a refusal
        ├── LedgerUnavailable         … it is down, or did not answer within its deadline
        └── LedgerSaturated           … it answers, but this process asks more than it can send

``except RequestCancelledError`` catches every refusal. The three subclasses exist only where their
package is installed and live beside their instrumentation.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class AdenError(Exception):
    """Root of everything that Aden raises."""


class ConfigurationError(AdenError, ValueError):
    """A setting is wrong.

    Attributes:
        setting: Name of the option or environment variable.
        value: What was given (masked where it is a secret).
        allowed: What would have been accepted.
    """

    def __init__(self, setting: str, value: object, allowed: str) -> None:
        try:
            shown = repr(value)
        except Exception:  # it is anything: an int of 5,000 digits has no repr
            shown = f"<{type(value).__name__}>"
        super().__init__(f"{setting}={shown} is not valid: expected {allowed}")
        self.setting = setting
        self.value = value
        self.allowed = allowed

    def __reduce__(self) -> tuple[type["ConfigurationError"], tuple[str, object, str]]:
        return type(self), (self.setting, self.value, self.allowed)


class LedgerError(AdenError):
    """A ledger could not do what was asked."""


class LedgerUnavailable(LedgerError):  # noqa: N818 - the state, as the decision reason names it
    """The ledger did not answer within its deadline."""


class LedgerSaturated(LedgerError):  # noqa: N818 - as above
    """The ledger answers, but this process's own queue to it was longer than the deadline."""


def did_you_mean(
    value: object, known: Iterable[str], *, most: int = 1, likeness: float = 0.6
) -> str:
    """``; did you mean X?`` where known words are close to a wrong one, else nothing.

    Args:
        value: The wrong one.
        known: The right ones.
        most: How many are named, the closest first.
        likeness: How close they have to be, from 0 to 1, as `difflib` counts it.
    """
    if not isinstance(value, str):
        return ""
    meant = difflib.get_close_matches(value, list(known), n=most, cutoff=likeness)
    *first, last = meant or [""]
    return f"; did you mean {', '.join(first)}{' or ' if first else ''}{last}?" if meant else ""


@dataclass(frozen=True, slots=True)
class RefusalDetails:
    """Why a request was refused, in fields a program can act on."""

    message: str
    """What a person reads."""
    reason: str
    """``exhausted | busy | policy | hook | unpriced | unbounded | unavailable | misconfigured``."""
    action: str = "cancel"
    source: str = "ledger"
    """Who decided: ``ledger | policy | hook | settings``."""
    budget_id: str | None = None
    scope: str | None = None
    limit_usd: float | None = None
    """The limit of a budget in money; None for one in another unit."""
    spent_usd: float | None = None
    limit: float | int | None = None
    """The budget's limit in its `unit`."""
    spent: float | int | None = None
    unit: str | None = None
    """What the budget counts in: ``usd | tokens | requests | seconds``."""
    retry_after_ms: int | None = None
    """Milliseconds after which the same request may fit; None where waiting does not help."""


class RequestCancelledError(AdenError):
    """The request was refused before it left; the provider has not seen it.

    The answer is final: a retry of the same request is refused again. Each field of
    `RefusalDetails` is an attribute of the error.
    """

    details: RefusalDetails

    def __init__(self, details: RefusalDetails | str) -> None:
        if isinstance(details, str):
            details = RefusalDetails(message=details, reason="hook", source="hook")
        # Not super().__init__: the subclasses have a second base with another signature.
        Exception.__init__(self, details.message)
        self.details = details

    @property
    def action(self) -> str:
        """``cancel``: what was decided."""
        return self.details.action

    @property
    def reason(self) -> str:
        """Why, as `RefusalDetails.reason`."""
        return self.details.reason

    @property
    def source(self) -> str:
        """Who decided, as `RefusalDetails.source`."""
        return self.details.source

    @property
    def budget_id(self) -> str | None:
        """The budget that refused, None where no budget did."""
        return self.details.budget_id

    @property
    def scope(self) -> str | None:
        """Whose budget it is, such as ``customer=acme``; None for a global one."""
        return self.details.scope

    @property
    def limit_usd(self) -> float | None:
        """The budget's limit in US dollars."""
        return self.details.limit_usd

    @property
    def spent_usd(self) -> float | None:
        """What was spent of it in US dollars when the request was refused."""
        return self.details.spent_usd

    @property
    def limit(self) -> float | int | None:
        """The budget's limit in its `unit`."""
        return self.details.limit

    @property
    def spent(self) -> float | int | None:
        """What was spent of it in its `unit` when the request was refused."""
        return self.details.spent

    @property
    def unit(self) -> str | None:
        """What the budget counts in: ``usd | tokens | requests | seconds``."""
        return self.details.unit

    @property
    def retry_after_ms(self) -> int | None:
        """Milliseconds after which the same request may fit; None where waiting does not help."""
        return self.details.retry_after_ms

    def __str__(self) -> str:
        return self.details.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.details!r})"

    def __reduce__(self) -> tuple[type["RequestCancelledError"], tuple[RefusalDetails]]:
        return type(self), (self.details,)
