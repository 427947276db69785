"""The policy: an immutable, versioned set of budgets."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from aden.budgets.budget import Budget, Match, Mode, matches
from aden.core.attribution import Attribution
from aden.core.request import Request
from aden.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a request at the moment of asking."""

    budgets: tuple[Budget, ...] = ()
    mode: Mode = "enforce"
    """Over all budgets; a budget's own mode can only be weaker."""
    version: str = "0"

    def matching(self, request: Request, attribution: Attribution) -> tuple[Match, ...]:
        """The budgets that this request counts against."""
        if self.mode == "off":
            return ()
        found = (matches(budget, request, attribution) for budget in self.budgets)
        return tuple(match for match in found if match and match.budget.mode != "off")

    def enforces(self, budget: Budget) -> bool:
        """Whether the budget may refuse, delay or degrade."""
        return self.mode == "enforce" and budget.mode == "enforce"


def make_policy(budgets: Iterable[Budget], mode: Mode = "enforce") -> Policy:
    """Form a policy.

    Raises:
        ConfigurationError: Two budgets share an id, or something else stands among them.
    """
    chosen = tuple(budgets)
    seen: set[str] = set()
    for budget in chosen:
        if not isinstance(budget, Budget):
            raise ConfigurationError("budgets", budget, "Budget objects")
        if budget.id in seen:
            raise ConfigurationError("budgets", budget.id, "ids that are used once")
        seen.add(budget.id)
    version = hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]
    return Policy(chosen, mode, version)
