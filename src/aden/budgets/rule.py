"""Rules: what happens to the requests of a scope, whatever budgets they count against."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from aden.budgets.ladder import Degrade, Step
from aden.budgets.scope import ANY, are_apart, is_like, is_pattern, read_scope
from aden.core.limit import Unit
from aden.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Block:
    """Refuse the request; the caller reads *message*."""

    message: str = "cancelled by policy"

    def __post_init__(self) -> None:
        if not isinstance(self.message, str) or not self.message:
            raise ConfigurationError("Block.message", self.message, "a non-empty string")


@dataclass(frozen=True, slots=True)
class Rule:
    """A step that is taken for all requests of a scope.

    Attributes:
        step: `Block` refuses. An `Alert`, `Degrade` or `Throttle` with ``at`` above 0 is taken as
            if it stood in the ladder of each budget that the request counts against; with
            ``at=0`` always, also where there is no budget.
        scope: Which requests, as in `Budget.scope` but without `ANY`; ``model`` takes a pattern
            such as ``gpt-4*``. Empty: all.
        unit: With ``at`` above 0, only budgets that count in this unit; None: all.
    """

    step: Block | Step
    scope: Mapping[str, object] = field(default_factory=dict)
    unit: Unit | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.step, Block | Step):
            raise ConfigurationError("rule: step", self.step, "Block, Alert, Degrade or Throttle")
        if self.unit is not None and self.unit not in get_args(Unit):
            raise ConfigurationError("rule: unit", self.unit, " | ".join(get_args(Unit)))
        scope = read_scope(self.scope, "rule: scope")
        if ANY in scope.values():
            raise ConfigurationError("rule: scope", dict(scope), "values, not ANY")
        object.__setattr__(self, "scope", scope)

    @property
    def standing(self) -> bool:
        """Whether it holds always, without a look at any budget."""
        return isinstance(self.step, Block) or self.step.at == 0


def check_rules(rules: Iterable[Rule]) -> None:
    """Refuse degrades that lead in a circle, such as from A to B and from B to A.

    Raises:
        ConfigurationError: They do; the value is the circle.
    """
    chains = _Chains([rule for rule in rules if isinstance(rule.step, Degrade)])
    done: set[int] = set()
    for start in range(len(chains.rules)):
        path = {start: chains.after(start)}  # depth first, without recursion
        while path:
            index, following = next(reversed(path.items()))
            onward = next((each for each in following if each not in done), None)
            if onward is None:
                done.add(index)
                path.popitem()
            elif onward in path:
                circle = [chains.target(each) for each in list(path)[list(path).index(onward) :]]
                raise ConfigurationError("rules: degrade", circle, "a chain of models that ends")
            else:
                path[onward] = chains.after(onward)


class _Chains:
    """Which degrade takes on a request that another one has sent to its model."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._named: dict[str, list[int]] = {}
        self._patterns: list[tuple[str, int]] = []
        for index, rule in enumerate(rules):
            # A step at a percentage for all models is a rung of every ladder, not a link.
            models = rule.scope.get("model", "*" if rule.standing else ())
            for model in models if isinstance(models, tuple) else (str(models),):
                if is_pattern("model", model):
                    self._patterns.append((model, index))
                else:
                    self._named.setdefault(model, []).append(index)

    def target(self, index: int) -> str:
        """The model to which a rule leads."""
        step = self.rules[index].step
        assert isinstance(step, Degrade)
        return step.to

    def after(self, index: int) -> Iterator[int]:
        """The rules that may come next."""
        target, rule = self.target(index), self.rules[index]
        whose = _whose(rule)
        patterns = (other for pattern, other in self._patterns if is_like(target, pattern))
        for other in (*self._named.get(target, ()), *patterns):
            following = self.rules[other]
            meets = following.standing == rule.standing and not are_apart(whose, _whose(following))
            if meets and self.target(other) != target:
                yield other


def _whose(rule: Rule) -> Mapping[str, object]:
    """The scope of a degrade, which may be for the requests to some providers only."""
    providers = rule.step.providers if isinstance(rule.step, Degrade) else ()
    return {"provider": providers, **rule.scope} if providers else rule.scope
