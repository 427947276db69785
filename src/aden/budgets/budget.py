"""A budget: a limit over a window, for a scope, with a ladder of steps on the way to the limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from aden.core.attribution import Attribution
from aden.core.limit import Limit
from aden.core.money import Amount, parse_usd
from aden.core.request import Request
from aden.core.window import PERIODS, Period, Window
from aden.errors import ConfigurationError

Mode = Literal["enforce", "observe", "off"]
UnknownPrice = Literal["refuse", "floor", "allow"]
AlertLevel = Literal["info", "warning", "critical"]

MAX_DELAY_MS = 60_000


class _Any:
    """The type of `ANY`."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""In a scope: one budget for each value of the label, made when the value is first seen."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Call ``on_alert`` when *at* per cent are spent, once a window."""

    at: float
    level: AlertLevel = "warning"
    message: str | None = None

    def __post_init__(self) -> None:
        _percent("Alert.at", self.at)
        _one_of("Alert.level", self.level, get_args(AlertLevel))


@dataclass(frozen=True, slots=True)
class Degrade:
    """From *at* per cent on, send the request to the model *to* instead."""

    at: float
    to: str

    def __post_init__(self) -> None:
        _percent("Degrade.at", self.at)
        if not isinstance(self.to, str) or not self.to:
            raise ConfigurationError("Degrade.to", self.to, "the name of a model")


@dataclass(frozen=True, slots=True)
class Throttle:
    """From *at* per cent on, delay each request by *delay_ms* milliseconds."""

    at: float
    delay_ms: int

    def __post_init__(self) -> None:
        _percent("Throttle.at", self.at)
        valid = isinstance(self.delay_ms, int) and not isinstance(self.delay_ms, bool)
        if not valid or not 0 <= self.delay_ms <= MAX_DELAY_MS:
            allowed = f"milliseconds from 0 to {MAX_DELAY_MS}"
            raise ConfigurationError("Throttle.delay_ms", self.delay_ms, allowed)


Step = Alert | Degrade | Throttle

_NO_LIMIT = Limit(-1)

SCOPES: Mapping[str, str] = {
    "agent": "agent",
    "tenant": "tenant_id",
    "customer": "customer_id",
    "feature": "feature",
    "session": "session_id",
    "user": "user_id",
    "provider": "provider",
    "model": "model",
    "tag": "tags",
}
"""What a scope may name, and the label that it is compared with."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent, on whose account, over what time.

    Attributes:
        id: Names the budget in the ledger, on spans and in errors.
        limit_usd: US dollars; a decimal string is exact; 0 blocks everything that costs.
        limit: Instead of *limit_usd*, a limit in another unit: ``tokens(n)``, ``requests(n)``.
        window: ``total | month | week | day | hour``, calendar periods in *timezone*; or
            ``session``, each session's whole life.
        scope: Whose requests count, such as ``{"customer": "acme"}``; empty: all. `ANY` as the
            value makes one budget for each value of that label.
        ladder: `Alert`, `Degrade` and `Throttle` steps; refusal at 100 per cent is implied.
        mode: ``enforce``; ``observe`` decides and reports but refuses nothing; ``off``.
        unknown_price: What to do with a model that has no known price: ``floor`` takes the
            provider's dearest known rates, ``refuse`` refuses, ``allow`` counts nothing.
    """

    id: str
    limit_usd: Amount | None = None
    window: Period | Literal["session"] = "total"
    timezone: str = "UTC"
    name: str = ""
    scope: Mapping[str, object] = field(default_factory=dict)
    ladder: Sequence[Step] = ()
    mode: Mode = "enforce"
    unknown_price: UnknownPrice = "floor"
    limit: Limit = _NO_LIMIT
    span: Window = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id or not self.id.isprintable():
            raise ConfigurationError("budget.id", self.id, "a printable, non-empty string")
        _one_of(f"budget {self.id}: mode", self.mode, get_args(Mode))
        _one_of(f"budget {self.id}: unknown_price", self.unknown_price, get_args(UnknownPrice))
        if not isinstance(self.scope, Mapping):
            allowed = "a mapping such as {'customer': 'acme'}"
            raise ConfigurationError(f"budget {self.id}: scope", self.scope, allowed)
        if not isinstance(self.ladder, Sequence) or isinstance(self.ladder, str):
            allowed = "a list of Alert, Degrade and Throttle steps"
            raise ConfigurationError(f"budget {self.id}: ladder", self.ladder, allowed)
        _one_of(f"budget {self.id}: window", self.window, (*PERIODS, "session"))
        for key, value in self.scope.items():
            _one_of(f"budget {self.id}: scope", key, tuple(SCOPES))
            if value is not ANY and not (isinstance(value, str) and value):
                allowed = "a non-empty string, or ANY"
                raise ConfigurationError(f"budget {self.id}: scope.{key}", value, allowed)
        for step in self.ladder:
            if not isinstance(step, Alert | Degrade | Throttle):
                allowed = "Alert, Degrade or Throttle"
                raise ConfigurationError(f"budget {self.id}: ladder", step, allowed)
        ordered = tuple(sorted(self.ladder, key=lambda step: step.at))
        object.__setattr__(self, "ladder", ordered)
        object.__setattr__(self, "limit", self._read_limit())
        period: Period = "total" if self.window == "session" else self.window
        object.__setattr__(self, "span", Window(period, self.timezone))
        if self.window == "session":  # a budget for each session, over its whole life
            object.__setattr__(self, "scope", {"session": ANY, **self.scope})

    def _read_limit(self) -> Limit:
        setting = f"budget {self.id}: limit"
        if not isinstance(self.limit, Limit):
            raise ConfigurationError(setting, self.limit, "tokens(n) or requests(n)")
        if self.limit != _NO_LIMIT and self.limit_usd is not None:
            raise ConfigurationError(setting, self.limit, "limit_usd or limit, not both")
        if self.limit != _NO_LIMIT:
            return self.limit
        return Limit(parse_usd(self.limit_usd, f"{setting}_usd"))

    @property
    def type(self) -> str:
        """``global``, or what the scope names first."""
        return next(iter(self.scope), "global")

    def threshold(self, percent: float) -> int:
        """The spend at which *percent* of the limit are used, in the limit's unit."""
        return -int(-self.limit.amount * percent // 100)

    def percent_used(self, spent: int) -> float:
        """Per cent of the limit; a limit of 0 is always used up."""
        return 100.0 * spent / self.limit.amount if self.limit.amount else 100.0


@dataclass(frozen=True, slots=True)
class Match:
    """A budget that a request counts against, and the key under which the ledger knows it."""

    budget: Budget
    key: str
    scope: str | None


def matches(budget: Budget, request: Request, attribution: Attribution) -> Match | None:
    """The only rule by which a request counts against a budget: every label of the scope agrees."""
    found: list[str] = []
    for name, wanted in budget.scope.items():
        value = _label(name, request, attribution, wanted)
        if value is None:
            return None
        found.append(f"{name}={value}")
    scope = ",".join(found) or None
    templated = any(wanted is ANY for wanted in budget.scope.values())
    return Match(budget, f"{budget.id}|{scope}" if templated else budget.id, scope)


def _label(name: str, request: Request, attribution: Attribution, wanted: object) -> str | None:
    """The request's value of a label where it agrees with *wanted*."""
    if name == "tag":
        tags = attribution.tags
        if wanted is ANY:
            return tags[0] if tags else None
        return str(wanted) if wanted in tags else None
    source: object = request if name in ("provider", "model") else attribution
    value = getattr(source, SCOPES[name])
    if not value or (wanted is not ANY and value != wanted):
        return None
    return str(value)


def _percent(setting: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 100:  # type: ignore[operator]
        raise ConfigurationError(setting, value, "per cent of the limit, from 0 to 100")


def _one_of(setting: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(setting, value, " | ".join(allowed))
