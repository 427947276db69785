"""The policy: an immutable, versioned set of budgets and rules."""

import copy
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from aden.budgets.budget import Budget, Match, Mode, OwnBudget, concerns, matches
from aden.budgets.index import ScopeIndex
from aden.budgets.ladder import Alert, Degrade, Step, Throttle
from aden.budgets.rule import Block, Rule, check_rules
from aden.budgets.scope import agree
from aden.core.attribution import Attribution
from aden.core.decision import ALLOW, Decision, most_restrictive
from aden.core.limit import Unit
from aden.core.request import Request
from aden.errors import ConfigurationError

MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Standing:
    """What the rules say of a request before any budget is looked at."""

    decision: Decision = ALLOW
    alerts: tuple[Alert, ...] = ()


NOTHING_STANDING = Standing()


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a request at the moment of asking."""

    budgets: tuple[Budget, ...] = ()
    mode: Mode = "enforce"
    """Over all budgets and rules; a budget's own mode can only be weaker."""
    version: str = "0"
    rules: tuple[Rule, ...] = ()
    would_be: "Policy | None" = field(default=None, repr=False, compare=False)
    """This policy with all that is observed enforced; None where nothing is only observed."""
    missing: Decision | None = field(default=None, compare=False)
    """What refuses requests where there should be a policy and is none; None: this is it."""
    own: tuple[OwnBudget, ...] = ()
    """Budgets of the session that asks, beside `budgets`; see `within`."""
    bounds: bool = field(init=False, repr=False, compare=False)
    """Whether some budget asks what a request can cost at most."""
    _budgets: ScopeIndex[Budget] = field(init=False, repr=False, compare=False)
    _rules: ScopeIndex[Rule] = field(init=False, repr=False, compare=False)
    _matched: dict[tuple[str, str, Attribution], tuple[Match, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """What was found for those who asked lately: a session asks again and again."""
    _observed: list["Policy"] = field(init=False, repr=False, compare=False, default_factory=list)
    _of_any_model: list["Policy"] = field(
        init=False, repr=False, compare=False, default_factory=list
    )

    def __post_init__(self) -> None:
        counted = tuple(budget for budget in self.budgets if budget.mode != "off")
        object.__setattr__(self, "_budgets", ScopeIndex(counted, lambda budget: budget.scope))
        object.__setattr__(self, "bounds", any(budget.bounds for budget in counted))
        object.__setattr__(self, "_rules", ScopeIndex(self.rules, lambda rule: rule.scope))

    def budget(self, budget_id: str | None) -> Budget | None:
        """The budget of that id: the session's own before the policy's."""
        every = (*(own.budget for own in self.own), *self.budgets)
        return next((each for each in every if each.id == budget_id), None)

    def matching(self, request: Request, attribution: Attribution) -> tuple[Match, ...]:
        """The budgets that this request counts against."""
        if self.mode == "off" or not (self.budgets or self.own):
            return ()
        asking = (request.provider, request.model, attribution)
        found = self._matched.get(asking)
        if found is None:
            if len(self._matched) >= MAX_REMEMBERED:
                self._matched.clear()
            found = self._matched[asking] = self._match(request, attribution)
        return found

    def _match(self, request: Request, attribution: Attribution) -> tuple[Match, ...]:
        replaced = {own.budget.id for own in self.own}
        candidates = self._budgets.candidates(request, attribution)
        matched = (
            *(
                match
                for budget in candidates
                if budget.id not in replaced
                for match in matches(budget, request, attribution)
            ),
            *(match for own in self.own if (match := own.match(request, attribution)) is not None),
        )
        steps = self._steps(request, attribution) if self.rules else ()
        return tuple(_with(match, steps) for match in matched) if steps else matched

    @property
    def observed(self) -> "Policy":
        """This policy where nothing is refused, delayed or degraded by it."""
        if self.mode != "enforce":
            return self
        if not self._observed:
            would_be = self.would_be or self
            self._observed.append(self._but(mode="observe", would_be=would_be))
        return self._observed[0]

    @property
    def of_any_model(self) -> "Policy":
        """What of this policy can be asked before it is known which model is sent what.

        Without what is about a model or its provider, and without budgets that bound a request.
        """
        if not self._of_any_model:
            budgets = tuple(each for each in self.budgets if _any_model(each.scope))
            budgets = tuple(each for each in budgets if not each.bounds)
            own = tuple(each for each in self.own if _any_model(each.budget.scope))
            own = tuple(each for each in own if not each.budget.bounds)
            rules = tuple(each for each in self.rules if _any_model(each.scope))
            if own != self.own:  # what a session has in the place of one that is about any model
                replaced = {each.budget.id for each in self.own}
                budgets = tuple(each for each in budgets if each.id not in replaced)
            same = (budgets, own, rules) == (self.budgets, self.own, self.rules)
            would_be = self.would_be.of_any_model if self.would_be is not None else None
            version = f"{self.version} of any model"
            known = replace(
                self, budgets=budgets, own=own, rules=rules, would_be=would_be, version=version
            )
            self._of_any_model.append(self if same else known)
        return self._of_any_model[0]

    def within(self, own: tuple[OwnBudget, ...]) -> "Policy":
        """This policy for a session that has budgets of its own, for as little as a copy costs.

        One of its own stands in the place of this policy's of the same id.
        """
        would_be = None
        if self.mode != "off" and (
            self.would_be or any(each.budget.mode == "observe" for each in own)
        ):
            enforced = (replace(each, budget=_enforced(each.budget)) for each in own)
            would_be = (self.would_be or self).within(tuple(enforced))
        digest = hashlib.sha256(repr(own).encode()).hexdigest()[:8]
        return self._but(
            own=own,
            would_be=would_be,
            version=f"{self.version}+{digest}",
            bounds=self.bounds or any(each.budget.bounds for each in own),
        )

    def _but(self, **changes: object) -> "Policy":
        """A copy with *changes* that concern no scope: it shares what was built of them."""
        made = copy.copy(self)
        fresh: dict[str, object] = {"_matched": {}, "_observed": [], "_of_any_model": []}
        for name, value in {**changes, **fresh}.items():
            object.__setattr__(made, name, value)
        return made

    def enforces(self, budget: Budget) -> bool:
        """Whether the budget may refuse, delay or degrade."""
        return self.mode == "enforce" and budget.mode == "enforce"

    def standing(self, request: Request, attribution: Attribution) -> Standing:
        """What the rules that hold always make of a request; the caller enforces it or not."""
        if not self.rules or self.mode == "off":
            return NOTHING_STANDING
        alerts, delay_ms = [], 0
        for rule in self._applying(request, attribution):
            if isinstance(rule.step, Alert) and rule.standing:
                alerts.append(rule.step)
            elif isinstance(rule.step, Throttle) and rule.standing:
                delay_ms = max(delay_ms, rule.step.delay_ms)
        model = self._degraded(request, attribution)
        sent = replace(request, model=model) if model else request
        if blocked := self.blocked(request, attribution) or self.blocked(sent, attribution):
            return Standing(blocked, tuple(alerts))
        decision = ALLOW
        if alerts:
            decision = Decision("alert", "policy", "policy", alerts[0].message)
        if delay_ms:
            decision = _delay(delay_ms)
        if model:
            message = f"a rule sends {model!r} instead of {request.model!r}"
            degrade = Decision("degrade", "policy", "policy", message, model=model)
            decision = most_restrictive(decision, degrade)
        return Standing(decision, tuple(alerts))

    def blocked(self, request: Request, attribution: Attribution) -> Decision | None:
        """The refusal of a rule that blocks this request as it would be sent."""
        if not self.rules or self.mode != "enforce":
            return None
        for rule in self._applying(request, attribution):
            if isinstance(rule.step, Block):
                return Decision("block", "policy", "policy", rule.step.message)
        return None

    def _applying(self, request: Request, attribution: Attribution) -> Iterator[Rule]:
        for rule in self._rules.candidates(request, attribution):
            if concerns(rule.step, request) and agree(rule.scope, request, attribution):
                yield rule

    def _degraded(self, request: Request, attribution: Attribution) -> str | None:
        """The model at the end of the chain of degrades that hold always; it has no circle."""
        model = request.model
        following: str | None = model
        while following is not None:
            model = following
            rules = self._applying(replace(request, model=model), attribution)
            steps = (rule.step for rule in rules if rule.standing)
            targets = (step.to for step in steps if isinstance(step, Degrade))
            following = next((target for target in targets if target != model), None)
        return model if model != request.model else None

    def _steps(
        self, request: Request, attribution: Attribution
    ) -> tuple[tuple[Step, Unit | None], ...]:
        """The steps that rules add to the ladder of each budget; degrades chain A → B → C."""
        steps: list[tuple[Step, Unit | None]] = []
        reached = {request.model: 0.0}
        models = deque(reached)
        while models:
            model = models.popleft()
            for rule in self._applying(replace(request, model=model), attribution):
                step = rule.step
                if isinstance(step, Block) or rule.standing:
                    continue
                if not isinstance(step, Degrade):
                    if model == request.model:
                        steps.append((step, rule.unit))
                elif step.to not in reached:
                    at = max(step.at, reached[model])
                    reached[step.to] = at
                    models.append(step.to)
                    steps.append((replace(step, at=at), rule.unit))
        return tuple(steps)


def make_policy(
    budgets: Iterable[Budget], mode: Mode = "enforce", rules: Iterable[Rule] = ()
) -> Policy:
    """Form a policy.

    Raises:
        ConfigurationError: Two budgets share an id, degrades lead in a circle, or something else
            stands among them.
    """
    chosen, ruling = tuple(budgets), tuple(rules)
    seen: set[str] = set()
    for budget in chosen:
        if not isinstance(budget, Budget):
            raise ConfigurationError("budgets", budget, "Budget objects")
        if budget.id in seen:
            raise ConfigurationError("budgets", budget.id, "ids that are used once")
        seen.add(budget.id)
    for rule in ruling:
        if not isinstance(rule, Rule):
            raise ConfigurationError("rules", rule, "Rule objects")
    check_rules(ruling)
    said = repr((chosen, ruling)) if ruling else repr(chosen)
    version = hashlib.sha256(said.encode()).hexdigest()[:8]
    return Policy(chosen, mode, version, ruling, _would_be(chosen, mode, version, ruling))


def _would_be(
    budgets: tuple[Budget, ...], mode: Mode, version: str, rules: tuple[Rule, ...]
) -> Policy | None:
    observed = mode == "observe" or any(budget.mode == "observe" for budget in budgets)
    if mode == "off" or not observed:
        return None
    counted = (budget for budget in budgets if budget.mode != "off")
    enforced = tuple(_enforced(budget) for budget in counted)
    return Policy(enforced, "enforce", version, rules)


def _any_model(scope: Mapping[str, object]) -> bool:
    return not scope.keys() & {"model", "provider"}


def _enforced(budget: Budget) -> Budget:
    return budget if budget.mode == "off" else replace(budget, mode="enforce")


def _delay(delay_ms: int) -> Decision:
    message = f"a rule delays requests by {delay_ms} ms"
    return Decision(
        "throttle", "policy", "policy", message, delay_ms=delay_ms, delay_source="policy"
    )


def _with(match: Match, steps: tuple[tuple[Step, Unit | None], ...]) -> Match:
    """A match whose ladder has the steps of the rules too, each model once."""
    unit = match.budget.limit.unit
    merged = [*match.ladder, *(step for step, only in steps if only in (None, unit))]
    ladder: list[Step] = []
    models: set[str] = set()
    for step in sorted(merged, key=lambda step: step.at):
        if isinstance(step, Degrade):
            if step.to in models:
                continue
            models.add(step.to)
        ladder.append(step)
    return replace(match, ladder=tuple(ladder))
