"""Rules: what happens to the requests of a scope, whatever budgets they count against."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from aden.budgets.ladder import Degrade, Step
from aden.budgets.scope import ANY, are_apart, is_like, read_scope
from aden.core.limit import Unit
from aden.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Block:
    """Refuse the request; the caller reads *message*."""

    message: str = "blocked by policy"

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
    steps = [rule for rule in rules if isinstance(rule.step, Degrade)]
    done: set[int] = set()
    for start in range(len(steps)):
        _follow(start, steps, [], done)


def _follow(start: int, steps: Sequence[Rule], path: list[int], done: set[int]) -> None:
    """Walk the chains that begin at a rule, depth first and without recursion."""
    stack = [(start, iter(_next(start, steps)))]
    path = [start]
    while stack:
        _, following = stack[-1]
        for index in following:
            if index in path:
                circle = [_target(steps[each]) for each in path[path.index(index) :]]
                raise ConfigurationError("rules: degrade", circle, "a chain of models that ends")
            if index not in done:
                stack.append((index, iter(_next(index, steps))))
                path.append(index)
                break
        else:
            stack.pop()
            done.add(path.pop())


def _next(index: int, steps: Sequence[Rule]) -> list[int]:
    """The degrades that take on a request which this one has sent to its model."""
    target = _target(steps[index])
    return [
        other
        for other, rule in enumerate(steps)
        if _target(rule) != target
        and rule.standing == steps[index].standing
        and _takes_from(rule, target)
        and not are_apart(steps[index].scope, rule.scope)
    ]


def _takes_from(rule: Rule, model: str) -> bool:
    wanted = rule.scope.get("model", "*" if rule.standing else ())
    patterns = wanted if isinstance(wanted, tuple) else (str(wanted),)
    return any(is_like(model, pattern) for pattern in patterns)


def _target(rule: Rule) -> str:
    assert isinstance(rule.step, Degrade)
    return rule.step.to
