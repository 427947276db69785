"""What is probably a mistake in a policy although it is valid: scopes that nothing is ever in."""

import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from aden.budgets.ladder import Degrade
from aden.budgets.policy import Policy
from aden.budgets.scope import ANY, SCOPES, is_pattern, labels
from aden.core.attribution import Attribution
from aden.core.request import Request
from aden.errors import did_you_mean
from aden.pricing import PriceBook

logger = logging.getLogger("aden.budgets")

AFTER_CALLS = 50
"""Requests after which a label that none of them carried is probably one that none will."""
MAX_SAID = 10
_Named = tuple[str, Mapping[str, object]]


def unknown_models(policy: Policy, prices: PriceBook) -> list[str]:
    """The models in scopes and ladders that no price knows, each as a sentence with a way out."""
    asked: dict[str, str] = {}
    for name, scope in _scopes(policy):
        providers = _values(scope.get("provider")) or ["unknown"]
        for model in _values(scope.get("model")):
            if not is_pattern("model", model) and not _is_priced(providers, model, prices):
                doubt = _without_price(providers, model, prices)
                asked.setdefault(model, f"{name} is for {doubt}")
    for name, providers, model in _targets(policy):
        if not _is_priced(providers, model, prices):
            doubt = _without_price(providers, model, prices)
            asked.setdefault(model, f"{name} degrades to {doubt}")
    return list(islice(asked.values(), MAX_SAID))


def _without_price(providers: list[str], model: str, prices: PriceBook) -> str:
    one = providers[0] if len(providers) == 1 and providers != ["unknown"] else None
    where = f" --provider {shlex.quote(one)}" if one else ""
    way_out = f"`aden prices {shlex.quote(model)}{where}` says how to name its price"
    meant = prices.meant(one, model) or ";"
    return f"{model!r}, a model that no price knows{meant} {way_out}"


def warn_of_models(policy: Policy, prices: PriceBook) -> None:
    """Log what `unknown_models` finds in a policy that was just loaded."""
    for doubt in unknown_models(policy, prices):
        logger.warning("aden: %s", doubt)


class ScopeWatch:
    """Notices labels that scopes name and no request carries; says so once for each policy."""

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._done: Policy | None = None
        self._calls = 0
        self._seen: dict[str, set[str]] = {}

    def saw(self, policy: Policy, request: Request, attribution: Attribution) -> None:
        """A request was matched with a policy."""
        if policy is self._done:
            return
        if policy is not self._policy:
            self._policy, self._calls = policy, 0
            self._seen = {name: set() for _, scope in _scopes(policy) for name in scope}
        self._calls += 1
        for name, seen in self._seen.items():
            seen.update(labels(name, request, attribution)[:1])
        if self._calls >= AFTER_CALLS:
            self._done = policy
            for line in islice(self._never(policy), MAX_SAID):
                logger.warning("aden: after %d requests, %s", self._calls, line)

    def _never(self, policy: Policy) -> Iterator[str]:
        missing: dict[str, list[str]] = {}
        for owner, scope in _scopes(policy):
            for name, wanted in scope.items():
                seen = self._seen[name]
                if not seen:
                    missing.setdefault(name, []).append(owner)
                elif name == "provider" and not seen & set(_values(wanted)):
                    meant = "".join(did_you_mean(each, seen) for each in _values(wanted))
                    if meant:
                        yield f"none went to {wanted!r}, which {owner} is for{meant}"
        for name, owners in missing.items():
            more = f" (and {len(owners) - 1} more)" if len(owners) > 1 else ""
            said = f"aden.attribution({SCOPES[name]}=…)"
            yield f"none carried a {name}, which {owners[0]}{more} is for; {said} sets it"


def _scopes(policy: Policy) -> Iterator[_Named]:
    """Every scope, and whose it is."""
    for budget in policy.budgets:
        if budget.mode != "off":
            yield f"budget {budget.id!r}", budget.scope
    for number, rule in enumerate(policy.rules, 1):
        yield f"rule {number}", rule.scope


def _targets(policy: Policy) -> Iterator[tuple[str, list[str], str]]:
    """Every model that something degrades to, with the providers that it may be asked of."""
    ladders = [
        (f"budget {budget.id!r}", budget.scope, step)
        for budget in policy.budgets
        for step in budget.ladder
    ]
    ladders += [
        (f"rule {number}", rule.scope, rule.step)
        for number, rule in enumerate(policy.rules, 1)
        if isinstance(rule.step, Degrade)
    ]
    for name, scope, step in ladders:
        if isinstance(step, Degrade):
            yield name, [*step.providers] or _values(scope.get("provider")) or ["unknown"], step.to


def _values(wanted: object) -> list[str]:
    """The texts that a scope names for a label."""
    if wanted is None or wanted is ANY:
        return []
    return [str(each) for each in wanted] if isinstance(wanted, tuple) else [str(wanted)]


def _is_priced(providers: Iterable[str], model: str, prices: PriceBook) -> bool:
    known = list(providers)
    if known == ["unknown"]:
        return prices.knows(model)
    return any(prices.find(provider, model) is not None for provider in known)
